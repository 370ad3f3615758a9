"""The suites that the package carries: their tasks and options are valid, and `paper` runs with what is here."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from crushtest.pipeline.run import run_study
from crushtest.registry import Dimension
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec
from crushtest.study.suites import Suite, by_hand, fetched, resolve, suites

DIMENSIONS = {
    "quick": set(get_args(Dimension)),
    "standard": set(get_args(Dimension)),
    "paper": set(get_args(Dimension)) - {"refusal"},  # Xu et al. 2024 do not measure it
}
GATED = {"twitteraae", "subreddits", "paloma", "advpromptset"}


@pytest.mark.parametrize("name", list(suites()))
def test_tasks_and_options_of_a_suite_are_valid(name: str) -> None:
    plan = make_plan(build_spec({"model": "fake", "engine": "fake", "suite": name}, where="test"))
    assert {planned.name for planned in plan.tasks} == {task for task, _ in resolve(name)}


@pytest.mark.parametrize("name", list(DIMENSIONS))
def test_a_suite_covers_the_dimensions(name: str) -> None:
    plan = make_plan(build_spec({"model": "fake", "engine": "fake", "suite": name}, where="test"))
    assert {planned.dimension for planned in plan.tasks} == DIMENSIONS[name]


@pytest.mark.parametrize("suite", suites().values(), ids=lambda suite: suite.name)
def test_a_suite_says_what_to_expect_of_it(suite: Suite) -> None:
    assert all((suite.summary, suite.detects, suite.misses, suite.takes))


def test_whatever_standard_reads_can_be_fetched() -> None:
    assert {"bbq", "mmlu"} <= set(fetched(suites()["standard"]))
    assert not by_hand(suites()["standard"])
    assert {"twitteraae", "paloma"} <= set(by_hand(suites()["paper"]))
    assert not fetched(suites()["quick"])


@pytest.mark.usefixtures("data", "substitutes")
def test_every_headline_of_standard_can_have_an_interval() -> None:
    """Neither a task of one item, as WikiText by its usual protocol, nor one of five clusters can show anything."""
    for planned in make_plan(build_spec({"model": "fake", "engine": "fake", "suite": "standard"}, where="test")).tasks:
        assert len({item.cluster for item in planned.draw()}) >= 20, planned.name


@pytest.mark.usefixtures("substitutes")
def test_paper_runs_without_its_gated_sets_when_told_to(data: Path, tmp_path: Path) -> None:
    spec = build_spec({"model": "fake", "engine": "fake", "suite": "paper", "limit": 8}, where="test")
    assert run_study(spec, tmp_path / "s", skip_missing=True)
    folder = StudyFolder(tmp_path / "s")
    skipped = set(manifest.read(folder.manifest)["skipped"])
    asked = {task for task, _ in resolve("paper")} - skipped
    assert skipped >= GATED
    assert asked == {estimate.task for estimate in folder.read_estimates()}
    assert {"bbq", "unqover", "mmlu", "truthfulqa", "wikitext2", "aave_literature", "xsum"} <= asked
