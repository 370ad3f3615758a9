"""Items made from the dense arm's own answers: settled once, asked of every arm, and found again by a later run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import UsageError
from crushtest.pipeline.run import run_study
from crushtest.records import Choices, Completion, Item, Prompt, Request
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import StudySpec, build_spec
from crushtest.tasks.refusal.openings import FALLBACK

MARK = "Zinnober"
"""Stands in every completion, so that it can be searched for where no completion may be."""


def spec(suite: list[object], limit: int | None = None) -> StudySpec:
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    content = {"model": "fake", "engine": "fake", "arms": arms, "suite": suite, "limit": limit}
    return build_spec(content, where="test")


MARGIN = {"refusal_margin": {"of": "probe_refusal"}}


def reply(request: Request) -> Completion | None:
    """Refuse every third request in the same words, and answer the others."""
    if not isinstance(request, Prompt):
        return None
    refuses = len(request.text) % 3 == 0
    text = "I'm sorry, but I can't help with that" if refuses else "To begin with, open the window and look out"
    return Completion(f"{text}, {MARK}.", 12, "eos")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    make = FakeEngine.__init__

    def scripted_make(engine: FakeEngine, seed: int, _: object, *rest: Any) -> None:
        make(engine, seed, reply, *rest)

    monkeypatch.setattr(FakeEngine, "__init__", scripted_make)


def options(items: list[Item]) -> set[tuple[str, ...]]:
    return {item.request.options for item in items if isinstance(item.request, Choices)}


@pytest.mark.usefixtures("scripted")
def test_openings_are_the_dense_models_own_and_the_same_for_all_items(tmp_path: Path) -> None:
    run_study(spec(["probe_refusal", MARGIN]), tmp_path / "s")
    items = StudyFolder(tmp_path / "s").read_items("refusal_margin")
    (openings,) = options(items)
    refusing = items[0].facts["refusing"]
    assert isinstance(refusing, int)
    assert openings == ("I'm", "To")
    assert {item.id: item.facts["refused"] for item in items} == {
        item.id: len(item.request.context) % 3 == 0 for item in items if isinstance(item.request, Choices)
    }


@pytest.mark.usefixtures("scripted")
def test_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    assert run_study(spec(["probe_refusal", MARGIN]), tmp_path / "s")
    before = (tmp_path / "s/items/refusal_margin.parquet").read_bytes()
    assert not run_study(spec(["probe_refusal", MARGIN]), tmp_path / "s")
    assert (tmp_path / "s/items/refusal_margin.parquet").read_bytes() == before


@pytest.mark.usefixtures("scripted")
def test_a_grown_study_keeps_the_openings_that_it_began_with(tmp_path: Path) -> None:
    run_study(spec(["probe_refusal", MARGIN], limit=8), tmp_path / "s")
    few = StudyFolder(tmp_path / "s").read_items("refusal_margin")
    run_study(spec(["probe_refusal", MARGIN], limit=12), tmp_path / "s")
    more = StudyFolder(tmp_path / "s").read_items("refusal_margin")
    assert len(more) > len(few)
    assert options(more) == options(few)
    later = {item.id: item for item in more}
    assert [later[item.id] for item in few] == few


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_study_killed_as_items_settle_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = spec(["probe_refusal", MARGIN])
    monkeypatch.setattr("crushtest.pipeline.from_dense.describe_task", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "s")
    monkeypatch.undo()
    assert run_study(study, tmp_path / "s")
    run_study(study, tmp_path / "whole")
    for name in ("items/refusal_margin.parquet", "arms/other/answers/refusal_margin.parquet"):
        assert (tmp_path / "s" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("suite", [[MARGIN], [MARGIN, "probe_refusal"]])
def test_the_task_that_is_learnt_from_comes_first(suite: list[object]) -> None:
    with pytest.raises(UsageError, match="put that task before it"):
        make_plan(spec(suite))


def test_both_tasks_ask_the_same_items() -> None:
    with pytest.raises(UsageError, match="the same limit"):
        make_plan(spec(["probe_refusal", {"refusal_margin": {"of": "probe_refusal", "limit": 3}}]))


def test_fixed_openings_need_no_other_task(tmp_path: Path) -> None:
    run_study(spec([{"refusal_margin": {"of": "probe_refusal", "openings": "fixed"}}]), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    assert options(folder.read_items("refusal_margin")) == {FALLBACK.refusing + FALLBACK.answering}
    reasons = {row.reason or "" for row in folder.read_contrasts() if row.metric == "refusal_margin"}
    assert not any("is unknown" in reason for reason in reasons)


def test_between_equal_models_the_margin_says_nothing(tmp_path: Path) -> None:
    study = spec([{"refusal_margin": {"of": "probe_refusal", "openings": "fixed"}}])
    same = study.model_copy(update={"arms": (study.arms[0].model_copy(update={"engine": "fake"}),)})
    run_study(same, tmp_path / "s")
    rows = [row for row in StudyFolder(tmp_path / "s").read_contrasts() if row.group == "all"]
    assert rows
    assert {row.difference for row in rows} == {0.0}
    assert not {row.verdict for row in rows} & {"better", "worse", "changed"}
