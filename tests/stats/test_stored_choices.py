"""Answers read by columns: everything that is made of them is what it is of the same answers one by one."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.metrics import Metric, accuracy, choice, choice_per_byte, choice_per_token, mean, with_read
from crushtest.records import Answer, Choices, ChoiceScores, Item, ReadChoice, Unanswered
from crushtest.stats.asked import Asked
from crushtest.stats.decision_margins import option_changes
from crushtest.stats.item_sums import Measured, measure_sums
from crushtest.stats.stored_choices import StoredChoices
from crushtest.stats.tokens import compare_tokens
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from crushtest.tasks.shared.choice_metrics import decision_margin
from support.stored import assert_same_sums, built, stored

OPTIONS = 3
METRICS: tuple[Metric, ...] = (
    *with_read((accuracy(), *bbq_metrics(choice))),
    *bbq_metrics(choice_per_token),
    *bbq_metrics(choice_per_byte),
    decision_margin(),
)
SCORES = st.builds(
    lambda values, tokens, size, digest: ChoiceScores(tuple(values), tuple(tokens), tuple(size), digest),
    st.lists(st.sampled_from([-3.0, -2.5, -1.0, -1e-300]), min_size=OPTIONS, max_size=OPTIONS),
    st.lists(st.integers(0, 3), min_size=OPTIONS, max_size=OPTIONS),
    st.lists(st.integers(0, 9), min_size=OPTIONS, max_size=OPTIONS),
    st.sampled_from([None, "a", "b"]),
)
READ = st.sampled_from([ReadChoice(1, "B"), ReadChoice(None, "hm", "no letter")])
ANSWERS = st.one_of(SCORES, SCORES, READ, st.just(Unanswered("too long")))
ARMS = st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=8)


def items_of(count: int) -> list[Item]:
    facts = {"condition": "ambiguous", "biased": 0, "unknown": 2, "truth": None}
    decided = facts | {"condition": "disambiguated", "truth": "with"}
    request = Choices("", ("a", "b", "c"))
    return [Item(f"i{n}", (), f"i{n}", request, n % OPTIONS, decided if n % 2 else facts) for n in range(count)]


def arms_of(pairs: list[tuple[Answer, Answer]]) -> tuple[list[Item], dict[str, Answer], dict[str, Answer]]:
    items = items_of(len(pairs))
    first, second = ({item.id: pair[at] for item, pair in zip(items, pairs, strict=True)} for at in (0, 1))
    return items, first, second


@given(ARMS)
def test_sums_are_those_of_the_answers_one_by_one(pairs: list[tuple[Answer, Answer]]) -> None:
    items, *arms = arms_of(pairs)
    asked = Asked(METRICS, items)
    for answers in arms:  # the second arm finds what the first one picked
        for metric, by_columns in zip(METRICS, asked.summed(Measured(stored(answers), {})).sums, strict=True):
            assert_same_sums(measure_sums(metric, items, answers, {}), by_columns)


@given(ARMS)
def test_changes_and_tokens_are_those_of_the_answers_one_by_one(pairs: list[tuple[Answer, Answer]]) -> None:
    items, first, second = arms_of(pairs)
    columns = stored(first), stored(second)
    assert compare_tokens(items, *columns) == compare_tokens(items, first, second)
    one, other = option_changes(items, first, second), option_changes(items, *columns)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert np.array_equal(one, other, equal_nan=True)


@given(ARMS, st.data())
def test_items_that_were_not_asked_are_not_answered(pairs: list[tuple[Answer, Answer]], data: st.DataObject) -> None:
    items, first, _ = arms_of(pairs)
    asked = {item: answer for item, answer in first.items() if data.draw(st.booleans())}
    for metric in METRICS[:4]:
        assert_same_sums(measure_sums(metric, items, asked, {}), measure_sums(metric, items, stored(asked), {}))


def test_answers_of_different_numbers_of_options_stand_side_by_side() -> None:
    items = [
        Item(f"i{count}", (), "c", Choices("", tuple("abcd"[:count])), 1, {"condition": "ambiguous"})
        for count in (2, 3, 4)
    ]
    answers = {
        f"i{count}": ChoiceScores(tuple(-1.0 * n for n in range(count)), (1,) * count, (1,) * count)
        for count in (2, 3, 4)
    }
    assert stored(answers).picks(choice, items).tolist() == [0, 0, 0]
    assert np.array_equal(
        option_changes(items, stored(answers), stored(answers)), option_changes(items, answers, answers)
    )  # type: ignore[arg-type]


def test_a_metric_that_reads_more_than_the_pick_is_not_looked_up() -> None:
    items = items_of(2)
    value = mean("value", lambda item, answer, score: answer.logprobs[0], better="lower")
    answers = {f"i{n}": ChoiceScores((-1.0 - n, -9.0, -9.0), (1,) * 3, (1,) * 3) for n in range(2)}
    assert measure_sums(value, items, stored(answers), {}).columns[:, 0].tolist() == [-1.0, -2.0]


def test_a_row_that_is_no_answer_is_refused_at_once() -> None:
    frame = stored({"i0": Unanswered("too long")}).frame.with_columns(pl.lit(None, pl.String).alias("reason"))
    with pytest.raises(TypeError, match="neither scores, nor a reply, nor a reason"):
        StoredChoices(frame, built)
