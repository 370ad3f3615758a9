"""Is the effect of an arm the same for all groups of an attribute? A permutation test on the spread of the effects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from crushtest.metrics import Array, Metric
from crushtest.stats.sums import Mask, Sums
from crushtest.stats.units import Index, Layout

PERMUTATIONS = 2000
LABELS = 20_000_000
"""How many labels may be shuffled in all: with very many items there are fewer permutations, at least 200."""
NUMBERS_AT_ONCE = 2_000_000


def weighted_spread(differences: Array, sizes: Array) -> Array:
    """Standard deviation of the groups' differences (last axis), weighted by its items; undefined ones left out."""
    weights = np.where(np.isnan(differences), 0.0, sizes)
    values = np.nan_to_num(differences)
    total = weights.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (weights * values).sum(axis=-1) / total
        variance = (weights * (values - mean[..., None]) ** 2).sum(axis=-1) / total
    spread: Array = np.sqrt(variance)
    return spread


def spread_test(
    metrics: Sequence[Metric],
    arms: Sequence[Sequence[Sums]],
    used: Sequence[Mask],
    layout: Layout,
    attribute: str,
    *,
    seed: int,
) -> tuple[Array, Array]:
    """Per metric the spread of the effects over the groups of an attribute, and its permutation p (NaN: undefined).

    What is shuffled are the labels, and an item keeps both arms' answers: within clusters that hold items of several
    groups, and between clusters where each holds one. Under the hypothesis the effect on an item does not depend on
    its group. Metrics of cells are left out: their cells are tied to their groups.
    """
    groups = layout.attributes[attribute]
    rows, labels = _labels(layout, groups)
    plain = [m for m, metric in enumerate(metrics) if metric.cell is None]
    spread, p = np.full(len(metrics), np.nan), np.full(len(metrics), np.nan)
    if not plain:
        return spread, p
    columns = _columns([arms[0], arms[1]], used, plain, rows)
    unit, sets = _units(layout.cluster[rows], labels)
    totals = np.zeros((int(unit.max()) + 1, columns.shape[1]))
    np.add.at(totals, unit, columns)
    found = _spreads([metrics[m] for m in plain], sets.T @ totals)
    reached = np.zeros(len(plain))
    count = 0
    strata = _strata(layout.cluster[rows], labels, unit, len(sets))
    for shuffled in _shuffles(sets, strata, seed):
        again = _spreads([metrics[m] for m in plain], shuffled.transpose(0, 2, 1) @ totals)
        reached += (~(again < found - 1e-12)).sum(axis=0)
        count += len(shuffled)
    spread[plain], p[plain] = found, np.where(np.isnan(found), np.nan, (1 + reached) / (1 + count))
    return spread, p


def _labels(layout: Layout, groups: Sequence[int]) -> tuple[Index, Array]:
    """The items that have the attribute, and [items, groups] which of its groups each belongs to."""
    rows = np.unique(np.concatenate([layout.members[group] for group in groups]))
    labels = np.zeros((len(rows), len(groups)))
    for place, group in enumerate(groups):
        labels[np.searchsorted(rows, layout.members[group]), place] = 1
    return rows, labels


def _columns(arms: Sequence[Sequence[Sums]], used: Sequence[Mask], plain: Sequence[int], rows: Index) -> Array:
    """[items, (metric: dense columns, arm columns, 1) ...], 0 where an item does not count."""
    blocks = []
    for metric in plain:
        mask = used[metric][rows].astype(np.float64)[:, None]
        blocks += [arm[metric].columns[rows] * mask for arm in arms] + [mask]
    return np.concatenate(blocks, axis=1)


def _mixed(clusters: Index, labels: Array) -> Mask:
    """[items] whether an item's cluster holds items with other labels."""
    place = np.unique(clusters, return_inverse=True)[1]
    kinds = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    low, high = np.full(place.max() + 1, len(kinds)), np.full(place.max() + 1, -1)
    np.minimum.at(low, place, kinds)
    np.maximum.at(high, place, kinds)
    mixed: Mask = (low != high)[place]
    return mixed


def _units(clusters: Index, labels: Array) -> tuple[Index, Array]:
    """What carries a label: an item of a mixed cluster, a pure cluster. Unit of each item; labels [units]."""
    mixed = _mixed(clusters, labels)
    name = np.where(mixed, -1 - np.arange(len(clusters)), clusters)
    first, unit = np.unique(name, return_index=True, return_inverse=True)[1:]
    return unit.reshape(-1), labels[first]


def _strata(clusters: Index, labels: Array, unit: Index, count: int) -> Index:
    """[units] within which labels are shuffled: the cluster of an item of a mixed one, 0 for all pure ones."""
    strata = np.zeros(count, np.int64)
    strata[unit] = np.where(_mixed(clusters, labels), 1 + clusters, 0)
    return np.unique(strata, return_inverse=True)[1].reshape(-1)


def _shuffles(sets: Array, strata: Index, seed: int) -> Iterator[Array]:
    """Pieces [permutations, units, groups] of shuffled labels."""
    rng = np.random.default_rng((seed, 2))
    wanted = max(200, min(PERMUTATIONS, LABELS // sets.size))
    home = np.argsort(strata, kind="stable")
    piece = max(1, NUMBERS_AT_ONCE // sets.size)
    for start in range(0, wanted, piece):
        size = min(piece, wanted - start)
        drawn = np.argsort(strata + rng.random((size, len(strata))), axis=1)
        shuffled = np.empty((size, *sets.shape))
        shuffled[:, home] = sets[drawn]
        yield shuffled


def _spreads(metrics: Sequence[Metric], totals: Array) -> Array:
    """[..., metrics] of totals [..., groups, columns]."""
    spreads = []
    start = 0
    for metric in metrics:
        width = len(metric.columns)
        block = np.moveaxis(totals[..., start : start + 2 * width + 1], -1, 0)
        with np.errstate(all="ignore"):
            change = metric.formula(*block[width : 2 * width]) - metric.formula(*block[:width])
        change = np.where(np.isfinite(change), change, np.nan)
        enough = (~np.isnan(change)).sum(axis=-1) >= 2
        spreads.append(np.where(enough, weighted_spread(change, block[-1]), np.nan))
        start += 2 * width + 1
    return np.stack(spreads, axis=-1)
