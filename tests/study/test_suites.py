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
from crushtest.study.suites import resolve, suites

DIMENSIONS = {
    "quick": set(get_args(Dimension)),
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
