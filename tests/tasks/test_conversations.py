"""Conversations: turns are asked in order, each with what was said before it, whenever a study is interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from crushtest.engines.fake.engine import FakeEngine
from crushtest.engines.load import only_named
from crushtest.errors import EngineError, UsageError
from crushtest.files.append_log import AppendLog
from crushtest.models.options import ModelOptions
from crushtest.pipeline import score
from crushtest.pipeline.ask import ask
from crushtest.progress import Lines
from crushtest.records import Completion, Exchange, Item, Prompt, Score
from crushtest.scorers.calling import call_scorer, exchange_of
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import PlannedTask
from crushtest.study.rows import ANSWER_BUILDERS, ANSWERS, item_from_row, item_row
from crushtest.tasks.base import Task
from crushtest.tasks.shared.conversations import history, waves, with_history


def turn(name: str, text: str, follows: str | None = None) -> Item:
    return Item(name, (), name, Prompt(text, chat=True, follows=follows))


ITEMS = [turn("b2", "And then?", "b1"), turn("a1", "Hello"), turn("b1", "Go on"), turn("b3", "Really?", "b2")]


def echo(request: object) -> Completion:
    """An answer that says how many turns came before."""
    assert isinstance(request, Prompt)
    return Completion(f"{request.text} ({len(request.history)} before)", 3, "eos")


def planned(items: Sequence[Item]) -> PlannedTask:
    return PlannedTask("talk", "downstream quality", {}, Task("prompts", lambda: items, ()), None, 0)


def log(folder: Path) -> AppendLog[Completion]:
    return AppendLog(folder / "talk.parquet", ANSWERS["prompts"], ANSWER_BUILDERS["prompts"])


def test_first_turns_come_first_and_keep_their_order() -> None:
    assert waves(ITEMS) == [[1, 2], [0], [3]]


def test_tasks_without_turns_are_one_wave() -> None:
    assert waves([turn("a", "x"), turn("b", "y")]) == [[0, 1]]


def test_a_turn_without_the_one_before_it_is_an_error() -> None:
    with pytest.raises(UsageError, match="item 'b2' follows 'b1', which is not asked"):
        waves(ITEMS[:2])


def test_the_history_is_oldest_first() -> None:
    by_id = {item.id: item for item in ITEMS}
    answers = {name: Completion(f"answer to {name}", 1, "eos") for name in by_id}
    said = (("Go on", "answer to b1"), ("And then?", "answer to b2"))
    assert history(by_id["b3"], by_id, answers) == said
    assert with_history(by_id["b3"], by_id, answers).request == Prompt("Really?", True, history=said, follows="b2")
    assert with_history(by_id["a1"], by_id, answers) is by_id["a1"]
    assert exchange_of(by_id["b3"], by_id, answers) == ("Really?", "answer to b3", "", True, said, None)


def test_every_turn_is_asked_with_the_answers_before_it(tmp_path: Path) -> None:
    assert sum(ask(FakeEngine(respond=echo), planned(ITEMS), ITEMS, log(tmp_path))) == 4
    answers = log(tmp_path).read()
    assert {name: answer.text for name, answer in answers.items()} == {
        "a1": "Hello (0 before)",
        "b1": "Go on (0 before)",
        "b2": "And then? (1 before)",
        "b3": "Really? (2 before)",
    }


def test_an_interrupted_conversation_goes_on_with_the_same_answers(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        list(ask(FakeEngine(respond=echo, fail_at=3), planned(ITEMS), ITEMS, log(tmp_path / "broken")))
    again = FakeEngine(respond=echo)
    assert sum(ask(again, planned(ITEMS), ITEMS, log(tmp_path / "broken"))) == 1
    list(ask(FakeEngine(respond=echo), planned(ITEMS), ITEMS, log(tmp_path / "whole")))
    assert log(tmp_path / "broken").read() == log(tmp_path / "whole").read()


def test_a_turn_is_kept_with_what_it_follows() -> None:
    assert item_from_row(item_row(ITEMS[0])) == ITEMS[0]


def test_a_scorer_that_compares_needs_a_study() -> None:
    with pytest.raises(EngineError, match="compares with the dense model: it needs a study"):
        call_scorer("mt_bench_pair:demo", [Exchange("q", "a")], only_named)


def test_a_scorer_in_a_study_sees_the_turns_before_and_the_dense_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def call(spec: str, exchanges: Sequence[Exchange], engines: object, against: Sequence[Exchange]) -> list[Score]:
        seen.extend(zip(exchanges, against, strict=True))
        return [Score(1.0)] * len(exchanges)

    monkeypatch.setattr(score, "call_scorer", call)
    monkeypatch.setattr(score, "facts_of", lambda spec: {})
    folder = StudyFolder(tmp_path)
    for arm in ("dense", "other"):
        answers = folder.answers(arm, "toy", "prompts")
        for item in ITEMS:
            answers.append(item.id, Completion(f"{arm} to {item.id}", 3, "eos"))
        answers.finish([item.id for item in ITEMS])
    judged = replace(planned(ITEMS), name="toy", task=Task("prompts", lambda: ITEMS, (), scorers=("mt_bench_pair:m",)))
    arm = Arm("other", "m", None, "fake", {}, ModelOptions())
    score.score(folder, arm, judged, ITEMS, Lines(), lambda model, engine: FakeEngine())
    assert seen[0] == tuple(
        Exchange("And then?", f"{arm} to b2", chat=True, history=(("Go on", f"{arm} to b1"),))
        for arm in ("other", "dense")
    )
