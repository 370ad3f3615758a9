"""Model cards: a study's results for each variant, as Markdown with the metadata that model hubs read.

The metadata is a `model-index`: a name and results, each with task, data set and metrics. The text compares the same
metrics with the dense model, with intervals, and says what was not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crushtest.errors import ModelError, StoreError
from crushtest.files.atomic import file_name, replacing
from crushtest.models.find import model_kind
from crushtest.registry import METHODS
from crushtest.report.against import is_refused
from crushtest.report.arm_verdict import ArmVerdict, verdicts
from crushtest.report.arm_view import ArmView
from crushtest.report.findings import OF_GROUPS
from crushtest.report.page.provenance import system_message
from crushtest.report.probes import is_probe, probe_note
from crushtest.report.room import room_notes
from crushtest.report.stopped import stopped_arms
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.table_files import MARKDOWN
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name, visible
from crushtest.report.wording import sentence_case
from crushtest.study.folder import StudyFolder

TASK_TYPE = "text-generation"


def write_card(folder: StudyFolder) -> list[Path]:
    """Write `<study>/cards/<arm>.md` for every variant and return the files. Raises StoreError without variants."""
    import yaml

    study = read_study(folder)
    if not study.others:
        raise StoreError(
            f"{folder.root}: no card to write, because the study holds the dense model alone and a card describes a "
            "compressed one "
            "(`crushtest run MODEL -r RECIPE` adds one)"
        )
    written = []
    for verdict in verdicts(study):
        metadata = yaml.safe_dump(card_metadata(study, verdict.arm), sort_keys=False, allow_unicode=True, width=1000)
        path = folder.root / "cards" / f"{file_name(verdict.arm.name)}.md"
        with replacing(path) as temporary:
            text = "\n".join(_text(study, verdict))
            temporary.write_text(f"---\n{metadata}---\n\n{text}\n", encoding="utf-8")
        written.append(path)
    return written


def card_metadata(study: StudyView, arm: ArmView) -> dict[str, Any]:
    """Return the YAML front matter of one variant's card. Probes are no benchmarks and have no results there.

    Nor does a variant that is not compared with dense: its engine may run another model than it seems.
    """
    benchmarks = (task for task in study.tasks if not is_probe(task) and not is_refused(study, arm.name))
    results = [_result(study, arm, task) for task in benchmarks if (arm.name, task.name) in study.measured]
    index = [
        {"name": name(f"{study.title} {arm.name}"), "results": [result for result in results if result["metrics"]]}
    ]
    return {**_base(study, arm), "tags": ["compressed", "crushtest"], "model-index": index}


def _base(study: StudyView, arm: ArmView) -> dict[str, str]:
    """Return the dense model and how the variant was made of it, in the hub's words, which know no pruning.

    Nothing if the dense model is not on the hub: a path is no name there, and nobody's business.
    """
    if not _is_on_hub(study.plan.dense.model):
        return {}
    steps = arm.plan.recipe.steps if arm.plan.recipe else ()
    pruned_only = bool(steps) and all(METHODS.get(step.method).about.kind == "pruning" for step in steps)
    relation = "finetune" if pruned_only else "quantized"
    return {"base_model": name(study.plan.dense.model), "base_model_relation": relation}


def _is_on_hub(model: str) -> bool:
    try:
        return model_kind(model) == "hub"
    except ModelError:  # a served one
        return False


def _result(study: StudyView, arm: ArmView, task: TaskView) -> dict[str, Any]:
    """Return one task's pooled metrics. A metric without a value is left out here and named in the text.

    Left out, too, is a task in which the arm stopped early: its values are of the items asked.
    """
    stopped = any(
        row.look is not None for row in study.contrasts.values() if (row.arm, row.task) == (arm.name, task.name)
    )
    estimates = (study.estimate(arm.name, task.name, metric) for metric in study.metrics_of(task))
    return {
        "task": {"type": TASK_TYPE, "name": "Text Generation"},
        "dataset": {"type": name(task.name), "name": name(task.name)},
        "metrics": [
            {"type": row.metric, "name": row.metric.replace("_", " "), "value": row.value}
            for row in estimates
            if row is not None and row.value is not None and not stopped
        ],
    }


def _text(study: StudyView, verdict: ArmVerdict) -> Iterator[str]:
    yield f"## Crash test of {_plain(verdict.arm.name)}"
    yield ""
    how = "Not compared" if verdict.barred else "Compared"
    yield f"{how} with the dense model on the same items by crushtest. Size: {_plain(verdict.size)}."
    if verdict.compares:
        yield _plain(verdict.compares)
    yield ""
    many = (
        f", corrected over all {study.comparisons} comparisons of the study's headlines"
        if study.comparisons > 1 and verdict.arm.name not in stopped_arms(study)
        else ""
    )
    yield f"In short: {_plain(verdict.status)}{many}."
    yield ""
    yield f"Items: {', '.join(f'{_plain(task.name)} {task.items:,}' for task in study.tasks if task.items)}."
    if (message := system_message(study)) is not None:
        yield f"System message before every request in chat: “{_plain(message)}”."
    for text in probe_note(study):
        yield _plain(text)
    for title, findings in (
        ("Got worse", verdict.worse),
        ("Changed otherwise", verdict.better),
        ("No clear difference", verdict.unclear),
        ("Stopped early", verdict.stopped),
        ("Groups most affected", verdict.groups),
    ):
        if findings:
            bullets = (f"- {_plain(finding.subject)} {_plain(finding.text)}" for finding in findings)
            yield from ("", f"### {title}", "", *bullets)
    if verdict.other_worse:
        others = "; ".join(f"{_plain(finding.subject)} {_plain(finding.text)}" for finding in verdict.other_worse)
        yield from ("", "### Other measures that got worse", "", f"{others}.")
    unmeasured = [f"{task}: not measured" for task in verdict.missing]
    unknown = [*verdict.refused, *unmeasured, *verdict.undefined, *verdict.untested]
    if unknown:
        yield from ("", "### Not known", "", *(f"- {_plain(text)}" for text in unknown))
    if cautions := (*verdict.cautions, *room_notes(study)):
        yield from ("", "### Cautions", "", *(f"- {_plain(text)}" for text in cautions))
    yield ""
    yield " ".join(map(_plain, (verdict.groups_summary, sentence_case(OF_GROUPS), verdict.sensitivity, *verdict.unfit)))
    if study.dense_note:
        yield f"The dense model here: {_plain(study.dense_note)}."


def _plain(text: str) -> str:
    """Escape what Markdown and HTML would read as markup."""
    shown = visible(" ".join(text.split()))
    return MARKDOWN.sub(r"\\\1", shown).replace("<", "&lt;").replace(">", "&gt;")
