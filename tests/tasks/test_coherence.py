from __future__ import annotations

import pytest

from crushtest.data.python_docs import evaluation_prose
from crushtest.degeneration import is_empty, is_repeating, repeated_share
from crushtest.predictions.point_estimates import PointEstimate, point_estimates
from crushtest.records import Completion, Item, Prompt
from crushtest.tasks.shared.coherence_metrics import all_coherence_metrics, coherence_metrics


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("one two three", 0),  # no 4-gram
        ("a b c d e f g", 0),  # 4 different ones
        ("a b c d a b c d", 1 / 5),  # abcd bcda cdab dabc abcd
        ("a b c d a b c d a b c d", 5 / 9),
        ("no no no no no no no", 3 / 4),
        ("A b, c d. a B, C D.", 1 - 6 / 9),  # signs count as pieces, letters of both cases as one
        ("ha" * 32, 1 - 1 / 5),  # eight pieces of eight letters
        ("!" * 10, 1 - 1 / 7),
        ("2" * 10, 1 - 1 / 7),
    ],
)
def test_the_share_of_repeated_4_grams_is_as_counted_by_hand(text: str, share: float) -> None:
    assert repeated_share(text) == pytest.approx(share)


def test_with_n_1_it_is_one_minus_the_share_of_distinct_words() -> None:
    assert repeated_share("to be or not to be", n=1) == pytest.approx(1 - 4 / 6)


def test_prose_of_the_length_of_a_completion_does_not_count_as_repeating() -> None:
    words = [word for text in evaluation_prose() for word in text.split()]
    pieces = [" ".join(words[start : start + 20]) for start in range(0, len(words), 20)]
    assert sum(map(is_repeating, pieces)) <= 0.002 * len(pieces)


def test_a_sentence_said_twice_is_repeating() -> None:
    assert is_repeating("She was here to read a book. She was here to read a book.")
    assert not is_repeating("She was here to read a book. He was there to write one.")


@pytest.mark.parametrize("text", ["", "  \n", "\x00", "\u200b\u00a0"])
def test_what_cannot_be_seen_is_empty(text: str) -> None:
    assert is_empty(text)


@pytest.mark.parametrize("text", [".", "0", "\U0001f600", " \u0645 "])
def test_what_can_be_seen_is_not_empty(text: str) -> None:
    assert not is_empty(text)


def test_a_completion_counts_as_empty_or_as_repeating_never_as_both() -> None:
    item = Item("a/0", (), "a", Prompt("Once"))
    for text in ("", "no no no no no no no", "A day like others."):
        counted = [metric.measure(item, Completion(text, 5, "length"), None)[0] for metric in coherence_metrics()[:2]]
        assert counted == [float(text == ""), float(text.startswith("no"))]


@pytest.mark.parametrize(
    ("answer", "counted"), [("A day like others.", [0, 0]), ("", [1, 0]), ("no no no no no no no", [0, 1])]
)
def test_what_was_thought_before_an_answer_does_not_count(answer: str, counted: list[int]) -> None:
    item, text = Item("a/0", (), "a", Prompt("Once")), f"<think>so so so so so so so so</think>{answer}"
    assert [metric.measure(item, Completion(text, 5, "eos"), None)[0] for metric in coherence_metrics()[:2]] == counted


# ---- what an answer was cut by ---------------------------------------------------------------------


def rows_of(completions: list[Completion]) -> dict[str, PointEstimate]:
    items = [Item(f"a/{place}", (), f"{place}", Prompt("Once")) for place in range(len(completions))]
    answers = {item.id: completion for item, completion in zip(items, completions, strict=True)}
    rows = point_estimates(all_coherence_metrics(), items, answers, {})
    return {row.metric: row for row in rows if row.group == "all"}


def test_a_completion_that_the_limit_ended_is_cut_and_an_unknown_end_is_unknown() -> None:
    text = "It was cold that day."
    rows = rows_of([Completion(text, 5, stop) for stop in ("length", "eos", "stop", "length", "unknown")])
    assert (rows["cut_rate"].value, rows["cut_rate"].n, rows["cut_rate"].n_unscored) == (0.5, 4, 1)
    only = rows_of([Completion(text, 0, "unknown")])["cut_rate"]
    assert (only.value, only.n_unscored) == (None, 1)
    assert only.reason


def test_what_the_limit_cut_while_thinking_is_not_empty_but_unscored() -> None:
    thinks = "<think>Let me see what they want"
    rows = rows_of([Completion(thinks, 9, "length"), Completion(f"{thinks}</think>It was cold that day.", 20, "eos")])
    shares = ("empty_rate", "repetition_rate", "short_rate", "no_language_rate", "degenerate_rate")
    assert [(rows[name].value, rows[name].n, rows[name].n_unscored) for name in shares] == [(0, 1, 1)] * 5
    assert rows["cut_rate"].value == 0.5
    assert rows["thinking_characters"].value == len("Let me see what they want")
    assert rows_of([Completion(f"{thinks}</think>", 9, "eos")])["empty_rate"].value == 1
