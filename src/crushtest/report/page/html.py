"""report.html: one page that needs no network and runs nothing that a model wrote.

Three things keep the study's texts from being anything but text: the templates escape everything, JSON is embedded so
that nothing in it can end its element, and the page's Content-Security-Policy allows its own scripts and its own
style sheet only, by their hashes, and no request at all.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.files.atomic import replacing
from crushtest.registry import TASKS
from crushtest.report import status
from crushtest.report.against import comparisons
from crushtest.report.arm_verdict import compares_text, size_text, verdicts
from crushtest.report.beside import beside as beside_it
from crushtest.report.chance import no_evidence_of_bias
from crushtest.report.drift import drift_text
from crushtest.report.figures.figure import Figure
from crushtest.report.figures.figures import task_figures
from crushtest.report.figures.front import front, reading
from crushtest.report.figures.theme import PAGE
from crushtest.report.findings import OF_GROUPS, anchor
from crushtest.report.hidden_harm import hidden_cell
from crushtest.report.judged import Judged
from crushtest.report.page import matrix, provenance
from crushtest.report.page.changed_answers import find_changes
from crushtest.report.page.group_tables import group_tables
from crushtest.report.page.labelled import CorrectionRow, correction_rows
from crushtest.report.page.noise import keeping_dtype, noise_rows, repeat_facts, repeated_arms
from crushtest.report.page.opening import MOST_OPEN, OUTCOMES, arm_facts, families, hides_anything, ranked
from crushtest.report.page.provenance import (
    citations,
    interval_methods,
    layers,
    notes,
    run_facts,
    scorer_quality,
    start_tokens,
    system_message,
)
from crushtest.report.page.table_notes import TableNotes, row_notes
from crushtest.report.rankings import ranking_rows
from crushtest.report.shading import CLEAR_ALONE
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.task_view import TaskView
from crushtest.report.untested import untested
from crushtest.report.untrusted import name, script_json, visible
from crushtest.report.wording import DIMENSION_MEANING, DIRECTIONS, Label, base_metric, counted, sentence_case
from crushtest.stats.verdicts import SPURIOUS_IMPROVEMENT
from crushtest.study.folder import StudyFolder

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = files("crushtest.report.page") / "templates"


def write_report(folder: StudyFolder, beside: Sequence[str] | None = None, judged: Judged | None = None) -> Path:
    """Write report.html from the study's files; the same files give the same bytes. Return its path.

    beside   the sources of published numbers beside it; None: those of its study file
    judged   what a gate says of the study, for the head of the page

    Raises StoreError if the study has no results yet.
    """
    page = render(read_study(folder, beside), judged)
    with replacing(folder.report) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    folder.outdated.unlink(missing_ok=True)
    return folder.report


def render(study: StudyView, judged: Judged | None = None) -> str:
    """Return the page as HTML."""
    from markupsafe import Markup

    style, script = (TEMPLATES.joinpath(file).read_text("utf-8") for file in ("page.css", "page.js"))
    library = vega()
    drawn = {task.name: [*task_figures(study, task), *beside_it(study, task)] for task in study.tasks}
    opening = list(front(study))
    every = [*opening, *(figure for figures in drawn.values() for figure in figures)]
    changes = find_changes(study)
    arm_verdicts = verdicts(study)
    facts = arm_facts(study, arm_verdicts, judged)
    groups, groups_complete = group_tables(study)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            study=study,
            policy=policy([script, library], [style]),
            style=Markup(style),
            script=Markup(script),
            library=Markup(library),
            config_json=Markup(script_json(PAGE.config())),
            items_json=Markup(script_json(changes.data)),
            specs={figure.key: Markup(script_json(spec(figure))) for figure in every},
            front=opening,
            front_reading=reading(opening),
            lead=status.lead(study, arm_verdicts),
            search=status.SEARCH if len(study.others) > 1 else "",
            judged=judged,
            gate_tones=OUTCOMES,
            arm_facts_of=facts,
            most_open=MOST_OPEN,
            cards_reading=f"Changes come with their 95% interval; {OF_GROUPS}",
            families=families(study),
            hides=hides_anything(study),
            comparisons={arm.name: comparisons(study, arm) for arm in study.others},
            item_count=sum(task.items or 0 for task in study.tasks),
            notes=notes(study),
            ranked=ranked(study, facts),
            rankings=list(ranking_rows(study)),
            dimensions=[_dimension(study, name, tasks, drawn) for name, tasks in study.dimensions.items()],
            group_tables=groups,
            groups_complete=groups_complete,
            changes=changes,
            size_text=size_text,
            spoken=(SPURIOUS_IMPROVEMENT, CLEAR_ALONE),
            hidden_cell=hidden_cell,
            compares_text=compares_text,
            arm_facts=provenance.arm_facts,
            citations=citations,
            layers=layers,
            **_how_it_was_measured(study),
        )
    )


def _how_it_was_measured(study: StudyView) -> dict[str, Any]:
    """Return what the section Method is written from."""
    return {
        "glossary": list(_glossary(study)),
        "interval_methods": interval_methods(study),
        "start_tokens": start_tokens(study),
        "system_message": system_message(study),
        "noise_arms": repeated_arms(study),
        "noise_rows": list(noise_rows(study)),
        "repeat_facts": list(repeat_facts(study.manifest, keeping_dtype(study.plan))),
        "scorer_quality": list(scorer_quality(study.manifest)),
        "run_facts": list(run_facts(study.manifest)),
        "command": shlex.join(study.manifest.get("command", [])),
    }


def policy(scripts: list[str], styles: list[str]) -> str:
    """Return the Content-Security-Policy: these scripts and styles, and nothing else."""
    return (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: list[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def vega() -> str:
    """Return Vega, Vega-Lite and vega-embed with Vega's expression interpreter, which needs no `unsafe-eval`."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub forgets the default
    if "</script" in bundle.lower() or "<!--" in bundle or "\r" in bundle:
        raise AssertionError("this build of Vega cannot stand inside a <script> element")
    return bundle


def spec(figure: Figure) -> dict[str, Any]:
    """Return a figure's Vega-Lite specification for the page, as wide as its place there."""
    specification = figure.spec(PAGE)
    specification.pop("config", None)
    return specification if figure.wide else specification | {"width": "container"}


@cache
def environment() -> Environment:
    """Return the template engine, which escapes everything and treats an unknown name as an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape

    def breakable(text: str) -> Markup:
        """Return a name that may break after its separators."""
        pieces = re.split(r"(?<=[:,+])(?!\d)", text)
        return Markup("<wbr>").join(map(escape, pieces))

    def options(mapping: dict[str, Any]) -> str:
        return ", ".join(f"{key}={value}" for key, value in mapping.items()) or "none"

    engine = Environment(
        loader=PackageLoader("crushtest.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    engine.filters |= {
        "name": name,
        "visible": visible,
        "breakable": breakable,
        "options": options,
        "counted": counted,
        "sentence": sentence_case,
    }
    return engine


# ---- what the sections show -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    view: TaskView
    anchor: str
    summary: str
    measured: bool
    doubt: str
    untested: str
    rows: list[matrix.MetricRow]
    notes: TableNotes
    numbers: list[matrix.NumberRow]
    corrections: list[CorrectionRow]
    drifts: list[tuple[str, str]]
    figures: list[Figure]


@dataclass(frozen=True)
class _Dimension:
    name: str
    meaning: str
    tasks: list[_Task]


def _dimension(study: StudyView, title: str, tasks: tuple[TaskView, ...], drawn: dict[str, list[Figure]]) -> _Dimension:
    views = [
        _Task(
            task,
            anchor(task),
            TASKS.get(task.name).summary,
            any(measured == task.name for _, measured in study.measured),
            no_evidence_of_bias(study, task),
            untested(study, task, study.others).text,
            *_with_notes(list(matrix.metric_rows(study, task))),
            list(matrix.number_rows(study, task)),
            list(correction_rows(study, task)),
            [(arm.name, text) for arm in study.others if (text := drift_text(study, arm.name, task.name))],
            sorted(drawn[task.name], key=lambda figure: figure.wide),
        )
        for task in tasks
    ]
    return _Dimension(title, DIMENSION_MEANING.get(title, ""), views)


def _with_notes(rows: list[matrix.MetricRow]) -> tuple[list[matrix.MetricRow], TableNotes]:
    return rows, row_notes([row.cells for row in rows])


@dataclass(frozen=True)
class _Entry:
    name: str
    label: Label
    direction: str


def _glossary(study: StudyView) -> Iterator[_Entry]:
    """Yield every measure of the study once, without those derived from one (gap, worst group)."""
    seen: set[str] = set()
    for task in study.tasks:
        for metric in study.metrics_of(task):
            if metric not in seen and metric == base_metric(metric):
                seen.add(metric)
                yield _Entry(metric, task.label(metric), DIRECTIONS[study.better[task.name, metric]])
