"""Is the effect of an arm the same for all groups of an attribute? A permutation test on the spread of the effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256

import numpy as np

from crushtest.metrics import Array, Metric
from crushtest.stats.clusters import Index, Layout, hashed
from crushtest.stats.item_sums import Sums
from crushtest.stats.shared import Mask

PERMUTATIONS = 2000
LABELS = 5_000_000
"""How many labels may be shuffled in all: with very many items there are fewer permutations, at least 200."""
NUMBERS_AT_ONCE = 500_000
KEPT = 400_000_000
"""How many shuffled labels of an attribute are kept for other arms, a byte each."""
MOST_PATTERNS = 5000
"""Items with more patterns of numbers are not counted by pattern."""


def weighted_spread(differences: Array, sizes: Array) -> Array:
    """Return [...] the standard deviation of differences [..., groups], weighted by items; undefined ones left out."""
    weights = np.where(np.isnan(differences), 0.0, sizes)
    values = np.nan_to_num(differences)
    total = weights.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (weights * values).sum(axis=-1) / total
        variance = (weights * (values - mean[..., None]) ** 2).sum(axis=-1) / total
    spread: Array = np.sqrt(variance)
    return spread


@dataclass
class Labels:
    """The labels of an attribute's groups on items, and how they are shuffled: the same for every arm and metric.

    rows     the items [n] that have the attribute
    kinds    [kinds, groups] which groups a kind of label is of: items in the same groups share a kind
    unit     [n] the unit of each item, which carries a label
    kind     [units] the kind of its label
    strata   [units] labels are shuffled within these (`_units`)
    """

    rows: Index
    kinds: Array
    unit: Index
    kind: Index
    strata: Index
    seed: int

    @classmethod
    def of(cls, layout: Layout, attribute: str, *, seed: int) -> Labels:
        """Return the labels of an attribute that has groups."""
        rows, label, kinds = _labels(layout, layout.attributes[attribute])
        return cls(rows, kinds, *_units(layout.cluster[rows], label), seed)

    @property
    def permutations(self) -> int:
        """How many are drawn."""
        return max(200, min(PERMUTATIONS, LABELS // len(self.kind)))

    def shuffles(self) -> Iterator[Index]:
        """Yield pieces [permutations, units] of the kinds of the units' labels."""
        if self._kept is None:
            yield from _shuffles(self.kind, self.strata, self.permutations, self.seed)
        else:
            yield from self._kept

    def draw(self) -> None:
        """Draw the shuffles that are kept for other arms; otherwise the first test draws them."""
        _ = self._kept

    @cached_property
    def _kept(self) -> list[Index] | None:
        if self.permutations * len(self.kind) > KEPT or len(self.kinds) > 256:
            return None
        drawn = _shuffles(self.kind, self.strata, self.permutations, self.seed)
        return [piece.astype(np.uint8) for piece in drawn]


def spread_test(
    metrics: Sequence[Metric], arms: Sequence[Sequence[Sums]], used: Sequence[Mask], labels: Labels
) -> tuple[Array, Array]:
    """Return per metric the spread of effects over an attribute's groups, and its permutation p (NaN: undefined).

    What is shuffled are the labels, and an item keeps both arms' answers: within clusters that hold items of several
    groups, and between clusters where each holds one. Under the hypothesis the effect on an item does not depend on
    its group. Metrics of cells are left out: their cells are tied to their groups.
    """
    spread, p = np.full(len(metrics), np.nan), np.full(len(metrics), np.nan)
    plain = [m for m, metric in enumerate(metrics) if metric.cell_of is None]
    if not plain:
        return spread, p
    measured = [metrics[m] for m in plain]
    totals_of = _totals_of(partial(_columns, [arms[0], arms[1]], used, plain, labels.rows), labels)
    observed = _spreads(measured, totals_of(labels.kind[None]))[0]
    reached, count = np.zeros(len(plain)), 0
    for shuffled in labels.shuffles():
        again = _spreads(measured, totals_of(shuffled))
        reached += (~(again < observed - 1e-12)).sum(axis=0)
        count += len(shuffled)
    spread[plain], p[plain] = observed, np.where(np.isnan(observed), np.nan, (1 + reached) / (1 + count))
    return spread, p


def _labels(layout: Layout, groups: Sequence[int]) -> tuple[Index, Index, Array]:
    """Return the items [n] that have the attribute, the kind [n] of each label, and which groups a kind is of.

    The last is [kinds, groups], 1 where the kind is of the group. Items in the same groups share a kind.
    """
    rows = np.unique(np.concatenate([layout.members[group] for group in groups]))
    name = np.zeros(len(rows), np.uint64)
    for group in groups:
        name[np.searchsorted(rows, layout.members[group])] += hashed(np.array([group], np.uint64))
    first, label = np.unique(name, return_index=True, return_inverse=True)[1:]
    kinds = np.stack([np.isin(rows[first], layout.members[group]) for group in groups], axis=1)
    return rows, label.reshape(-1).astype(np.int64), kinds.astype(np.float64)


def _columns(
    arms: Sequence[Sequence[Sums]], used: Sequence[Mask], plain: Sequence[int], rows: Index
) -> Iterator[Array]:
    """Yield columns [items] of (metric: dense columns, arm columns, 1) ..., 0 where an item does not count."""
    for metric in plain:
        mask = used[metric][rows].astype(np.float64)
        yield from (column[rows] * mask for arm in arms for column in arm[metric].columns.T)
        yield mask


def _units(clusters: Index, label: Index) -> tuple[Index, Index, Index]:
    """Return the unit of each item [items], and the label and the stratum of each unit [units].

    A unit carries a label: an item of a mixed cluster, or a whole pure cluster. Labels are shuffled within strata: each
    mixed cluster is one, and all pure clusters together are stratum 0.
    """
    place = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    count = int(place.max()) + 1
    low, high = np.full(count, len(label)), np.full(count, -1)
    np.minimum.at(low, place, label)
    np.maximum.at(high, place, label)
    mixed = (low != high)[place]
    name = np.where(mixed, count + np.arange(len(place)), place)
    first, unit = np.unique(name, return_index=True, return_inverse=True)[1:]
    return unit.reshape(-1), label[first], np.where(mixed, 1 + place, 0)[first]


def _shuffles(kind: Index, strata: Index, wanted: int, seed: int) -> Iterator[Index]:
    """Yield pieces [permutations, units] of the units' kinds of label, shuffled within the strata."""
    rng = np.random.default_rng((seed, 2))
    home = np.argsort(strata, kind="stable")
    piece = max(1, NUMBERS_AT_ONCE // len(kind))
    for start in range(0, wanted, piece):
        size = min(piece, wanted - start)
        if not strata.any():
            yield rng.permuted(np.broadcast_to(kind, (size, len(kind))), axis=1)
            continue
        shuffled = np.empty((size, len(kind)), np.int64)
        shuffled[:, home] = kind[np.argsort(strata + rng.random((size, len(kind))), axis=1)]
        yield shuffled


def _totals_of(columns: Callable[[], Iterator[Array]], labels: Labels) -> Callable[[Index], Array]:
    """Return what sums columns [items] by group, given the units' kinds of label: [permutations, groups, columns].

    The columns are made twice: all together would be much of a large comparison's memory.
    Of whole numbers, which few items differ in, items are counted by label and numbers. These sums have no rounding.
    """
    patterns = _patterns(columns)
    if patterns is not None:
        return partial(_counted_totals, labels, *patterns)
    stacked = np.stack(list(columns()), axis=1)
    totals = np.zeros((len(labels.kind), stacked.shape[1]))
    np.add.at(totals, labels.unit, stacked)
    return partial(_group_totals, labels.kinds, totals)


def _patterns(columns: Callable[[], Iterator[Array]]) -> tuple[Index, Array] | None:
    """Return which pattern [items] of numbers each item has, and the patterns [patterns, columns] of whole numbers.

    None if there are other numbers, or too many patterns.
    """
    codes: Index | None = None
    most, seen = 1, set()
    for column in columns():
        digest = sha256(column.tobytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        codes = np.zeros(len(column), np.int64) if codes is None else codes
        numbers = column.astype(np.int64)
        least, span = int(numbers.min()), int(np.ptp(numbers)) + 1
        if (numbers != column).any() or span > MOST_PATTERNS:
            return None
        codes = codes * span + numbers - least
        most *= span
        if most > MOST_PATTERNS:
            at, codes = _numbered(codes)
            most = len(at)
            if most > MOST_PATTERNS:
                return None
    assert codes is not None
    at, codes = _numbered(codes)
    return codes, np.stack([column[at] for column in columns()], axis=1)


def _numbered(codes: Index) -> tuple[Index, Index]:
    """Return where each distinct code first stands, and the number [items] of each item's code among these."""
    at, number = np.unique(codes, return_index=True, return_inverse=True)[1:]
    return at, number.reshape(-1)


def _counted_totals(labels: Labels, pattern: Index, numbers: Array, shuffled: Index) -> Array:
    """Sum numbers [patterns, columns] by the groups of the items' labels [permutations, units]."""
    bins, count = len(labels.kinds), len(numbers)
    by_kind = []
    for kind in shuffled:  # one after another: the counts of all would be most of the memory
        counts = np.bincount(kind[labels.unit] * np.int64(count) + pattern, minlength=bins * count)
        by_kind.append(counts.reshape(bins, count) @ numbers)
    by_group: Array = labels.kinds.T @ np.stack(by_kind)
    return by_group


def _group_totals(kinds: Array, totals: Array, shuffled: Index) -> Array:
    """Sum totals [units, columns] by the groups of each unit's label into [permutations, groups, columns]."""
    size, count = len(shuffled), len(kinds)
    bins = (shuffled.astype(np.int64) + count * np.arange(size)[:, None]).ravel()
    sums = [
        np.bincount(bins, weights=np.tile(column, size), minlength=size * count).reshape(size, count)
        for column in totals.T
    ]
    by_group: Array = np.einsum("kg,cpk->pgc", kinds, np.stack(sums), optimize=True)
    return by_group


def _spreads(metrics: Sequence[Metric], totals: Array) -> Array:
    """Return the spreads [..., metrics] of totals [..., groups, columns]."""
    spreads = []
    start = 0
    for metric in metrics:
        width = len(metric.columns)
        block = np.moveaxis(totals[..., start : start + 2 * width + 1], -1, 0)
        with np.errstate(all="ignore"):
            change = metric.formula(*block[width : 2 * width]) - metric.formula(*block[:width])
        change = np.where(np.isfinite(change), change, np.nan)
        has_two = (~np.isnan(change)).sum(axis=-1) >= 2
        spreads.append(np.where(has_two, weighted_spread(change, block[-1]), np.nan))
        start += 2 * width + 1
    return np.stack(spreads, axis=-1)
