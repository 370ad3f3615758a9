"""The rows of an arm that was asked a part of a task's items, in random order of their blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from crushtest.metrics import AGAINST_REST, GAP, WORST, Metric
from crushtest.records import DENSE, Item
from crushtest.results import Contrast, Interval, Intervals, Look
from crushtest.stats.clusters import Index, Layout, lay_out
from crushtest.stats.few_valued import possible_values
from crushtest.stats.flips import count_flips
from crushtest.stats.item_sums import Measured, Sums, measure_sums
from crushtest.stats.metric_kind import shape_of
from crushtest.stats.pool import Forecast, Pool, arrange, forecast, share_interval
from crushtest.stats.progressed import Progressed
from crushtest.stats.rates import FEWEST_TESTABLE
from crushtest.stats.sequential import FEWEST_BLOCKS
from crushtest.stats.shared import Mask
from crushtest.stats.tokens import compare_tokens, without_per_token
from crushtest.stats.validity import without_invalid
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED, counted, verdict

NOT_IN_PARTS = "of a part of the items there is no interval of it"


def looked_rows(
    task: str,
    metrics: Sequence[Metric],
    items: Sequence[Item],
    arm: str,
    dense: Measured,
    measured: Measured,
    how: Progressed,
) -> list[Contrast]:
    """Return what the items asked so far say of each metric and group of the full run.

    Gaps, groups against the rest, formulas over counts of outcomes, and metrics of cells or with a jackknife have rows
    without an interval.
    """
    layout = lay_out(items)
    asked = [item for item, is_asked in zip(items, how.asked, strict=True) if is_asked]
    tokens = compare_tokens(asked, dense.answers, measured.answers)
    rows: list[Contrast] = []
    for metric in metrics:
        before = measure_sums(metric, items, *dense)
        after = _spread(measure_sums(metric, asked, *measured), how.asked)
        rows += _rows(task, metric, arm, layout, before, after, how)
    return without_invalid(without_per_token(rows, metrics, tokens), metrics)


def _spread(sums: Sums, asked: Mask) -> Sums:
    """Return the sums of the items asked at their places among all items."""
    columns, places = np.zeros((len(asked), sums.columns.shape[1])), np.flatnonzero(asked)
    columns[places] = sums.columns
    flags = []
    for flag in (sums.applies, sums.scored):
        wide = np.zeros(len(asked), bool)
        wide[places] = flag
        flags.append(wide)
    states = None
    if sums.states is not None:
        states = np.full(len(asked), None, object)
        states[places] = sums.states
    outcome = None
    if sums.outcome is not None:
        outcome = np.zeros(len(asked))
        outcome[places] = sums.outcome
    return Sums(columns, flags[0], flags[1], states, outcome, np.zeros(0, object))


def _rows(
    task: str, metric: Metric, arm: str, layout: Layout, before: Sums, after: Sums, how: Progressed
) -> Iterator[Contrast]:
    groups = [place for place, name in enumerate(layout.names) if metric.groups(name)]
    searched: dict[str, list[tuple[Contrast, Forecast]]] = {}
    for place in groups[:1] if how.pooled else groups:
        name, members = layout.names[place], layout.members[place]
        row = _blank(task, metric, arm, name, layout, before, after, members, how)
        pool = _pool(metric, layout, before, after, members, how)
        seen = _forecast(metric, pool, after, how, how.error_of(name, len(groups) - 1))
        if isinstance(seen, str) or isinstance(pool, str):
            yield replace(row, reason=str(seen), verdict=UNDEFINED if row.n == 0 else INCONCLUSIVE)
            continue
        row = _filled(row, pool, seen, before, after, how, how.error_of(name, len(groups) - 1))
        for attribute, positions in layout.attributes.items():
            if place in positions and row.clusters >= FEWEST_TESTABLE:
                searched.setdefault(attribute, []).append((row, seen))
        yield row
    for attribute, positions in layout.attributes.items():
        if len(positions) < 2:
            continue
        candidates = searched.get(attribute, ())
        if len(candidates) > 1:
            yield _worst(metric, attribute, candidates)
        for suffix in (GAP,) if metric.with_gap else ():
            yield _without_interval(task, metric, arm, metric.name + suffix, attribute, how)
        for group in positions if metric.with_rest else ():
            yield _without_interval(task, metric, arm, metric.name + AGAINST_REST, layout.names[group], how)


def _blank(
    task: str,
    metric: Metric,
    arm: str,
    group: str,
    layout: Layout,
    before: Sums,
    after: Sums,
    members: Index,
    how: Progressed,
) -> Contrast:
    """Return the row of a group without its numbers; its look counts the items of the full run."""
    pool = members[before.scored[members]]
    both = pool[after.scored[pool]]
    return Contrast(
        arm=arm,
        task=task,
        metric=metric.name,
        group=group,
        better=metric.better,
        dense=None,
        value=None,
        n=len(both),
        n_unscored=int((before.applies & how.asked)[members].sum()) - len(both),
        clusters=len(np.unique(layout.cluster[pool])),
        verdict=INCONCLUSIVE,
        against=DENSE,
        flips=count_flips(before, after, both),
        look=Look(number=how.number, of=how.of, items=len(pool)),
    )


def _pool(metric: Metric, layout: Layout, before: Sums, after: Sums, members: Index, how: Progressed) -> Pool | str:
    if metric.interval == "jackknife" or metric.cell_of is not None or metric.item_sums:
        return NOT_IN_PARTS
    rows = members[before.scored[members]]
    if not len(rows):
        return "no item of this group has a number in dense"
    both = rows[after.scored[rows]]
    if not len(both):
        return "none of the items asked has a number"
    shape = shape_of(metric, after, after.scored)
    return arrange(
        rows,
        before.columns[rows],
        how.rank[rows],
        layout.cluster[rows],
        formula=metric.formula,
        is_rate=shape == "rate" and shape_of(metric, before, before.scored) == "rate",
        possible=possible_values([before.columns[rows], after.columns[both]]),
        bounds=metric.bounds if shape in ("rate", "mean") else None,
    )


def _looks(pool: Pool, how: Progressed) -> tuple[tuple[int, ...], int]:
    """Return the looks at this pool so far, in its own blocks, and what the last one before the whole will ask."""
    ranks = np.unique(how.rank[pool.rows])
    counts = np.searchsorted(ranks, (*how.looks, how.last)).tolist()
    used = dict.fromkeys(count for count in counts[:-1] if count >= FEWEST_BLOCKS)
    return tuple(used), counts[-1]


def _forecast(metric: Metric, pool: Pool | str, after: Sums, how: Progressed, error: float) -> Forecast | str:
    if isinstance(pool, str):
        return pool
    looks, last = _looks(pool, how)
    if len(pool.sizes) < FEWEST_TESTABLE:
        return f"cannot be tested with {counted(len(pool.sizes), 'cluster')}"
    if not looks:
        return f"fewer than {FEWEST_BLOCKS} blocks of items were asked"
    rows = pool.rows[: pool.items_in(looks[-1])]
    earlier = tuple(look for look in looks if look < pool.blocks)
    arm, scored = after.columns[rows], after.scored[rows]
    seen = forecast(pool, arm, scored, looks=looks or earlier, last=last, error=error, bounds=how.bounds)
    if isinstance(seen, str):
        return seen
    return seen.within(metric.bounds, dense_is_known=len(rows) == len(pool.rows) or bool(scored.all()))


def _filled(
    row: Contrast, pool: Pool, seen: Forecast, before: Sums, after: Sums, how: Progressed, error: float
) -> Contrast:
    hulls = [seen.interval(level) for level in (0.95, 0.90)]
    assert row.look is not None
    low, high = _flips(pool, before, after, how, error)
    look = replace(row.look, low=seen.pool.low, high=seen.pool.high, flips_low=low, flips_high=high)
    away = Interval(*sorted((2 * seen.dense + end) for end in seen.pool))
    distance = Interval(away.low - seen.of_sum, away.high + seen.of_sum)
    change = seen.value - seen.dense
    if hulls[0].high < 0:
        distance = Interval(-distance.high, -distance.low)
    return replace(
        row,
        dense=seen.dense,
        value=seen.value,
        difference=change,
        intervals=Intervals(at95=hulls[0], at90=hulls[1], method=method_of(how)),
        verdict=verdict(row.better, change, hulls[0], None, distance),
        look=look,
    )


def method_of(how: Progressed) -> str:
    """Return the method of a row's interval: `sequence, look 4 of 10`."""
    return f"sequence{', exact' if how.bounds == 'exact' else ''}, look {how.number} of {how.of}"


def _flips(
    pool: Pool, before: Sums, after: Sums, how: Progressed, error: float
) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of the share of answers that the full run will find changed."""
    if before.states is None or after.states is None:
        return None, None
    looks, last = _looks(pool, how)
    rows = pool.rows[: pool.items_in(looks[-1])]
    flips = np.array([before.states[row] != after.states[row] and bool(after.scored[row]) for row in rows.tolist()])
    return share_interval(pool, flips.astype(np.float64), looks=looks, last=last, error=error)


def _worst(metric: Metric, attribute: str, candidates: Sequence[tuple[Contrast, Forecast]]) -> Contrast:
    """Return the row of the group that is most surely harmed, with simultaneous intervals of all groups."""
    level = {each: 1 - (1 - each) / len(candidates) for each in (0.95, 0.90)}

    def least(candidate: tuple[Contrast, Forecast]) -> tuple[float, float]:
        low, high = candidate[1].interval(0.95)
        harm = {"lower": low, "higher": -high}.get(metric.better, max(low, -high))
        change = candidate[0].difference or 0.0
        return max(harm, 0.0), {"lower": change, "higher": -change}.get(metric.better, abs(change))

    row, seen = max(candidates, key=least)
    at95, at90 = (seen.interval(level[each]) for each in (0.95, 0.90))
    assert row.intervals is not None
    method = f"{row.intervals.method}; simultaneous for {len(candidates)} groups"
    return replace(
        row,
        metric=metric.name + WORST,
        group=attribute,
        worst=row.group,
        intervals=Intervals(at95=at95, at90=at90, method=method),
    )


def _without_interval(task: str, metric: Metric, arm: str, name: str, group: str, how: Progressed) -> Contrast:
    return Contrast(
        arm=arm,
        task=task,
        metric=name,
        group=group,
        better=metric.better,
        dense=None,
        value=None,
        n=0,
        n_unscored=0,
        clusters=0,
        verdict=INCONCLUSIVE,
        reason=NOT_IN_PARTS,
        look=Look(number=how.number, of=how.of, items=0),
    )
