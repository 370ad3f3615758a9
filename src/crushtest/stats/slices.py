"""Everything that one row of results is made from: a metric in a group, observed and resampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from crushtest.metrics import AGAINST_REST, GAP, Array, Metric
from crushtest.records import Better, Item
from crushtest.stats import gaps
from crushtest.stats.clusters import Index, Layout, Units, build_units, lay_out
from crushtest.stats.few_valued import extremes, possible_values
from crushtest.stats.intervals import acceleration
from crushtest.stats.item_sums import Mask, Sums
from crushtest.stats.metric_kind import Shape, shape_of
from crushtest.stats.resample import Values, against_rest, bootstrap, exchange, leave_one_out, observed

FEW_CLUSTERS = 20
FEW_ITEMS = 100
ROUNDING = 1e-12
NO_REST = "the group or the others of its attribute have no item with a number"
SKEWED = 0.05
"""Acceleration from which on a mean is ruled by few clusters: the skewness of a lognormal at n = 100."""


@dataclass(frozen=True)
class Case:
    """One metric in one group. The first axis of every array is the arm: [dense, arm], or [arm] alone.

    jackknife  whether intervals and p come from `without` alone; `values` and `exchanged` are then NaN
    observed   [arms]
    values     [arms, replicates] over resampled clusters
    without    [arms, units] with one cluster left out; `counts` says how many clusters each unit stands for
    exchanged  [arms, replicates] with the arms exchanged at random; empty for one arm
    rows       the items that count; `seen` those of the group that the metric is about
    unscored   why those have no number, where none has
    columns    per arm the sums [n, k] of those items, and `cluster` [n] the number of the cluster of each
    possible   the values [values, k] that an item may have; None where there are too many to say (`few_valued` if not)
    parts      of a gap: its groups
    is_derived whether it compares groups of an attribute (a gap, a group against the rest), and is no group itself
    """

    metric: int
    name: str
    group: str
    better: Better
    shape: Shape
    observed: Array
    values: Array
    without: Array
    counts: Index
    exchanged: Array
    rows: Index
    seen: int
    clusters: int
    undefined: str
    unscored: str
    jackknife: bool
    columns: tuple[Array, ...]
    cluster: Index
    formula: Callable[..., Array]
    possible: Array | None
    few_valued: bool
    bounds: tuple[float, float] | None
    parts: tuple[Case, ...] = ()
    is_derived: bool = False

    @property
    def is_paired(self) -> bool:
        """Whether it is of two arms."""
        return len(self.observed) == 2

    @property
    def changed_clusters(self) -> int:
        """Clusters with an item whose sums differ between the two arms."""
        dense, arm = self.columns
        return len(np.unique(self.cluster[(dense != arm).any(axis=1)]))

    def of_arm(self, arm: int) -> Case:
        """The same of one of the two arms alone."""
        kept = {name: getattr(self, name)[arm : arm + 1] for name in ("observed", "values", "without", "columns")}
        return replace(self, **kept, exchanged=self.exchanged[:0])

    @property
    def n(self) -> int:
        """Items that count: scored in every arm compared."""
        return len(self.rows)

    @property
    def n_unscored(self) -> int:
        """Items that the metric is about and that have no number in at least one arm."""
        return self.seen - len(self.rows)

    @property
    def sampled(self) -> str:
        """What is resampled, in a word."""
        return "items" if self.clusters == self.n else "clusters"

    def why_undefined(self) -> str:
        """The reason for a value that is None."""
        if self.n:
            return self.undefined
        if not self.seen:
            return "no item of this group that the metric is about"
        return f"none of {self.seen} items has a number: {self.unscored}"


def difference(arms: Array) -> Array:
    """Second minus first of the leading axis; 0 where they differ by rounding alone, which would exclude 0."""
    change: Array = arms[1] - arms[0]
    return np.where(np.abs(change) <= ROUNDING * np.maximum(np.abs(arms[0]), np.abs(arms[1])), 0.0, change)


class MetricCases(NamedTuple):
    """Everything that is reported of one metric."""

    groups: tuple[Case, ...]
    gaps: tuple[Case, ...]
    rests: tuple[Case, ...]


@dataclass(frozen=True)
class Sample:
    """All metrics and groups of one arm, or of dense and an arm, resampled together."""

    metrics: Sequence[Metric]
    layout: Layout
    arms: Sequence[Sequence[Sums]]
    used: Sequence[Mask]
    units: Units
    observed: Values
    values: Values
    exchanged: Values
    possible: Sequence[Array | None]
    few_valued: Sequence[bool]

    @classmethod
    def draw(
        cls,
        metrics: Sequence[Metric],
        items: Sequence[Item],
        arms: Sequence[Sequence[Sums]],
        *,
        seed: int,
        replicates: int,
    ) -> Sample:
        """Resample; with two arms, only items that both have a number for count."""
        layout = lay_out(items)
        used = [np.logical_and.reduce([arm[m].scored for arm in arms]) for m in range(len(metrics))]
        units = build_units(metrics, items, layout, arms, used)
        values = bootstrap(metrics, units, seed=seed, replicates=replicates)
        swaps = (
            exchange(metrics, units, seed=seed, replicates=replicates)
            if len(arms) == 2
            else Values(*(v[..., :0] for v in values))
        )
        seen = [[arm[m].columns[mask] for arm in arms] for m, mask in enumerate(used)]
        few = [_possible(metric, columns) for metric, columns in zip(metrics, seen, strict=True)]
        possible = [
            values if values is not None else _extremes(metric, arms[-1][m], used[m], seen[m])
            for m, (metric, values) in enumerate(zip(metrics, few, strict=True))
        ]
        return cls(
            metrics=metrics,
            layout=layout,
            arms=arms,
            used=used,
            units=units,
            observed=observed(metrics, units),
            values=values,
            exchanged=swaps,
            possible=possible,
            few_valued=[values is not None for values in few],
        )

    def cases(self) -> list[MetricCases]:
        """Metric by metric, its groups and the gaps of its attributes."""
        without = [leave_one_out(self.metrics, self.units, group) for group in range(len(self.layout.names))]
        return [self._metric(metric, [values[metric] for values in without]) for metric in range(len(self.metrics))]

    def _metric(self, metric: int, without: Sequence[Array]) -> MetricCases:
        wanted = self.metrics[metric].groups
        groups = [
            self._group(metric, group, without[group]) for group, name in enumerate(self.layout.names) if wanted(name)
        ]
        by_name = {case.group: case for case in groups}
        gaps = [
            self._gap(metric, attribute, positions, by_name)
            for attribute, positions in self.layout.attributes.items()
            if self.metrics[metric].gap and len(positions) > 1
        ]
        rests = [
            self._rest(number, rest.group)
            for number, rest in enumerate(self.units.rests)
            if rest.metric == metric and wanted(self.layout.names[rest.group])
        ]
        return MetricCases(tuple(groups), tuple(gaps), tuple(rests))

    def _group(self, metric: int, group: int, without: Array) -> Case:
        members, rows = self.layout.members[group], self.units.groups[group]
        return self._case(
            metric,
            self.metrics[metric].name,
            self.layout.names[group],
            members,
            observed=self.observed.groups[metric, :, group],
            values=self.values.groups[metric, :, group],
            without=without,
            counts=self.units.counts[rows.units],
            exchanged=self.exchanged.groups[metric, :, group],
        )

    def _rest(self, number: int, group: int) -> Case:
        """A group minus the others of its attribute. Its items are all of the attribute's, in two columns each."""
        metric, name = self.units.rests[number].metric, self.layout.names[group]
        about = self.metrics[metric]
        union = self.layout.unions[name.partition("=")[0]]
        found = self._case(
            metric,
            about.name + AGAINST_REST,
            name,
            union,
            observed=self.observed.rests[number],
            values=self.values.rests[number],
            without=np.zeros((len(self.arms), 0)),
            counts=np.zeros(0, np.int64),
            exchanged=self.exchanged.rests[number],
        )
        mine = np.isin(found.rows, self.layout.members[group])[:, None]
        columns = tuple(np.concatenate([sums * mine, sums * ~mine], axis=1) for sums in found.columns)
        without = [_without_each_cluster(sums, found.cluster, against_rest) for sums in columns]
        span = None if about.bounds is None else (about.bounds[0] - about.bounds[1], about.bounds[1] - about.bounds[0])
        possible = possible_values(columns) if found.n else None
        return replace(
            found,
            better="neither" if about.better == "neither" else "zero",
            shape="other",
            undefined=NO_REST,
            bounds=span,
            formula=against_rest,
            columns=columns,
            possible=possible,
            few_valued=possible is not None,
            without=np.stack(without),
            counts=np.ones(without[0].shape, np.int64),
            is_derived=True,
        )

    def _gap(self, metric: int, attribute: str, groups: tuple[int, ...], cases: Mapping[str, Case]) -> Case:
        members = np.unique(np.concatenate([self.layout.members[group] for group in groups]))
        at = list(groups)
        found = self._case(
            metric,
            self.metrics[metric].name + GAP,
            attribute,
            members,
            observed=gaps.gap(self.observed.groups[metric][:, at].T),
            values=gaps.gap(np.moveaxis(self.values.groups[metric][:, at], 1, 0)),
            without=np.zeros((len(self.arms), 0)),
            counts=np.zeros(0, np.int64),
            exchanged=gaps.gap(np.moveaxis(self.exchanged.groups[metric][:, at], 1, 0)),
        )
        span = None if found.bounds is None else (0.0, found.bounds[1] - found.bounds[0])
        parts = tuple(cases[name] for name in (self.layout.names[group] for group in groups) if name in cases)
        return replace(
            found,
            better="lower",
            shape="other",
            undefined=gaps.TOO_FEW,
            bounds=span,
            parts=parts,
            possible=None,
            is_derived=True,
        )

    def _case(self, metric: int, name: str, group: str, members: Index, counts: Index, **arrays: Array) -> Case:
        about, used = self.metrics[metric], self.used[metric]
        rows = members[used[members]]
        shape = shape_of(about, self.arms[-1][metric], used)
        return Case(
            metric=metric,
            name=name,
            group=group,
            better=about.better,
            shape=shape,
            rows=rows,
            seen=int(self.arms[0][metric].applies[members].sum()),
            clusters=len(np.unique(self.layout.cluster[rows])),
            undefined=about.undefined,
            unscored="" if len(rows) else self._unscored(metric, members),
            jackknife=about.interval == "jackknife",
            counts=counts,
            columns=tuple(arm[metric].columns[rows] for arm in self.arms),
            cluster=self.layout.cluster[rows],
            formula=about.formula,
            possible=self.possible[metric],
            few_valued=self.few_valued[metric],
            bounds=about.bounds,
            observed=arrays["observed"],
            values=arrays["values"],
            without=arrays["without"],
            exchanged=arrays["exchanged"],
        )

    def _unscored(self, metric: int, members: Index) -> str:
        """The commonest reason for items without a number among a row's members, in the first arm that has one."""
        found = (arm[metric].unscored(members.tolist()) for arm in self.arms)
        return next(filter(None, found), "not answered")


def _without_each_cluster(sums: Array, cluster: Index, formula: Callable[..., Array]) -> Array:
    """Values [clusters] of a formula over sums [items, k] with the items of one cluster left out."""
    place = np.unique(cluster, return_inverse=True)[1].reshape(-1)
    totals = np.zeros((int(place.max(initial=-1)) + 1, sums.shape[1]))
    np.add.at(totals, place, sums)
    return formula(*(sums.sum(axis=0) - totals).T)


def _possible(metric: Metric, columns: Sequence[Array]) -> Array | None:
    """The values that an item may have; None for a metric of cells, whose clusters are not alike."""
    resampled = metric.cell is None and metric.interval == "bootstrap" and len(columns[0])
    return possible_values(columns) if resampled else None


def _extremes(metric: Metric, sums: Sums, used: Mask, columns: Sequence[Array]) -> Array | None:
    """What an item's number may be at the least and at the most, for a mean over items."""
    is_mean = len(columns[0]) and shape_of(metric, sums, used) == "mean" and metric.interval == "bootstrap"
    return extremes(columns) if is_mean else None


def cautions(case: Case, *, rare: int | None) -> str | None:
    """What a reader must know before trusting the interval, in words.

    rare   how many items decide a rate, where that is few
    """
    said = []
    if case.clusters < FEW_CLUSTERS:
        said.append(f"only {case.clusters} clusters to resample")
    if case.n < FEW_ITEMS:
        said.append(f"only {case.n} items")
    if rare is not None:
        said.append(f"only {rare} items decide it")
    if case.shape != "rate" and not case.few_valued and abs(_skew(case)) > SKEWED:
        said.append("a few clusters dominate it")
    return "; ".join(said) or None


def _skew(case: Case) -> float:
    without = difference(case.without) if case.is_paired else case.without[0]
    return acceleration(without, case.counts)
