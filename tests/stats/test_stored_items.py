"""Items read by columns: what is made of them is what it is of the same items one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from crushtest.metrics import Metric, choice, rate
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.stats.asked import Asked
from crushtest.stats.clusters import lay_out
from crushtest.stats.item_sums import Measured, measure_sums
from crushtest.stats.numbering import count_distinct, numbered
from crushtest.stats.shared import applies_to
from crushtest.stats.stored_items import Index, StoredItems, of_ids
from crushtest.study.rows import ITEMS, item_row, items_from
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from support.stored import assert_same_sums, stored

FACTS = [
    {"condition": condition, "biased": biased, "unknown": 2, "truth": "with"}
    for condition in ("ambiguous", "disambiguated")
    for biased in (0, 1, None)
]
ITEM = st.builds(
    lambda groups, cluster, gold, facts: Item("", tuple(groups), cluster, Choices("", ("a", "b", "c")), gold, facts),
    st.lists(st.sampled_from(["age=old", "age=young", "sex=f"]), max_size=3),
    st.sampled_from(["", "item 0", "b", "a"]),
    st.integers(0, 2),
    st.sampled_from(FACTS),
)
TOLD_APART = rate(
    "told_apart",
    lambda item, answer, score: choice(answer) == len(item.id) % 2,
    better="higher",
    applies_to=lambda item: item.facts["condition"] == "ambiguous" and item.id != "1",
    flip_key=lambda item, answer, score: choice(answer),
    from_pick=choice,
)
METRICS: tuple[Metric, ...] = (*bbq_metrics(), TOLD_APART)


def by_columns(items: list[Item]) -> StoredItems:
    frame = pl.DataFrame([item_row(item) for item in items], schema=ITEMS.schema)

    def read(rows: Index | None) -> list[Item]:
        return items_from(frame if rows is None else frame[rows])

    return StoredItems.of_file(frame, read)


def named(items: list[Item]) -> list[Item]:
    return [replace(item, id=str(number)) for number, item in enumerate(items)]


@given(st.lists(ITEM, min_size=1, max_size=12).map(named))
def test_clusters_and_groups_are_those_of_the_items_one_by_one(items: list[Item]) -> None:
    one, other = lay_out(items), lay_out(by_columns(items))
    assert one.cluster.tolist() == other.cluster.tolist()
    assert (one.names, one.attributes) == (other.names, other.attributes)
    assert [rows.tolist() for rows in one.members] == [rows.tolist() for rows in other.members]


@given(st.lists(ITEM, min_size=1, max_size=12).map(named), st.data())
def test_metrics_measure_the_same_even_if_they_tell_a_kind_apart(items: list[Item], data: st.DataObject) -> None:
    picks = data.draw(st.lists(st.integers(0, 2), min_size=len(items), max_size=len(items)))
    answers = {
        item.id: ChoiceScores(tuple(float(option == pick) - 1 for option in range(3)), (1,) * 3, (1,) * 3)
        for item, pick in zip(items, picks, strict=True)
    }
    sums = Asked(METRICS, by_columns(items)).summed(Measured(stored(answers), {})).sums
    for metric, mine in zip(METRICS, sums, strict=True):
        assert applies_to(metric, by_columns(items)).tolist() == [metric.applies_to(item) for item in items]
        assert_same_sums(measure_sums(metric, items, answers, {}), mine)


@given(st.lists(ITEM, min_size=1, max_size=12).map(named), st.sets(st.integers(0, 11).map(str)))
def test_a_part_of_the_items_keeps_their_order(items: list[Item], held: set[str]) -> None:
    assert list(of_ids(by_columns(items), held)) == [item for item in items if item.id in held]


@given(st.lists(st.integers(0, 40)))
def test_numbers_are_numbered_as_if_sorted(numbers: list[int]) -> None:
    given_numbers = np.array(numbers, np.int64)
    distinct, place = np.unique(given_numbers, return_inverse=True)
    mine = numbered(given_numbers)
    assert (mine.distinct.tolist(), mine.place.tolist()) == (distinct.tolist(), place.reshape(-1).tolist())
    assert count_distinct(given_numbers) == len(distinct)


def test_no_rows_read_no_file() -> None:
    def read(rows: Index | None) -> list[Item]:
        raise AssertionError("the file was read")

    items = StoredItems(pl.DataFrame({"item": ["0", "1"]}), read)
    assert items.some(np.array([], np.int64)) == []
