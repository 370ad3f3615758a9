"""Everything that one row of results is made from: a metric in a group, observed and resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crushtest.metrics import GAP, Array, Metric
from crushtest.records import Better, Item
from crushtest.stats import gaps
from crushtest.stats.intervals import Bootstrap, Method, distribution
from crushtest.stats.resample import bootstrap, exchange, leave_one_out, observed
from crushtest.stats.shapes import Shape, shape_of
from crushtest.stats.sums import Mask, Sums
from crushtest.stats.units import Index, Layout, Units, build_units, lay_out

FEW_CLUSTERS = 20
FEW_ITEMS = 100
ROUNDING = 1e-12
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
    is_gap: bool

    @property
    def n(self) -> int:
        """Items that count: scored in every arm compared."""
        return len(self.rows)

    @property
    def n_unscored(self) -> int:
        """Items that the metric is about and that have no number in at least one arm."""
        return self.seen - len(self.rows)

    @property
    def method(self) -> str:
        """How its interval is made."""
        if self.jackknife:
            return "jackknife over clusters"
        return "BCa bootstrap over items" if self.clusters == self.n else "BCa bootstrap over clusters"

    def bootstrap(self, estimate: float, values: Array, without: Array) -> Bootstrap | str:
        """The bootstrap distribution of something computed from this case, or why there is none."""
        method: Method = "jackknife" if self.jackknife else "bca"
        return distribution(estimate, values, without, self.counts, self.clusters, method=method)

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


@dataclass(frozen=True)
class Sample:
    """All metrics and groups of one arm, or of dense and an arm, resampled together."""

    metrics: Sequence[Metric]
    layout: Layout
    arms: Sequence[Sequence[Sums]]
    used: Sequence[Mask]
    units: Units
    observed: Array
    values: Array
    exchanged: Array

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
        swaps = exchange(metrics, units, seed=seed, replicates=replicates) if len(arms) == 2 else values[:, :, :, :0]
        return cls(metrics, layout, arms, used, units, observed(metrics, units), values, swaps)

    def cases(self) -> list[MetricCases]:
        """Metric by metric, its groups and the gaps of its attributes."""
        without = [leave_one_out(self.metrics, self.units, group) for group in range(len(self.layout.names))]
        return [self._metric(metric, [values[metric] for values in without]) for metric in range(len(self.metrics))]

    def _metric(self, metric: int, without: Sequence[Array]) -> MetricCases:
        wanted = self.metrics[metric].groups
        groups = [
            self._group(metric, group, without[group]) for group, name in enumerate(self.layout.names) if wanted(name)
        ]
        gaps = [
            self._gap(metric, attribute, positions, [without[group] for group in positions])
            for attribute, positions in self.layout.attributes.items()
            if self.metrics[metric].gap and len(positions) > 1
        ]
        return MetricCases(tuple(groups), tuple(gaps))

    def _group(self, metric: int, group: int, without: Array) -> Case:
        members, rows = self.layout.members[group], self.units.groups[group]
        return self._case(
            metric,
            self.metrics[metric].name,
            self.layout.names[group],
            members,
            observed=self.observed[metric, :, group],
            values=self.values[metric, :, group],
            without=without,
            counts=self.units.counts[rows.units],
            exchanged=self.exchanged[metric, :, group],
        )

    def _gap(self, metric: int, attribute: str, groups: tuple[int, ...], without: list[Array]) -> Case:
        members = np.unique(np.concatenate([self.layout.members[group] for group in groups]))
        at = list(groups)
        arms = range(len(self.arms))
        left = [
            gaps.gap_without(
                self.observed[metric, arm, at],
                [(self.units.groups[group].units, values[arm]) for group, values in zip(groups, without, strict=True)],
                len(self.units.counts),
            )
            for arm in arms
        ]
        return self._case(
            metric,
            self.metrics[metric].name + GAP,
            attribute,
            members,
            observed=gaps.gap(self.observed[metric][:, at].T),
            values=gaps.gap(np.moveaxis(self.values[metric][:, at], 1, 0)),
            without=np.stack(left),
            counts=self.units.counts,
            exchanged=gaps.gap(np.moveaxis(self.exchanged[metric][:, at], 1, 0)),
        )

    def _case(self, metric: int, name: str, group: str, members: Index, counts: Index, **arrays: Array) -> Case:
        is_gap = name != self.metrics[metric].name
        used = self.used[metric]
        rows = members[used[members]]
        return Case(
            metric=metric,
            name=name,
            group=group,
            better="lower" if is_gap else self.metrics[metric].better,
            shape="other" if is_gap else shape_of(self.metrics[metric], self.arms[-1][metric], used),
            rows=rows,
            seen=int(self.arms[0][metric].applies[members].sum()),
            clusters=len(np.unique(self.layout.cluster[rows])),
            undefined=gaps.TOO_FEW if is_gap else self.metrics[metric].undefined,
            unscored="" if len(rows) else self._unscored(metric, members),
            is_gap=is_gap,
            jackknife=self.metrics[metric].interval == "jackknife",
            counts=counts,
            **arrays,
        )

    def _unscored(self, metric: int, members: Index) -> str:
        """The commonest reason for items without a number among a row's members, in the first arm that has one."""
        found = (arm[metric].unscored(members.tolist()) for arm in self.arms)
        return next(filter(None, found), "not answered")


def cautions(case: Case, found: Bootstrap, *, rare: int | None) -> str | None:
    """What a reader must know before trusting the interval, in words.

    Simulations show less than the promised coverage in each of these cases (`tests/stats/test_coverage.py`).
    """
    said = []
    if case.clusters < FEW_CLUSTERS:
        said.append(f"only {case.clusters} clusters to resample")
    if case.n < FEW_ITEMS:
        said.append(f"only {case.n} items")
    if rare is not None:
        said.append(f"only {rare} items decide it")
    if abs(found.skew) > SKEWED:
        said.append("a few clusters dominate it")
    if found.flat and case.shape != "rate":
        said.append("every resample gave the same value: items not seen here may differ")
    return "; ".join(said) or None
