"""All figures of a study: which there are, and how they are written to files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from crushtest.files.atomic import file_name
from crushtest.report.beside import beside as beside_it
from crushtest.report.figures.draws import draws
from crushtest.report.figures.figure import Figure
from crushtest.report.figures.front import front
from crushtest.report.figures.heatmap import heat_map
from crushtest.report.figures.margins import margins
from crushtest.report.figures.refusals import refusals
from crushtest.report.figures.scatter import against_compression, against_other_side, against_perplexity
from crushtest.report.figures.theme import PAPER
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.task_view import TaskView
from crushtest.report.training_order import training_order
from crushtest.report.untrusted import name
from crushtest.study.folder import StudyFolder

MAKERS = (
    refusals,
    against_compression,
    against_perplexity,
    against_other_side,
    draws,
    training_order,
    heat_map,
    margins,
)
PNG_SCALE = 3.0


def task_figures(study: StudyView, task: TaskView) -> Iterator[Figure]:
    """Yield the figures of one task that the study has the numbers for."""
    yield from (figure for maker in MAKERS if (figure := maker(study, task)) is not None)


def write_figures(folder: StudyFolder, target: Path, beside: Sequence[str] | None = None) -> list[Path]:
    """Write every figure of a study as PDF, SVG and PNG, and return the files.

    beside   the sources of published numbers beside it; None: those of its study file
    """
    study = read_study(folder, beside)
    by_task = (figure for task in study.tasks for figure in (*task_figures(study, task), *beside_it(study, task)))
    return write_all([*front(study), *by_task], target)


def write_all(drawn: Iterable[Figure], target: Path, suffixes: Sequence[str] = (".svg", ".pdf", ".png")) -> list[Path]:
    """Write figures into a folder in each of these formats, and return the files."""
    import vl_convert

    target.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in drawn:
        task = figure.task
        heading = f"{task.heading}: {figure.title.lower()}"
        title = {"text": heading, "subtitle": name(task.name)}
        spec = figure.spec(PAPER) | {"title": title, "config": PAPER.config() | {"background": "white"}}
        stem = target / f"{file_name(task.name)}-{figure.key.partition('-')[2]}"
        svg = vl_convert.vegalite_to_svg(spec)
        for suffix in suffixes:
            path = stem.with_name(stem.name + suffix)
            path.write_bytes(_as_file(svg, suffix))
            written.append(path)
    return written


def _as_file(svg: str, suffix: str) -> bytes:
    import vl_convert

    if suffix == ".pdf":
        return vl_convert.svg_to_pdf(svg)
    return vl_convert.svg_to_png(svg, scale=PNG_SCALE) if suffix == ".png" else svg.encode("utf-8")
