"""What is resampled: clusters, with their totals per group, arm and metric.

Clusters whose totals are all equal are interchangeable. Drawing clusters with replacement is then the same as drawing
how often each *kind* of cluster occurs, a multinomial over kinds: exact, and cheap where right/wrong answers leave a
handful of kinds among thousands of clusters.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crushtest.metrics import ALL, Array, Metric, about_people
from crushtest.records import Item
from crushtest.stats.item_sums import Sums
from crushtest.stats.numbering import Numbered, count_distinct, numbered
from crushtest.stats.shared import Mask
from crushtest.stats.stored_choices import Index as Index
from crushtest.stats.stored_items import cluster_numbers, rows_by_group
from crushtest.stats.threads import MANY_ITEMS, each

Kinds = NDArray[np.uint64]

WORTH_COLLAPSING = 2000
"""Below this many clusters, drawing them one by one is cheaper than looking for equal ones."""
EXACT = 2**24
"""Below this all whole numbers are exact in 32 bits."""


@dataclass(frozen=True)
class Layout:
    """How items fall into clusters and groups.

    cluster      [items] number of each item's cluster
    names        of the groups: `all`, then every `attribute=value`, sorted
    members      per group, the rows of its items
    attributes   attribute -> the positions of its groups in `names`; those that are not about people are left out
    unions       per attribute of several groups, the rows of the items in any of them; not reported themselves
    """

    cluster: Index
    names: tuple[str, ...]
    members: tuple[Index, ...]
    attributes: dict[str, tuple[int, ...]]
    unions: dict[str, Index]

    @cached_property
    def placed(self) -> list[Numbered]:
        """Per group the clusters of its items, and each item's place among these."""
        return [numbered(self.cluster[rows]) for rows in self.members]


def lay_out(items: Sequence[Item]) -> Layout:
    """Return the clusters and groups of a task's items; an item without a cluster is its own."""
    rows = rows_by_group(items)
    names = (ALL, *rows)
    attributes: dict[str, tuple[int, ...]] = {}
    for position, name in enumerate(names[1:], start=1):
        if about_people(name):
            attribute = name.partition("=")[0]
            attributes[attribute] = (*attributes.get(attribute, ()), position)
    everyone = np.arange(len(items), dtype=np.int64)
    members = (everyone, *rows.values())
    unions = {
        attribute: np.unique(np.concatenate([members[position] for position in positions]))
        for attribute, positions in attributes.items()
        if len(positions) > 1
    }
    return Layout(cluster_numbers(items), names, members, attributes, unions)


@dataclass(frozen=True)
class MetricColumns:
    """One metric in one group: where its columns stand in the group's rows, and how many clusters have its items.

    The columns of the first arm are `start:stop`, those of a second arm follow `width` columns later.
    shape   (k,) or, for a metric of cells, (k, cells), or (k, rows, columns) of a grid
    """

    start: int
    stop: int
    shape: tuple[int, ...]
    clusters: int


@dataclass(frozen=True)
class GroupTotals:
    """The totals of one group's units: columns [units of the group, arms * width], of the units `units`.

    Whole numbers stand in 32 bits, which hold them exactly.
    """

    units: Index
    columns: Array
    width: int
    parts: tuple[MetricColumns, ...]


class Rest(NamedTuple):
    """A group to be compared with the others of its attribute, in one metric: positions in `ClusterTotals.groups`."""

    metric: int
    group: int
    union: int


@dataclass(frozen=True)
class ClusterTotals:
    """Everything that is resampled together.

    counts   [units] how many clusters are of each kind
    groups   those of the layout, then the unions of its attributes
    rests    the groups that are compared with the others of their attribute
    """

    counts: Index
    groups: tuple[GroupTotals, ...]
    rests: tuple[Rest, ...] = ()


def total_by_cluster(
    metrics: Sequence[Metric],
    cells: Sequence[Index | None],
    layout: Layout,
    arms: Sequence[Sequence[Sums]],
    used: Sequence[Mask],
) -> ClusterTotals:
    """Return the cluster totals of one or two arms.

    `arms[a][m]` are the sums of arm a and metric m, `used[m]` [items] the items that count for metric m, `cells[m]`
    those of `cells_of`.
    """
    groups = each(
        lambda group: _rows(*group[1:], arms, _reported(metrics, used, group[0]), cells),
        zip(layout.names, layout.members, layout.placed, strict=True),
        in_threads=len(layout.cluster) >= MANY_ITEMS,
    )
    if any(metric.with_rest for metric in metrics):
        used_with_rest = [
            mask if metric.with_rest else np.zeros_like(mask) for metric, mask in zip(metrics, used, strict=True)
        ]
        groups += [
            _rows(rows, numbered(layout.cluster[rows]), arms, used_with_rest, cells) for rows in layout.unions.values()
        ]
    total = int(layout.cluster.max()) + 1 if len(layout.cluster) else 0
    return _collapse(ClusterTotals(np.ones(total, np.int64), tuple(groups), tuple(_rests(metrics, layout))))


def _rests(metrics: Sequence[Metric], layout: Layout) -> Iterator[Rest]:
    for number, metric in enumerate(metrics):
        for place, attribute in enumerate(layout.unions if metric.with_rest else ()):
            for group in layout.attributes[attribute]:
                yield Rest(number, group, len(layout.names) + place)


def _reported(metrics: Sequence[Metric], used: Sequence[Mask], group: str) -> list[Mask]:
    """Return per metric the items [items] that count in a group; none if the metric is not reported for it."""
    return [mask if metric.groups(group) else np.zeros_like(mask) for metric, mask in zip(metrics, used, strict=True)]


def cells_of(metric: Metric, items: Sequence[Item]) -> Index | None:
    """Return [axes, items] the number of each item's cell on each axis; 0 where the metric is not about the item."""
    if metric.cell_of is None:
        return None
    cells = {row: metric.cell_of(item) for row, item in enumerate(items) if metric.applies_to(item)}
    names = {row: (cell,) if isinstance(cell, str) else cell for row, cell in cells.items()}
    axes = max(map(len, names.values()), default=1)
    numbers = np.zeros((axes, len(items)), np.int64)
    for axis in range(axes):
        number_of: dict[str, int] = {}
        for row, name in names.items():
            numbers[axis, row] = number_of.setdefault(name[axis], len(number_of))
    return numbers


def _rows(
    rows: Index, placed: Numbered, arms: Sequence[Sequence[Sums]], used: Sequence[Mask], cells: Sequence[Index | None]
) -> GroupTotals:
    """Return one group's totals per cluster, all arms and metrics side by side."""
    clusters, place = placed
    blocks: list[list[Array]] = [[] for _ in arms]
    parts: list[MetricColumns] = []
    width = 0
    for metric, mask in enumerate(used):
        is_used = mask[rows]
        shape: tuple[int, ...] = (arms[0][metric].columns.shape[1],)
        target, bins = place[is_used], len(clusters)
        numbers = cells[metric]
        if numbers is not None:
            for axis in numbers[:, rows[is_used]]:
                present, cell = np.unique(axis, return_inverse=True)
                size = max(len(present), 1)  # an empty group keeps its place in the row
                shape = (*shape, size)
                target, bins = target * size + cell, bins * size
        for arm, block in zip(arms, blocks, strict=True):
            block.append(_totals(arm[metric].columns[rows[is_used]], target, bins, len(clusters)))
        size = int(np.prod(shape))
        parts.append(MetricColumns(width, width + size, shape, count_distinct(place[is_used])))
        width += size
    columns = np.concatenate([array for block in blocks for array in block], axis=1)
    if is_whole(columns):
        columns = columns.astype(np.float32)
    return GroupTotals(clusters, columns, width, tuple(parts))


def is_whole(columns: Array) -> bool:
    """Return True if all are whole numbers, and so small that 32 bits hold the difference of any two exactly."""
    return float(np.abs(columns).max(initial=0.0)) < EXACT / 2 and bool((columns == np.rint(columns)).all())


def _totals(columns: Array, target: Index, bins: int, clusters: int) -> Array:
    """Sum columns [items, k] into [clusters, k * cells]; `target` [items] is cluster * cells + cell."""
    sums = [np.bincount(target, weights=column, minlength=bins).reshape(clusters, -1) for column in columns.T]
    return np.concatenate(sums, axis=1)


def _collapse(units: ClusterTotals) -> ClusterTotals:
    """Return the same units with equal ones counted once, if that saves work."""
    clusters = len(units.counts)
    if clusters < WORTH_COLLAPSING:
        return units
    kind = np.zeros(clusters, np.uint64)
    for group, rows in enumerate(units.groups):
        kinds = np.unique(rows.columns, axis=0, return_inverse=True)[1].reshape(-1)
        if kinds.max(initial=0) * 20 > clusters:
            return _arrange(units)
        kind[rows.units] += hashed(kinds.astype(np.uint64) + (np.uint64(group) << np.uint64(32)))
    first, counts = np.unique(kind, return_index=True, return_counts=True)[1:]
    if len(first) * 20 > clusters:
        return _arrange(units)
    return replace(units, counts=counts.astype(np.int64), groups=tuple(_kept(rows, first) for rows in units.groups))


def hashed(numbers: Kinds) -> Kinds:
    """Hash each number [n] to 64 bits (the finalizer of splitmix64), so that sums of a few hashes tell sets apart."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _kept(rows: GroupTotals, first: Index) -> GroupTotals:
    """Return a group's rows of one cluster of each kind."""
    kinds = np.flatnonzero(np.isin(first, rows.units))
    at = np.searchsorted(rows.units, first[kinds])
    return GroupTotals(kinds, rows.columns[at], rows.width, rows.parts)


def _arrange(units: ClusterTotals) -> ClusterTotals:
    """Sort the units so that those of the same groups stand side by side: runs are cheaper to sum."""
    first = np.full(len(units.counts), len(units.groups))
    pattern = np.zeros(len(units.counts), np.uint64)
    for group, rows in reversed(list(enumerate(units.groups))[1:]):
        first[rows.units] = group
        pattern[rows.units] += hashed(np.array([group], np.uint64))
    order = np.lexsort((pattern, first))
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return replace(units, counts=units.counts[order], groups=tuple(_moved(rows, position) for rows in units.groups))


def _moved(rows: GroupTotals, position: Index) -> GroupTotals:
    at = position[rows.units]
    order = np.argsort(at)
    return GroupTotals(at[order], rows.columns[order], rows.width, rows.parts)


def to_resample(metrics: Sequence[Metric], units: ClusterTotals) -> ClusterTotals:
    """Return the same units without the columns of metrics that are not resampled: grids of cells have many."""
    if all(metric.interval == "bootstrap" for metric in metrics):
        return units
    return of_metrics(units, [number for number, metric in enumerate(metrics) if metric.interval == "bootstrap"])


def of_metrics(units: ClusterTotals, wanted: Container[int]) -> ClusterTotals:
    """Return the same units with the columns of some metrics only."""
    return replace(units, groups=tuple(_narrowed(rows, wanted) for rows in units.groups))


def _narrowed(rows: GroupTotals, wanted: Container[int]) -> GroupTotals:
    columns: list[int] = []
    parts: list[MetricColumns] = []
    for number, part in enumerate(rows.parts):
        block = range(part.start, part.stop) if number in wanted else range(0)
        clusters = part.clusters if block else 0
        parts.append(MetricColumns(len(columns), len(columns) + len(block), part.shape, clusters))
        columns += block
    columns = columns or list(range(rows.width))[:1]  # the number of arms is read from the width
    arms = rows.columns.shape[1] // rows.width if rows.width else 1
    at = [arm * rows.width + column for arm in range(arms) for column in columns]
    return GroupTotals(rows.units, rows.columns[:, at], len(columns), tuple(parts))
