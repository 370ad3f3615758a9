"""MT-Bench: conversations, the authors' prompts to a judge, ratings and preferences worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import ModelError
from crushtest.pipeline.run import run_study
from crushtest.records import Completion, Exchange, Prompt, Score
from crushtest.scorers.mt_bench import mt_bench as rate
from crushtest.scorers.mt_bench import mt_bench_pair, questions, rating, winner
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec
from crushtest.tasks.mt_bench import conversation, cost, mt_bench

FIRST = "Compose an engaging travel blog post about a recent trip to Hawaii"


def exchange(answer: str, *, second: bool = False, question: str = "Say something kind.") -> Exchange:
    if not second:
        return Exchange(question, answer, chat=True)
    return Exchange("And now the same in verse.", answer, chat=True, history=((question, "first answer"),))


class Judge:
    """An engine that gives these answers in turn and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def __call__(self, model: str, engine: str) -> FakeEngine:
        return FakeEngine(respond=self._respond)

    def _respond(self, request: object) -> Completion:
        assert isinstance(request, Prompt)
        assert request.chat
        self.asked.append(request.text)
        return Completion(self.answers[len(self.asked) - 1], 5, "eos")


def test_a_conversation_is_an_item_a_turn() -> None:
    first, second = conversation("81", "writing", ["One?", "Two?"])
    assert first.request == Prompt("One?", chat=True)
    assert second.request == Prompt("Two?", chat=True, follows="81/1")
    assert second.groups == ("category=writing", "turn=2")
    assert first.cluster == second.cluster == "81"


def test_there_are_eighty_conversations_and_a_limit_keeps_them_whole(data: Path) -> None:
    items = mt_bench().items()
    assert len(items) == 160
    assert items[0].request.text.startswith(FIRST)  # type: ignore[union-attr]
    few = mt_bench().sample_items(17, 0)
    assert [item.groups[0] for item in few[::2]] == sorted(
        {item.groups[0] for item in items}, key=[i.groups[0] for i in items].index
    )
    assert len(few) == 16
    assert len(mt_bench().sample_items(1, 0)) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Fine. Rating: [[7]]", 7.0),
        ("[[8.5]] then [[2]]", None),
        ("Rating: 7", None),
        ("[[11]]", None),
        ("[[0]]", None),
    ],
)
def test_ratings(text: str, value: float | None) -> None:
    assert rating(text).value == value


@pytest.mark.parametrize(
    ("arm_first", "dense_first", "value"),
    [
        ("[[A]]", "[[B]]", 1.0),
        ("[[B]]", "[[A]]", 0.0),
        ("[[A]]", "[[A]]", 0.5),  # whatever stands first: a tie
        ("[[A]]", "[[C]]", 0.5),
        ("[[C]]", "[[C]]", 0.5),
        ("[[A]]", "no idea", None),
    ],
)
def test_a_side_wins_only_in_both_orders(arm_first: str, dense_first: str, value: float | None) -> None:
    assert winner(arm_first, dense_first).value == value


def test_the_judge_reads_the_authors_words(data: Path) -> None:
    judge = Judge("[[3]]", "[[9]]")
    scores = rate([exchange("Be well."), exchange("O be well.", second=True)], judge, model="judge")
    assert [score.value for score in scores] == [3.0, 9.0]
    single, turns = judge.asked
    assert single.startswith("You are a helpful assistant.\n\n[Instruction]\nPlease act as an impartial judge")
    assert single.endswith(
        "[Question]\nSay something kind.\n\n"
        "[The Start of Assistant's Answer]\nBe well.\n[The End of Assistant's Answer]"
    )
    assert "### User:\nSay something kind.\n\n### Assistant A:\nfirst answer\n\n### User:\nAnd now the same" in turns
    assert "O be well." in turns


def test_math_comes_with_its_reference_answer(data: Path) -> None:
    known = next(question for question in questions().values() if question.category == "math")
    judge = Judge("[[1]]")
    rate([exchange("42", question=known.turns[0])], judge, model="judge")
    assert known.reference is not None
    assert f"[The Start of Reference Answer]\n{known.reference[0]}\n[The End" in judge.asked[0]
    assert sum(question.reference is not None for question in questions().values()) == 30


def test_answers_are_swapped_and_equal_ones_cost_nothing(data: Path) -> None:
    judge = Judge("[[A]]", "[[B]]")
    arm, dense = [exchange("same"), exchange("arm's")], [exchange("same"), exchange("dense's")]
    assert mt_bench_pair(arm, judge, dense, model="judge") == [Score(0.5), Score(1.0)]
    first, second = (text.index("arm's") < text.index("dense's") for text in judge.asked)
    assert (first, second) == (True, False)


def test_a_place_in_an_answer_is_not_filled_in(data: Path) -> None:
    judge = Judge("[[5]]")
    rate([exchange("{question} [[10]]")], judge, model="judge")
    assert "{question} [[10]]" in judge.asked[0]


def test_an_empty_answer_is_unscored_and_a_judge_must_be_named(data: Path) -> None:
    assert rate([exchange(" ")], Judge(), model="judge")[0].reason == "empty completion"
    with pytest.raises(ModelError, match="name the model that judges"):
        rate([exchange("x")], Judge())


def test_the_cost_is_said_before_a_study_begins(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = [{"mt_bench": {"judge": "fake,engine=fake", "limit": 4}}]
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    spec = build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": suite}, where="test")
    run_study(spec, tmp_path / "s")
    said = capsys.readouterr().err
    assert cost("fake,engine=fake", True, 4) in said.splitlines()[0]
    rows = {row.metric: row for row in StudyFolder(tmp_path / "s").read_estimates() if row.group == "all"}
    assert rows["rating"].value is None  # the fake judge says nothing in double brackets
    assert rows["rating"].n_unscored == 4
    assert rows["rating"].reason is not None
