"""All metrics and groups of one arm, or of dense and an arm, resampled together and cut into slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from crushtest.metrics import AGAINST_REST, GAP, Array, Metric
from crushtest.stats import gaps
from crushtest.stats.asked import Asked
from crushtest.stats.batches import Batches, Replicates
from crushtest.stats.clusters import ClusterTotals, Index, Layout, total_by_cluster
from crushtest.stats.few_valued import extremes, possible_values
from crushtest.stats.item_sums import Sums
from crushtest.stats.metric_kind import Shape, shape_of
from crushtest.stats.needed import needed
from crushtest.stats.numbering import count_distinct, numbered
from crushtest.stats.resample import (
    Values,
    against_rest,
    arms_of,
    bootstrap,
    exchange,
    leave_one_out,
    observed,
)
from crushtest.stats.shared import Mask
from crushtest.stats.slices import RowsOf, Slice
from crushtest.stats.threads import MANY_ITEMS, each

NO_REST = "the group or the others of its attribute have no item with a number"


class MetricSlices(NamedTuple):
    """Everything that is reported of one metric."""

    groups: tuple[Slice, ...]
    gaps: tuple[Slice, ...]
    rests: tuple[Slice, ...]

    @property
    def all(self) -> tuple[Slice, ...]:
        """Return the slices in the order of the rows of results."""
        return (*self.groups, *self.gaps, *self.rests)


class _Resampled(NamedTuple):
    """The arrays of a slice, as `Slice` describes them."""

    observed: Array
    values: Array
    without: Array
    counts: Index
    exchanged: Array


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All metrics and groups of one arm, or of dense and an arm, resampled together.

    arms       per arm, the sums of each metric
    used       per metric, the items that count: those with a number in every arm
    values     the replicates of a metric over resampled clusters, made when it is asked for them; none of metrics
               whose intervals need none
    exchanged  those with the arms exchanged
    possible   per metric, the few sums that an item may have; None where there are too many
    extremes   per metric, the sums of the smallest and the largest item; None where the metric is no mean
    """

    metrics: Sequence[Metric]
    layout: Layout
    arms: Sequence[Sequence[Sums]]
    used: Sequence[Mask]
    units: ClusterTotals
    observed: Values
    values: Callable[[int], Replicates]
    exchanged: Callable[[int], Replicates]
    possible: Sequence[Array | None]
    extremes: Sequence[Array | None]
    seed: int

    @classmethod
    def draw(
        cls,
        asked: Asked,
        arms: Sequence[Sequence[Sums]],
        *,
        seed: int,
        replicates: int,
    ) -> Sample:
        """Resample the clusters of one or two arms. With two, only items that both have a number for count."""
        metrics, layout = asked.metrics, asked.layout
        used = [np.logical_and.reduce([arm[m].scored for arm in arms]) for m in range(len(metrics))]
        units = total_by_cluster(metrics, asked.cells, layout, arms, used)
        columns = [RowsOf([arm[m].columns for arm in arms], np.flatnonzero(mask)) for m, mask in enumerate(used)]
        possible = [_possible(metric, columns[m]) for m, metric in enumerate(metrics)]
        values = Batches(
            units,
            lambda wanted: bootstrap(metrics, units, seed=seed, replicates=replicates, wanted=wanted),
            needed(metrics, units, arms, used, possible),
            replicates=replicates,
        )
        return cls(
            metrics=metrics,
            seed=seed,
            layout=layout,
            arms=arms,
            used=used,
            units=units,
            observed=observed(metrics, units),
            values=values,
            exchanged=exchanges(metrics, units, seed=seed, replicates=replicates),
            possible=possible,
            extremes=[_extremes(metric, arms[-1][m], used[m], columns[m]) for m, metric in enumerate(metrics)],
        )

    @cached_property
    def _without(self) -> list[Array]:
        """Per group, the values [metrics, arms, units] with one cluster left out."""
        return each(
            lambda group: leave_one_out(self.metrics, self.units, group),
            range(len(self.layout.names)),
            in_threads=len(self.layout.cluster) >= MANY_ITEMS,
        )

    @cached_property
    def _shapes(self) -> list[Shape]:
        return [shape_of(metric, self.arms[-1][m], self.used[m]) for m, metric in enumerate(self.metrics)]

    def slices(self, metric: int) -> MetricSlices:
        """Return a metric's groups, the gaps of its attributes, and its groups against the rest.

        They hold the replicates of all groups: a metric's slices are best let go before the next one's are made.
        """
        is_reported = self.metrics[metric].groups
        values, exchanged = self.values(metric), self.exchanged(metric)
        groups = [
            self._group(metric, group, values, exchanged)
            for group, name in enumerate(self.layout.names)
            if is_reported(name)
        ]
        by_name = {slice_.group: slice_ for slice_ in groups}
        gaps = [
            self._gap(metric, attribute, positions, by_name, exchanged)
            for attribute, positions in self.layout.attributes.items()
            if self.metrics[metric].with_gap and len(positions) > 1
        ]
        of_metric = [(number, rest) for number, rest in enumerate(self.units.rests) if rest.metric == metric]
        rests = [
            self._rest(number, rest.group, values.rests[place], exchanged.rests[place])
            for place, (number, rest) in enumerate(of_metric)
            if is_reported(self.layout.names[rest.group])
        ]
        return MetricSlices(tuple(groups), tuple(gaps), tuple(rests))

    def _group(self, metric: int, group: int, values: Replicates, exchanged: Replicates) -> Slice:
        arrays = _Resampled(
            observed=self.observed.groups[metric, :, group],
            values=values.groups[:, group],
            without=self._without[group][metric],
            counts=self.units.counts[self.units.groups[group].units],
            exchanged=exchanged.groups[:, group],
        )
        name = self.metrics[metric].name
        return self._slice(metric, name, self.layout.names[group], self.layout.members[group], arrays)

    def _rest(self, number: int, group: int, values: Array, exchanged: Array) -> Slice:
        """Return a group minus the others of its attribute: its items are all the attribute's, in two columns each."""
        place, name = self.units.rests[number].metric, self.layout.names[group]
        metric = self.metrics[place]
        arrays = self._alone(self.observed.rests[number], values, exchanged)
        union = self.layout.unions[name.partition("=")[0]]
        both = self._slice(place, metric.name + AGAINST_REST, name, union, arrays)
        is_member = np.isin(both.rows, self.layout.members[group])[:, None]
        columns = tuple(np.concatenate([sums * is_member, sums * ~is_member], axis=1) for sums in both.columns)
        without = np.stack([_without_each_cluster(sums, both.cluster, against_rest) for sums in columns])
        bounds = metric.bounds
        return replace(
            both,
            better="neither" if metric.better == "neither" else "zero",
            kind="rest",
            undefined_reason=NO_REST,
            bounds=None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0]),
            formula=against_rest,
            columns=columns,
            possible=possible_values(columns) if both.n else None,
            extremes=None,
            without=without,
            counts=np.ones(without.shape[1:], np.int64),
        )

    def _gap(
        self,
        metric: int,
        attribute: str,
        groups: tuple[int, ...],
        slices: Mapping[str, Slice],
        exchanged: Replicates,
    ) -> Slice:
        """Return the gap of an attribute. Its interval is that of its groups, so it has no resamples of its own."""
        members = np.unique(np.concatenate([self.layout.members[group] for group in groups]))
        at = list(groups)
        arrays = self._alone(
            gaps.gap(self.observed.groups[metric][:, at].T),
            np.zeros((len(self.arms), 0)),
            gaps.gap(np.moveaxis(exchanged.groups[:, at], 1, 0)),
        )
        together = self._slice(metric, self.metrics[metric].name + GAP, attribute, members, arrays)
        bounds = together.bounds
        return replace(
            together,
            better="lower",
            kind="gap",
            undefined_reason=gaps.TOO_FEW,
            bounds=None if bounds is None else (0.0, bounds[1] - bounds[0]),
            parts=tuple(slices[name] for name in (self.layout.names[group] for group in groups) if name in slices),
            possible=None,
            extremes=None,
        )

    def _alone(self, observed: Array, values: Array, exchanged: Array) -> _Resampled:
        """Return the arrays of a slice without a jackknife."""
        none = np.zeros((len(self.arms), 0))
        return _Resampled(observed, values, without=none, counts=np.zeros(0, np.int64), exchanged=exchanged)

    def _slice(self, place: int, name: str, group: str, members: Index, arrays: _Resampled) -> Slice:
        metric, used = self.metrics[place], self.used[place]
        rows = members[used[members]]
        cluster = self.layout.cluster[rows]
        reasons = (arm[place].unscored(members) for arm in self.arms)
        return Slice(
            metric=place,
            name=name,
            group=group,
            better=metric.better,
            kind=self._shapes[place],
            rows=rows,
            seen=int(self.arms[0][place].applies[members].sum()),
            clusters=count_distinct(cluster),
            undefined_reason=metric.undefined_reason,
            unscored="" if len(rows) else next(filter(None, reasons), "not answered"),
            jackknife=metric.interval == "jackknife",
            columns=RowsOf([arm[place].columns for arm in self.arms], rows),
            cluster=cluster,
            formula=metric.formula,
            possible=self.possible[place],
            kinds=tuple(map(np.array, metric.item_sums)),
            extremes=self.extremes[place],
            seed=self.seed,
            bounds=metric.bounds,
            **arrays._asdict(),
        )


def exchanges(
    metrics: Sequence[Metric], units: ClusterTotals, *, seed: int, replicates: int, share: int = 1
) -> Batches:
    """Return the replicates with both arms exchanged; none for one arm. `share` is as in `Batches`."""

    def make(wanted: Sequence[int]) -> Values:
        return exchange(metrics, units, seed=seed, replicates=replicates, wanted=wanted)

    needed = range(len(metrics) if arms_of(units.groups) == 2 else 0)
    return Batches(units, make, needed, replicates=replicates, share=share)


def _without_each_cluster(sums: Array, cluster: Index, formula: Callable[..., Array]) -> Array:
    """Return the values [clusters] of a formula over sums [items, k] with the items of one cluster left out."""
    distinct, place = numbered(cluster)
    totals = np.zeros((len(distinct), sums.shape[1]))
    np.add.at(totals, place, sums)
    return formula(*(sums.sum(axis=0) - totals).T)


def _possible(metric: Metric, columns: Sequence[Array]) -> Array | None:
    """Return the sums that an item may have; None for a metric of cells, whose clusters are not alike."""
    resampled = metric.cell_of is None and metric.interval == "bootstrap" and len(columns[0])
    return possible_values(columns) if resampled else None


def _extremes(metric: Metric, sums: Sums, used: Mask, columns: Sequence[Array]) -> Array | None:
    """Return the sums of the smallest and the largest item, for a mean over items."""
    is_mean = len(columns[0]) and shape_of(metric, sums, used) == "mean" and metric.interval == "bootstrap"
    return extremes(columns) if is_mean else None
