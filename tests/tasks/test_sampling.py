from __future__ import annotations

from collections import Counter

from crushtest.records import Item, Prompt
from crushtest.tasks.sampling import stratified_sample


def items(**sizes: int) -> list[Item]:
    return [
        Item(f"{group}/{n}", (f"g={group}",), group, Prompt("x")) for group, size in sizes.items() for n in range(size)
    ]


def test_a_draw_is_spread_evenly_over_groups_of_unequal_size() -> None:
    drawn = stratified_sample(items(a=1000, b=20, c=5), 30, seed=0)
    assert Counter(item.groups for item in drawn) == {("g=a",): 13, ("g=b",): 12, ("g=c",): 5}


def test_a_larger_draw_contains_the_smaller_one_and_keeps_the_order() -> None:
    everything = items(a=50, b=50)
    small, large = stratified_sample(everything, 10, seed=3), stratified_sample(everything, 40, seed=3)
    assert set(map(id, small)) < set(map(id, large))
    assert large == [item for item in everything if item in large]


def test_the_seed_decides_the_draw() -> None:
    everything = items(a=50, b=50)
    assert stratified_sample(everything, 10, seed=1) == stratified_sample(everything, 10, seed=1)
    assert stratified_sample(everything, 10, seed=1) != stratified_sample(everything, 10, seed=2)


def test_a_limit_above_the_number_of_items_takes_all() -> None:
    everything = items(a=3)
    assert stratified_sample(everything, 3, seed=0) == stratified_sample(everything, 99, seed=0) == everything
