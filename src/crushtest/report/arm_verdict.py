"""What the first page says of each arm, in sentences that quote their intervals and never say more than the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from crushtest.report.against import in_words, is_refused, refusals, text_caution
from crushtest.report.arm_view import ArmView
from crushtest.report.bounds import room_text
from crushtest.report.draws import draw_sentences, failed_draws
from crushtest.report.drift import drift_text
from crushtest.report.findings import (
    Finding,
    headline_finding,
    headline_subject,
    none_detectable,
    other_worse,
    uneven_groups,
    worst_groups,
)
from crushtest.report.formats import MINUS, show_bytes, show_value, unit_of_difference
from crushtest.report.headlines import unfit_notes
from crushtest.report.hidden_harm import hidden_text
from crushtest.report.shading import Tone, verdict_text
from crushtest.report.status import status
from crushtest.report.stopped import stop_texts
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untested import untested
from crushtest.report.wording import counted, listed
from crushtest.results import Contrast
from crushtest.stats.joint_claims import UNTESTED
from crushtest.stats.verdicts import INCONCLUSIVE, SPURIOUS_IMPROVEMENT

COMPARES = {
    "compression effect": "",
    "deployment delta": "Same weights, run differently ({ways}): a deployment delta.",
    "compression and deployment": "Compressed, and run differently ({ways}).",
    "conversion and deployment": "Uncompressed in another file, and run by another engine than dense.",
    "deployment, weights unknown": "Behind an address: run differently; whether its weights differ is unknown.",
    "replicate": "Same weights, run in the same way: a replicate of dense.",
}
"""`compares` of a contrast -> what it means for the reader; an effect of compression alone needs no words.

`ways` of running are put in by `in_words`.
"""


class Unsettled(NamedTuple):
    """A headline whose difference could not be tested."""

    subject: str
    contrast: Contrast


@dataclass(frozen=True)
class ArmVerdict:
    """Everything that the first page says of one arm. Tuples may be empty.

    depth        of the headline that got worse most, as in `shading`; 0 if none did
    better       headlines that changed in another way than for the worse
    unclear      headlines without a clear difference
    stopped      headlines of tasks in which the arm stopped early: estimated from the items asked, and not corrected
    other_worse  measures besides the headlines that got clearly worse, corrected over all arms and measures shown
    sensitivity  how many items there were, and which changes they would often miss
    missed       the latter alone
    refused      why pairs of the arm, with dense or another, were not compared
    barred       true if it is not compared with dense, because two engines disagree
    missing      tasks that were not measured
    undefined    headlines without a tested contrast, with the reason
    unsettled    those of them that have a difference, which the clusters are too few to test
    hidden       what is known of harm that quality does not show
    lost         headlines that dense has a value of and the arm has not, because it answered only "unknown", say
    untested     per task, the comparisons without a test
    unfit        per task, a first choice of headline that would miss a fourfold rise
    draws        which draws are missing, which verdict one draw alone has, and what share of the uncertainty draws are
    """

    arm: ArmView
    tone: Tone
    depth: int
    status: str
    size: str
    compares: str
    worse: tuple[Finding, ...]
    better: tuple[Finding, ...]
    unclear: tuple[Finding, ...]
    stopped: tuple[Finding, ...]
    other_worse: tuple[Finding, ...]
    groups: tuple[Finding, ...]
    groups_summary: str
    uneven: str
    hidden: str
    sensitivity: str
    missed: str
    cautions: tuple[str, ...]
    refused: tuple[str, ...]
    barred: bool
    missing: tuple[str, ...]
    undefined: tuple[str, ...]
    unsettled: tuple[Unsettled, ...]
    lost: tuple[str, ...]
    untested: tuple[str, ...]
    unfit: tuple[str, ...]
    draws: tuple[str, ...] = ()


def verdicts(study: StudyView) -> tuple[ArmVerdict, ...]:
    """Return one verdict per arm that is compared with dense, in the study's order."""
    return tuple(_verdict(study, arm) for arm in study.others)


def _verdict(study: StudyView, arm: ArmView) -> ArmVerdict:
    tasks = [task for task in study.tasks if (arm.name, task.name) in study.compared]
    findings = [
        finding
        for task, group, _ in _headlines(study, arm)
        if (finding := headline_finding(study, arm, task, group)) is not None
    ]
    groups, groups_summary = worst_groups(study, arm, tasks)
    worse = tuple(finding for finding in findings if finding.tone == "worse")
    better = tuple(finding for finding in findings if finding.tone in ("better", "changed"))
    unclear = tuple(finding for finding in findings if finding.tone == "noise")
    refused = tuple(refusals(study, arm.name))
    barred = is_refused(study, arm.name)
    missing = () if barred else tuple(task.name for task in study.tasks if task not in tasks)
    lost = tuple(
        headline_subject(study, task, group)
        for task, group, row in _headlines(study, arm)
        if row is not None and row.dense is not None and row.value is None and row.n
    )
    unsettled = tuple(
        Unsettled(headline_subject(study, task, group), row)
        for task, group, row in _headlines(study, arm)
        if row is not None and row.verdict == INCONCLUSIVE
    )
    missed = _missed(tasks, unclear)
    subjects = tuple(each.subject for each in unsettled)
    tone, words = status(study, arm, worse, better, missing, lost, subjects, tested=bool(findings))
    return ArmVerdict(
        arm=arm,
        tone=tone,
        depth=max((finding.depth for finding in worse), default=0),
        status="not compared" if barred else words,
        size=size_text(arm),
        compares=compares_text(study, arm),
        worse=worse,
        better=better,
        unclear=unclear,
        stopped=tuple(finding for finding in findings if finding.tone == "undefined"),
        other_worse=tuple(other_worse(study, arm)),
        groups=groups,
        groups_summary=groups_summary,
        uneven=uneven_groups(study, arm, tasks),
        hidden=hidden_text(study, arm.name),
        sensitivity=f"{_items_text(tasks)} {missed}".rstrip(),
        missed=missed,
        cautions=(*filter(None, [text_caution(study, arm.name)]), *_cautions(study, arm, tasks, findings)),
        refused=refused,
        barred=barred,
        missing=missing,
        undefined=tuple(_undefined(study, arm)),
        unsettled=unsettled,
        lost=lost,
        untested=tuple(f"{task.name}: {text}" for task in tasks if (text := untested(study, task, (arm,)).text)),
        unfit=tuple(unfit_notes(study)),
        draws=(*failed_draws(study.manifest, arm.plan), *draw_sentences(findings)),
    )


def size_text(arm: ArmView) -> str:
    """Return the sizes of the whole model and of its compressed layers, and of stored keys and values if they differ.

    `whole model 270 MB → 200 MB (−26%), its compressed layers −50%; ideal storage, 16 bits per dense weight`
    `whole model 270 MB → 114 MB (−58%); ideal storage, 16 bits per dense weight; weight files of 174 MB`, as found
    `the weights of dense (97 MB); KV cache 46.1 kB → 24.5 kB per token (−47%)`
    """
    return "; ".join(filter(None, (_weights_text(arm), _kv_text(arm)))).replace("-", MINUS)


def _kv_text(arm: ArmView) -> str:
    before, after = arm.kv_bytes
    if after is None or after == before:
        return ""
    if before is None:
        return f"KV cache {show_bytes(after)} per token"
    return f"KV cache {show_bytes(before)} → {show_bytes(after)} per token ({after / before - 1:+.0%})"


def _weights_text(arm: ArmView) -> str:
    before, after = (arm.totals.get(f"{which}_model_size_bytes") for which in ("dense", "compressed"))
    if arm.same_weights:
        return f"the weights of dense ({show_bytes(after)})" if after else "the weights of dense"
    files = arm.totals.get("weights_size_bytes")
    if not before or not after:
        return f"weight files of {show_bytes(files)}" if files else "size not recorded"
    whole = f"whole model {show_bytes(before)} → {show_bytes(after)} ({after / before - 1:+.0%})"
    layers = "" if arm.ratio is None else f", its compressed layers {-arm.ratio:+.0%}"
    stored = f"; weight files of {show_bytes(files)}" if files else ""
    return f"{whole}{layers}; ideal storage, 16 bits per dense weight{stored}"


def compares_text(study: StudyView, arm: ArmView) -> str:
    """Say of how many calibration draws compressed weights are, and what else differs from dense."""
    rows = [row for _, _, row in _headlines(study, arm)]
    compared = list(dict.fromkeys(row.compares for row in rows if row is not None and row.compares))
    words = COMPARES.get(compared[0], "") if len(compared) == 1 else listed(compared)
    differs = in_words(study, words, arm.name)
    return f"{arm.draw.capitalize()}. {differs}".rstrip() if arm.draw else differs


def _headlines(study: StudyView, arm: ArmView) -> Iterator[tuple[TaskView, str, Contrast | None]]:
    for task in study.headed:
        for group in study.headline_groups(task) if (arm.name, task.name) in study.compared else ():
            yield task, group, study.contrast(arm.name, task.name, task.headline.name, group)


def _cautions(study: StudyView, arm: ArmView, tasks: list[TaskView], findings: list[Finding]) -> Iterator[str]:
    """Yield the cautions of the headlines, and the spurious improvements among the other pooled metrics."""
    yield from stop_texts(study, arm.name)
    yield from (f"{finding.subject}: {finding.contrast.caution}" for finding in findings if finding.contrast.caution)
    yield from (f"{task.name}: {text}" for task in tasks if (text := drift_text(study, arm.name, task.name)))
    for task in tasks:
        for metric in study.metrics_of(task):
            row = study.contrast(arm.name, task.name, metric)
            if row and metric != task.headline.name and row.verdict == SPURIOUS_IMPROVEMENT:
                yield f"{task.label(metric).text}, {SPURIOUS_IMPROVEMENT}: {row.caution}"


def _items_text(tasks: list[TaskView]) -> str:
    items = sum(task.items or 0 for task in tasks)
    return f"{counted(items, 'item')}, the same for dense and this variant."


def _missed(tasks: list[TaskView], unclear: tuple[Finding, ...]) -> str:
    """Say which changes the items of the headlines without a clear difference would often miss; may be empty."""
    by_name = {task.name: task for task in tasks}
    units = [(finding, by_name[finding.contrast.task].unit(finding.contrast.metric)) for finding in unclear]
    missed = [
        f"{show_value(finding.contrast.mde, unit).rstrip('%')}{unit_of_difference(unit)} in {finding.subject}"
        for finding, unit in units
        if finding.contrast.mde is not None and not room_text(finding.contrast, unit, finding.contrast.mde)
    ]
    texts = []
    if missed:
        texts.append(f"A change smaller than {listed(missed)} would often be missed.")
    hidden = [
        f"{finding.subject} ({room})"
        for finding, unit in units
        if finding.contrast.mde is not None and (room := room_text(finding.contrast, unit, finding.contrast.mde))
    ]
    if hidden:
        texts.append(f"Any harm in {listed(hidden)} would often be missed.")
    blind = [finding.subject for finding, unit in units if none_detectable(finding.contrast, unit)]
    if blind:
        texts.append(f"Any change in {listed(blind)} would often be missed: too few items.")
    return " ".join(texts)


def _undefined(study: StudyView, arm: ArmView) -> Iterator[str]:
    for task, group, contrast in _headlines(study, arm):
        if contrast is None or contrast.verdict in UNTESTED:
            reason = (contrast.reason or verdict_text(contrast, "")) if contrast else "reported by group only"
            yield f"{headline_subject(study, task, group)}: {reason}"
