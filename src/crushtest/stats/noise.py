"""The noise floor: how far every metric moves when nothing but the measuring is repeated.

Another batch order or packing, another number of threads or another dtype changes sums in their last digits, and an
answer that was a close call with them. A contrast no larger than that cannot be credited to compression.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from crushtest.metrics import WORST, Metric
from crushtest.records import DENSE, Item
from crushtest.results import Contrast, Flips, NoiseBand
from crushtest.stats.asked import Asked
from crushtest.stats.flips import count_flips
from crushtest.stats.item_sums import Answers, Measured, Scores
from crushtest.stats.sample import Sample
from crushtest.stats.verdicts import INCONCLUSIVE, UNCLEAR, UNDEFINED, WITHIN_NOISE

Number = TypeVar("Number", int, float)

APART = (
    "large measurement noise: repeats moved an arm by as much as the difference, but the arms' measurements never met"
)


def noise_bands(
    task: str,
    metrics: Sequence[Metric],
    items: Sequence[Item],
    measured: tuple[Answers, Scores],
    repeats: Sequence[tuple[Answers, Scores]],
    *,
    arm: str = DENSE,
) -> list[NoiseBand]:
    """Return one band per metric and group (and gap), from an arm and its repeats, each an (answers, scores) pair.

    A repeat is compared on the items that it and the arm have a number for. The largest of K repeats is exceeded by
    one more with a chance of 1 / (K + 1): with few repeats the band is a lower bound of the noise. Metrics that are
    measured against dense itself (`relative_to_dense`) have no half-width in dense, gaps have no flips.
    """
    if not repeats or not metrics:
        return []
    asked = Asked(metrics, items)
    first = asked.summed(Measured(*measured)).sums
    moved: dict[tuple[str, str], list[_Move]] = {}
    for repeat in repeats:
        again = asked.summed(Measured(*repeat)).sums
        sample = Sample.draw(asked, [first, again], seed=0, replicates=0)
        for metric in range(len(metrics)):
            for slice_ in sample.slices(metric).all:
                # The value in dense is known, so it cannot move.
                is_fixed = arm == DENSE and metrics[slice_.metric].relative_to_dense
                change = float("nan") if is_fixed else float(slice_.observed[1] - slice_.observed[0])
                both = first[slice_.metric], again[slice_.metric]
                flips = Flips() if slice_.is_derived else count_flips(*both, slice_.rows)
                move = _Move(change, flips, len(slice_.rows))
                moved.setdefault((slice_.name, slice_.group), []).append(move)
    return [_band(arm, task, metric, group, moves) for (metric, group), moves in moved.items()]


class _Move(NamedTuple):
    """What one repeat changed.

    change   value of the repeat - value of the arm; NaN where one has none
    n        answers that the flips are counted among
    """

    change: float
    flips: Flips
    n: int

    @property
    def flip_share(self) -> float | None:
        """The share of the answers that changed."""
        return None if self.flips.total is None or not self.n else self.flips.total / self.n

    @property
    def net_share(self) -> float | None:
        """|up - down| as a share of the answers."""
        net = _net(self.flips)
        return None if net is None or not self.n else net / self.n


def _band(arm: str, task: str, metric: str, group: str, moves: Sequence[_Move]) -> NoiseBand:
    changes = [move.change for move in moves if not np.isnan(move.change)]
    return NoiseBand(
        arm=arm,
        task=task,
        metric=metric,
        group=group,
        repeats=len(moves),
        half_width=_largest(map(abs, changes)),
        flips=_largest(move.flips.total for move in moves),
        flip_share=_largest(move.flip_share for move in moves),
        net_share=_largest(move.net_share for move in moves),
        low=min(0.0, *changes) if changes else None,
        high=max(0.0, *changes) if changes else None,
    )


def with_noise(contrasts: Iterable[Contrast], bands: Iterable[NoiseBand]) -> list[Contrast]:
    """Return the contrasts with their band; a difference that noise could explain is `within measurement noise`.

    Noise could explain a difference that is no larger than the band, if a measurement of one arm (itself or a repeat)
    reaches one of the other. If none does, the verdict stays and a caution names the noise. The band of a contrast is
    the wider one of its two arms', or the only one. The row of a worst group takes the bands of the group that it
    names. A band of 0 (the repeats agreed to the last digit) changes no verdict.
    """
    by_arm = {(band.arm, band.task, band.metric, band.group): band for band in bands}
    return [_with_bands(row, by_arm) for row in contrasts]


def _with_bands(row: Contrast, bands: Mapping[tuple[str, str, str, str], NoiseBand]) -> Contrast:
    measured = (row.task, row.metric, row.group)
    if row.worst is not None:
        measured = (row.task, row.metric.removesuffix(WORST), row.worst)
    arm, against = (bands.get((name, *measured)) for name in (row.arm, row.against))
    both = [band for band in (arm, against) if band]
    half_width = _largest(band.half_width for band in both)
    row = replace(row, noise=half_width)
    if row.flips.total is not None:
        row = replace(
            row,
            noise_flips=_largest(band.flips for band in both),
            noise_flip_share=_largest(band.flip_share for band in both),
            noise_net_share=_largest(band.net_share for band in both),
        )
    if not half_width or row.difference is None or row.verdict in (UNDEFINED, INCONCLUSIVE):
        return row
    if abs(row.difference) > half_width:
        return row
    if abs(row.difference) <= _reach(arm, against, row.difference):
        return replace(row, verdict=WITHIN_NOISE)
    return replace(row, caution="; ".join(text for text in (row.caution, APART) if text))


def _reach(arm: NoiseBand | None, against: NoiseBand | None, difference: float) -> float:
    """Return how far the measurements of two arms go towards each other; an arm without a band stays in its place."""
    lower, upper = (against, arm) if difference > 0 else (arm, against)
    return ((lower and lower.high) or 0.0) - ((upper and upper.low) or 0.0)


def flips_within_noise(row: Contrast) -> bool:
    """Return True if answers changed, and repeats of the arms changed as large a share, as much in one direction.

    The flips of a clear difference are not noise.
    """
    if not row.flips.total or not row.n or row.noise_flip_share is None or row.verdict not in UNCLEAR:
        return False
    net = _net(row.flips)
    one_sided = net is not None and net / row.n > (row.noise_net_share or 0.0)
    return row.flips.total / row.n <= row.noise_flip_share and not one_sided


def _net(flips: Flips) -> int | None:
    return None if flips.up is None or flips.down is None else abs(flips.up - flips.down)


def _largest(numbers: Iterable[Number | None]) -> Number | None:
    return max((number for number in numbers if number is not None), default=None)
