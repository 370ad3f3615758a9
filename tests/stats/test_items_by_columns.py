"""Items read by columns: everything that is made of them is what it is of the same items as objects."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.metrics import Metric, accuracy, choice
from crushtest.records import Choices, ChoiceScores, Item
from crushtest.report.chance import chance_levels
from crushtest.stats.asked import Asked
from crushtest.stats.clusters import lay_out
from crushtest.stats.item_sums import Measured
from crushtest.stats.shared import applies_to
from crushtest.stats.stored_items import StoredItems, of_ids
from crushtest.study.rows import ITEMS, item_row, items_from
from support.stored import assert_same_sums, stored

GROUPS = ("age=old", "age=young", "origin=\u00c5", "origin=z", "topic")
ABOUT_GROUPS = replace(accuracy(), name="of_old", applies_to=lambda item: "age=old" in item.groups)
ABOUT_OPTIONS = replace(accuracy(), name="of_a", applies_to=lambda item: item.request.options[0] == "a")
METRICS: tuple[Metric, ...] = (accuracy(choice), ABOUT_GROUPS, ABOUT_OPTIONS)
ONE = st.tuples(
    st.lists(st.sampled_from(GROUPS), max_size=3),
    st.sampled_from(["", "c0", "c1", "item i0", "item i1"]),
    st.sampled_from([("a", "b"), ("b", "a"), ("a", "b", "c")]),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([{}, {"truth": None}, {"truth": "with"}]),
)


def by_columns(items: list[Item]) -> StoredItems:
    frame = pl.DataFrame([item_row(item) for item in items], schema=ITEMS.schema)
    return StoredItems.of_file(frame, lambda rows: items_from(frame if rows is None else frame[rows]))


@given(st.lists(ONE, min_size=1, max_size=12), st.data())
def test_layout_and_sums_are_those_of_items_one_by_one(drawn: list[tuple], data: st.DataObject) -> None:  # type: ignore[type-arg]
    items = [
        Item(f"i{n}", tuple(groups), cluster, Choices(f"{n}?", options), gold, facts)
        for n, (groups, cluster, options, gold, facts) in enumerate(drawn)
    ]
    columns = by_columns(items)
    held = {item.id for item in items if data.draw(st.booleans())} if data.draw(st.booleans()) else {"i0"}
    answers = {
        item.id: ChoiceScores(
            tuple(data.draw(st.sampled_from([-1.0, -2.0])) for _ in options), (1,) * len(options), (1,) * len(options)
        )
        for item in items
        for options in [item.request.options]
    }
    for one, other in ((items, columns), (of_ids(items, held), of_ids(columns, held))):
        first, second = lay_out(one), lay_out(other)
        assert first.cluster.tolist() == second.cluster.tolist()
        assert (first.names, first.attributes) == (second.names, second.attributes)
        assert all(np.array_equal(*rows) for rows in zip(first.members, second.members, strict=True))
        assert chance_levels(METRICS, [item for item in one if item.gold is not None]) == chance_levels(
            METRICS, of_ids(other, {item.id for item in one if item.gold is not None})
        )
        for each in zip(
            *(Asked(METRICS, way).summed(Measured(stored(answers), {})).sums for way in (one, other)), strict=True
        ):
            assert_same_sums(*each)
            assert each[0].applies.tolist() == each[1].applies.tolist()


@pytest.mark.parametrize("counted", ["yes", None, 1, 0, [], ["x"]])
def test_a_plug_in_may_say_with_any_value_what_its_metric_is_about(counted: object) -> None:
    items = [Item(f"i{n}", (), "", Choices("?", ("a", "b")), 0, {"counted": counted}) for n in range(3)]
    about = replace(accuracy(), applies_to=lambda item: item.facts["counted"])  # type: ignore[arg-type,return-value]
    assert applies_to(about, by_columns(items)).tolist() == [bool(counted)] * 3
    assert applies_to(about, items).tolist() == [bool(counted)] * 3


@dataclass
class AboutOld:
    """A plug-in's function that cannot be hashed."""

    group: str

    def __call__(self, item: Item) -> bool:
        return self.group in item.groups


def test_a_plug_in_may_bring_functions_that_cannot_be_hashed() -> None:
    items = [Item(f"i{n}", ("age=old",) * (n % 2), "", Choices("?", ("a", "b")), 0) for n in range(4)]
    answers = stored({item.id: ChoiceScores((-1.0, -2.0), (1, 1), (1, 1)) for item in items})
    about = replace(accuracy(), applies_to=AboutOld("age=old"))
    asked = Asked([about, replace(about, name="again")], by_columns(items))
    for sums in asked.summed(Measured(answers, {})).sums:
        assert sums.applies.tolist() == [False, True, False, True]
    assert asked.cells == [None, None]
