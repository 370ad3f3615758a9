"""The noise floor: how far every metric moves when nothing but the measuring is repeated.

Another batch order or packing, another number of threads or another dtype changes sums in their last digits, and an
answer that was a close call with them. A contrast no larger than that cannot be credited to compression.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from crushtest.metrics import WORST, Metric
from crushtest.records import DENSE, Item
from crushtest.results import Contrast, NoiseBand
from crushtest.stats.flips import count_flips
from crushtest.stats.item_sums import Answers, Scores, measure_sums
from crushtest.stats.sample import Sample
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED, WITHIN_NOISE


def noise_bands(
    task: str,
    metrics: Sequence[Metric],
    items: Sequence[Item],
    dense: tuple[Answers, Scores],
    repeats: Sequence[tuple[Answers, Scores]],
) -> list[NoiseBand]:
    """Return one band per metric and group (and gap), from dense and its repeats, each an (answers, scores) pair.

    A repeat is compared on the items that it and the dense arm have a number for. The largest of K repeats is exceeded
    by one more with a chance of 1 / (K + 1): with few repeats the band is a lower bound of the noise. Metrics that are
    measured against dense itself (`relative_to_dense`) have no half-width, gaps no flips.
    """
    if not repeats or not metrics:
        return []
    items = list(items)
    first = [measure_sums(metric, items, *dense) for metric in metrics]
    moved: dict[tuple[str, str], list[tuple[float, int | None]]] = {}
    for repeat in repeats:
        again = [measure_sums(metric, items, *repeat) for metric in metrics]
        sample = Sample.draw(metrics, items, [first, again], seed=0, replicates=0)
        for slices in sample.slices():
            for slice_ in slices.all:
                is_fixed = metrics[slice_.metric].relative_to_dense  # its value in dense is known, so it cannot move
                change = float("nan") if is_fixed else abs(float(slice_.observed[1] - slice_.observed[0]))
                flips = count_flips(first[slice_.metric], again[slice_.metric], slice_.rows).total
                moved.setdefault((slice_.name, slice_.group), []).append((change, None if slice_.is_derived else flips))
    return [_band(task, metric, group, moves) for (metric, group), moves in moved.items()]


def _band(task: str, metric: str, group: str, moves: Sequence[tuple[float, int | None]]) -> NoiseBand:
    changes = [change for change, _ in moves if not np.isnan(change)]
    flips = [count for _, count in moves if count is not None]
    return NoiseBand(
        task=task,
        metric=metric,
        group=group,
        repeats=len(moves),
        half_width=max(changes, default=None),
        flips=max(flips, default=None),
    )


def with_noise(contrasts: Iterable[Contrast], bands: Iterable[NoiseBand]) -> list[Contrast]:
    """Return the contrasts with their band; a difference inside it replaces the verdict by `within measurement noise`.

    Only rows against dense have a band: it was dense that was repeated, in its own engine. The row of a worst group
    takes the band of the group that it names. A band of 0 (the repeats agreed to the last digit) changes no verdict.
    """
    widths = {(band.task, band.metric, band.group): band.half_width for band in bands}
    return [_with_band(row, widths.get(_measured(row)) if row.against == DENSE else None) for row in contrasts]


def _measured(row: Contrast) -> tuple[str, str, str]:
    if row.worst is not None:
        return row.task, row.metric.removesuffix(WORST), row.worst
    return row.task, row.metric, row.group


def _with_band(row: Contrast, half_width: float | None) -> Contrast:
    if half_width is None:
        return row
    inside = row.difference is not None and half_width > 0 and abs(row.difference) <= half_width
    return replace(
        row,
        noise=half_width,
        verdict=WITHIN_NOISE if inside and row.verdict not in (UNDEFINED, INCONCLUSIVE) else row.verdict,
    )
