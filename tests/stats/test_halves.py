"""Two halves of the clusters: whole clusters, groups in proportion, the same for the same seed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.stats.halves import split_clusters

CLUSTERS = st.dictionaries(
    st.text(min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["items", "a", "b", "c"]), st.integers(1, 9), min_size=1),
    max_size=40,
)


@given(CLUSTERS, st.integers(0, 99))
def test_every_cluster_is_in_one_half(clusters: dict[str, dict[str, int]], seed: int) -> None:
    search, verify = split_clusters(clusters, seed)
    assert search | verify == set(clusters)
    assert not search & verify


@given(CLUSTERS, st.integers(0, 99), st.randoms())
def test_the_order_of_clusters_does_not_matter(clusters: dict[str, dict[str, int]], seed: int, chance: object) -> None:
    names = list(clusters)
    chance.shuffle(names)  # type: ignore[attr-defined]
    assert split_clusters({name: clusters[name] for name in names}, seed) == split_clusters(clusters, seed)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=200), st.integers(0, 99))
def test_groups_are_shared_evenly(groups: list[str], seed: int) -> None:
    clusters = {str(number): {"items": 1, group: 1} for number, group in enumerate(groups)}
    search, verify = split_clusters(clusters, seed)
    assert abs(len(search) - len(verify)) <= len(set(groups))
    sides = [Counter(groups[int(name)] for name in half) for half in (search, verify)]
    assert all(abs(sides[0][group] - sides[1][group]) <= 2 for group in groups)


def test_another_seed_splits_otherwise() -> None:
    clusters = {str(number): {"items": 1} for number in range(40)}
    splits = {split_clusters(clusters, seed).search for seed in range(20)}
    assert len(splits) == 20


def test_a_cluster_is_as_often_in_either_half() -> None:
    clusters = {str(number): {"items": 1 + number % 3} for number in range(21)}
    count = Counter(name for seed in range(400) for name in split_clusters(clusters, seed).search)
    assert all(130 < count[name] < 270 for name in clusters)
