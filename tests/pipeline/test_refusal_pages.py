"""What the page shows of refusals: a figure of both sides, and no text to a harmful request unless it is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import pytest

from crushtest.engines.fake.engine import FakeEngine
from crushtest.pipeline.run import run_study
from crushtest.records import Completion, Prompt, Request
from crushtest.report.answers import most_changed
from crushtest.report.arm_verdict import verdicts
from crushtest.report.card import write_card
from crushtest.report.figures.refusals import HEADS, LEVELS, LINES, WAYS, refusals
from crushtest.report.page.changed_answers import find_changes
from crushtest.report.study_view import StudyView, read_study
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec
from support.contrast_rows import with_columns

HEADLINES = ("refusal_rate", "over_refusal_rate", "incoherent_rate")
MARK = "Zinnober"
"""Stands in every completion, so that it can be searched for where no completion may be."""


def replies(seed: int) -> Any:
    """Model 0 refuses every second request, model 1 every request."""

    def reply(request: Request) -> Completion | None:
        if not isinstance(request, Prompt):
            return None
        refuses = seed == 1 or len(request.text) % 2 == 0
        text = "I'm sorry, but I can't help with that" if refuses else "To begin with, open the window and look out"
        return Completion(f"{text}, {MARK} {seed}.", 12, "eos")

    return reply


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    with pytest.MonkeyPatch.context() as patch:
        make = FakeEngine.__init__
        patch.setattr(FakeEngine, "__init__", lambda engine, seed, _, *rest: make(engine, seed, replies(seed), *rest))
        arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
        content = {"model": "fake", "engine": "fake", "arms": arms, "suite": ["probe_refusal", "probe_prompts"]}
        run_study(build_spec(content, where="test"), out := tmp_path_factory.mktemp("refusals") / "s")
    return StudyFolder(out)


@pytest.fixture
def view(folder: StudyFolder) -> StudyView:
    return read_study(folder)


def test_the_figure_has_both_sides_of_every_arm_and_a_way_to_it(view: StudyView) -> None:
    figure = refusals(view, view.task("probe_refusal"))
    assert figure is not None
    points = {row["arm"]: row for name in ("dense", "as found") for row in figure.data[name]}
    for arm, point in points.items():
        for axis, metric in (("x", "over_refusal_rate"), ("y", "refusal_rate")):
            estimate = view.estimate(arm, "probe_refusal", metric)
            assert estimate is not None
            assert point[axis] == estimate.value
    assert (points["other"]["x"], points["other"]["y"]) == (1.0, 1.0)
    (way,) = figure.data[WAYS]
    assert (way["x"], way["y"], way["x2"], way["y2"]) == (points["dense"]["x"], points["dense"]["y"], 1.0, 1.0)
    (head,) = figure.data[HEADS]
    assert 0 < head["turned"] < 90  # it points up and to the right


def test_along_a_line_d_prime_is_the_same(view: StudyView) -> None:
    figure = refusals(view, view.task("probe_refusal"))
    assert figure is not None
    normal = NormalDist()
    inner = [row for row in figure.data[LINES] if 0 < row["x"] < 1]
    assert {row["level"] for row in inner} == set(LEVELS)
    for row in inner:
        assert normal.inv_cdf(row["y"]) - normal.inv_cdf(row["x"]) == pytest.approx(row["level"])


def test_only_tasks_that_measure_both_sides_have_the_figure(view: StudyView) -> None:
    assert refusals(view, view.task("probe_prompts")) is None


def test_what_was_written_to_a_harmful_request_is_blurred(view: StudyView) -> None:
    content = next(task for task in find_changes(view).data["tasks"] if task["name"] == "probe_refusal")
    harmful = {place for place, item in enumerate(content["items"]) if '"refuse"' in item["facts"]}
    assert harmful
    assert all(row[-1] == 3 for row in content["rows"] if row[1] in harmful)


def test_no_completion_stands_in_a_card_or_a_table(folder: StudyFolder) -> None:
    texts = [path.read_text() for path in write_card(folder)]
    tables = [json.dumps([repr(row) for row in (*folder.read_contrasts(), *folder.read_estimates())])]
    assert texts
    assert not any(MARK in text for text in (*texts, *tables, folder.manifest.read_text()))


@pytest.mark.parametrize("most", HEADLINES)
def test_changed_answers_are_those_of_every_headline(view: StudyView, most: str) -> None:
    rows = dict(view.contrasts)
    for metric in HEADLINES:
        key = ("other", "probe_refusal", metric, "all")
        rows[key] = with_columns(rows[key], n=100, flips=68 if metric == most else 3)
    changed = most_changed(replace(view, contrasts=rows), view.others[0])
    assert (changed.share, changed.text) == (0.68, "68%")
    label = view.task("probe_refusal").label(most).text
    assert f"probe_refusal, {label}: 68 of 100" in changed.detail
    assert sum(text.startswith("probe_refusal") for text in changed.detail) == len(HEADLINES)


def test_a_verdict_names_the_measure_where_several_head_a_dimension(view: StudyView) -> None:
    status = verdicts(view)[0].status
    assert status.endswith("worse in refusal (over-refusals)")
    (only,) = (task for task in view.tasks if task.name == "probe_refusal")
    alone = replace(only, planned=replace(only.planned, task=replace(only.planned.task, also_headline=())))
    row = replace(view.contrasts["other", "probe_refusal", "over_refusal_rate", "all"], metric="refusal_rate")
    rows = {**view.contrasts, ("other", "probe_refusal", "refusal_rate", "all"): row}
    assert verdicts(replace(view, tasks=(alone,), contrasts=rows))[0].status.endswith("worse in refusal")


@pytest.mark.parametrize("metric", HEADLINES)
def test_groups_are_compared_in_every_headline(view: StudyView, metric: str) -> None:
    def groups_of(*values: str) -> tuple[str, list[str]]:
        row = replace(view.contrasts["other", "probe_refusal", "over_refusal_rate", "all"], metric=metric)
        rows = {
            ("other", "probe_refusal", metric, group): with_columns(row, group=group, n=9, verdict="worse", p=0.01)
            for group in values
        }
        judged = verdicts(replace(view, contrasts={**view.contrasts, **rows}))[0]
        return judged.groups_summary, [finding.subject for finding in judged.groups]

    (before, _), (after, subjects) = groups_of(), groups_of("category=made up")
    assert "category: made up" in subjects
    assert before != after
    assert "over all headlines" in after
