"""Files of predictions that are damaged, absurd or contradict themselves: one line each, and never an answer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.errors import DataError
from crushtest.metrics import NOT_FINITE, TIED, NoChoice, accuracy, choice, highest
from crushtest.predictions import harness
from crushtest.predictions.choices import read_choice
from crushtest.predictions.reading import NotParsed, Problems, read_lines
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.stats.item_sums import measure_sums
from predictions.test_harness import ROW, sample, scored, written

ITEM = Item("Age/0", (), "c", Choices("q", (" a", " b", " c")), gold=0)
ANSWERS = ("The grandfather", "The grandson", "Not known")


def problems_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    problems = Problems()
    list(read_lines(path, problems))
    return str(problems)


@pytest.mark.parametrize(
    "line",
    ["[" * 100_000, '{"item": "Age/0", "answer": ' + "9" * 5_000 + "}", '{"item": "Age/0", "answer": "a', "5"],
    ids=["brackets", "digits", "cut", "number"],
)
def test_a_line_that_is_no_object_is_named_by_its_number(line: str, tmp_path: Path) -> None:
    assert "line 2 (" in problems_of(tmp_path / "f.jsonl", f"\n{line}\n".encode())


@given(keep=st.integers(0, 200), flip=st.integers(0, 200), bit=st.integers(0, 7))
def test_a_damaged_gzip_is_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, keep: int, flip: int, bit: int
) -> None:
    packed = bytearray(gzip.compress(b"".join(b'{"item": "Age/%d", "answer": 0}\n' % n for n in range(200))))
    packed[flip % len(packed)] ^= 1 << bit
    path = tmp_path_factory.mktemp("gzip") / "f.jsonl.gz"
    path.write_bytes(packed[: len(packed) - keep % len(packed)])
    message = ""
    try:
        list(read_lines(path, Problems()))
    except DataError as error:
        message = str(error)
    assert not message or "f.jsonl.gz" in message


def test_a_separator_of_lines_inside_a_text_is_no_end_of_line(tmp_path: Path) -> None:
    line = json.dumps({"item": "Age/0", "answer": 0, "note": "a\u2028b\x85c"}, ensure_ascii=False)
    assert problems_of(tmp_path / "f.jsonl", line.encode()) == ""


@pytest.mark.parametrize(
    "scores", [f"[{'9' * 310}, 0, 0]", "[NaN, 0, 0]", "[Infinity, 0, 0]", "[1e999, 0, 0]", "[[], 0, 0]"]
)
def test_scores_beyond_a_float_do_not_parse(scores: str) -> None:
    with pytest.raises(NotParsed, match="scores must be"):
        read_choice(ITEM, json.loads(f'{{"scores": {scores}}}'))


@pytest.mark.parametrize(
    ("answer", "scores"), [(2, [0, 1, 0]), (None, [0, 1, 0]), (1, [1, 1, 0]), (1, None), (True, [0, 1, 0])]
)
def test_an_answer_that_its_scores_deny_does_not_parse(answer: object, scores: object) -> None:
    with pytest.raises(NotParsed, match="give one of the two"):
        read_choice(ITEM, {"answer": answer, "scores": scores})


def test_an_answer_and_scores_that_agree_are_one_answer() -> None:
    assert read_choice(ITEM, {"answer": 1, "scores": [0, 1, 0]}) == read_choice(ITEM, {"scores": [0, 1, 0]})


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "NaN", "1e999"])
def test_a_log_of_numbers_that_are_none_has_no_answer(bad: str, data: Path, tmp_path: Path) -> None:
    every = scored(tmp_path, sample(dict.fromkeys(ANSWERS, bad)))  # type: ignore[arg-type]
    one = scored(tmp_path, sample({ANSWERS[0]: bad, ANSWERS[1]: -1.0, ANSWERS[2]: -2.0}))  # type: ignore[dict-item]
    for result in (every, one):
        assert (result["items"]["answered"], result["items"]["no_answer"]) == (0, 1)
        assert result["bias_ambiguous"] is None


def test_a_tie_is_counted_and_chooses_nothing(data: Path, tmp_path: Path) -> None:
    result = scored(tmp_path, sample(dict.fromkeys(ANSWERS, -3.0)))
    assert (result["items"]["answered"], result["items"]["tied"], result["items"]["no_answer"]) == (0, 1, 0)
    assert result["bias_ambiguous"] is None
    assert result["accuracy_ambiguous"] is None


def test_a_tie_for_the_second_place_is_no_tie(data: Path, tmp_path: Path) -> None:
    result = scored(tmp_path, sample(dict(zip(ANSWERS, (-3.0, -3.0, -1.0), strict=True))))
    assert (result["items"]["answered"], result["items"]["tied"]) == (1, 0)
    assert result["accuracy_ambiguous"] == 1


@given(st.lists(st.floats(-100, 0) | st.just(-5.0), min_size=2, max_size=6))
def test_the_highest_is_chosen_unless_it_is_that_of_several(values: list[float]) -> None:
    if values.count(max(values)) > 1:
        with pytest.raises(NoChoice, match="tied"):
            highest(values)
    else:
        assert highest(values) == max(range(len(values)), key=values.__getitem__)


def scores(*values: float) -> ChoiceScores:
    return ChoiceScores(values, (1,) * len(values), (1,) * len(values))


def test_a_tie_in_an_engine_is_unscored_with_a_reason_and_cannot_flip() -> None:
    answers = {"a": scores(0, -1, -2), "b": scores(-1, -1, -2), "c": scores(float("nan"), -1, -2)}
    items = [Item(name, (), "c", ITEM.request, gold=0) for name in answers]
    sums = measure_sums(accuracy(), items, answers, {})
    assert sums.scored.tolist() == [True, False, False]
    assert sums.reasons.tolist() == [None, TIED, NOT_FINITE]
    assert sums.states is not None
    assert sums.states.tolist() == [0, None, None]
    assert choice(scores(float("-inf"), -1, -2)) == 1


WRONG: list[Any] = [None, 5, 1.5, True, [], ["a"], {}, {"a": 1}, "x", "", [[1]], [None, "unknown"], "\ud800"]


@given(st.sampled_from(sorted(ROW)), st.sampled_from(WRONG))
def test_a_log_of_other_types_does_not_parse_or_is_read(field: str, value: object) -> None:
    for line in (sample(dict.fromkeys(ANSWERS, -3.0)), written("The grandson")):
        line["doc"] = ROW | {field: value}
        message = ""
        try:
            harness.row_of(line)
        except NotParsed as error:
            message = str(error)
        assert len(message) < 300


@pytest.mark.parametrize("field", sorted(ROW))
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_log_of_other_types_is_scored_or_one_line(field: str, value: object, data: Path, tmp_path: Path) -> None:
    line = sample(dict.fromkeys(ANSWERS, -3.0), **{field: value})
    message = ""
    try:
        scored(tmp_path, line)
    except DataError as error:
        message = str(error)
    assert message.isprintable()
