"""Arms trained before and after compression stand side by side; nothing is drawn for a study of one order only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import vl_convert

from crushtest.report import write_report
from crushtest.report.figures import figures
from crushtest.report.figures.theme import PAGE, PAPER
from crushtest.report.page import html
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.training_order import ORDERS, training_order
from crushtest.study.folder import StudyFolder
from support import synthetic_study

ARMS = (
    {"name": "half", "recipe": "wanda:sparsity=0.5"},
    {"name": "tuned-pruned", "model": "org/tuned", "recipe": "wanda:sparsity=0.5", "training": "before"},
    {"name": "pruned-tuned", "model": "org/pruned-tuned", "training": "after"},
    {"name": "tuned-magnitude", "model": "org/tuned", "recipe": "magnitude:sparsity=0.5", "training": "before"},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    with synthetic_study.stand_ins() as names:
        return synthetic_study.build(tmp_path_factory.mktemp("order") / "study", names, arms=ARMS, size=96)


@pytest.fixture
def view(folder: StudyFolder) -> StudyView:
    return read_study(folder)


def test_every_task_has_both_orders_with_the_numbers_of_contrasts_parquet(view: StudyView) -> None:
    for task in view.tasks:
        figure = training_order(view, task)
        assert figure is not None
        [rows] = figure.data.values()
        assert [(row["arm"], row["order"]) for row in rows] == [
            ("tuned-pruned", ORDERS["before"]),
            ("tuned-magnitude", ORDERS["before"]),
            ("pruned-tuned", ORDERS["after"]),
        ]
        for row in rows:
            found = view.contrast(row["arm"], task.name, task.headline.name)
            assert found is not None
            assert (row["difference"], row["low"], row["high"]) == (found.difference, *found.intervals.at95)
        assert [text[0] for text in figure.rows] == [row["arm"] for row in rows]


def test_it_is_valid_and_drawn_for_page_and_file(view: StudyView) -> None:
    figure = training_order(view, view.tasks[0])
    assert figure is not None
    for theme in (PAGE, PAPER):
        figure.draw(theme).to_dict(validate=True)
    drawn = vl_convert.vegalite_to_svg(figure.spec(PAPER))
    assert all(words in drawn for words in ORDERS.values())
    assert all(colour in drawn for colour in PAPER.series[:2])
    assert html.spec(figure)["datasets"] == figure.spec(PAPER)["datasets"]


def test_the_page_and_the_files_have_it(folder: StudyFolder, view: StudyView, tmp_path: Path) -> None:
    page = write_report(folder).read_text(encoding="utf-8")
    assert page.count(f"<h4>{'Order of training and compression'}</h4>") == len(view.tasks)
    assert "<dt>trained</dt><dd>after compression, according to the study file</dd>" in page
    written = {path.name for path in figures.write_figures(folder, tmp_path)}
    assert {f"{task.name}-order.svg" for task in view.tasks} <= written


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_study_of_one_order_draws_nothing(view: StudyView, order: str) -> None:
    kept = tuple(arm for arm in view.arms if arm.plan.training in (None, order))
    assert training_order(replace(view, arms=kept), view.tasks[0]) is None


def test_an_arm_without_a_number_is_named(view: StudyView) -> None:
    task = view.tasks[0]
    rows = {key: row for key, row in view.contrasts.items() if key[:2] != ("tuned-magnitude", task.name)}
    figure = training_order(replace(view, contrasts=rows), task)
    assert figure is not None
    assert figure.note.endswith("Not shown, because they have no number: tuned-magnitude.")
