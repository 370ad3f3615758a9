"""How a contrast is coloured: its direction, its size, and whether it is clear.

One rule holds for all matrices, heat maps and tables, in colour and in grey: hue says better or worse, depth says how
far, hatching says that the data show no difference.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from crushtest.records import Better
from crushtest.report.bounds import less_than, no_bound
from crushtest.report.formats import show_band, show_p
from crushtest.results import Contrast
from crushtest.stats.effects import cohen_h
from crushtest.stats.joint_claims import UNTESTED
from crushtest.stats.verdicts import (
    ALPHA,
    BETTER,
    CHANGED,
    INCONCLUSIVE,
    NO_CLEAR_DIFFERENCE,
    SPURIOUS_IMPROVEMENT,
    WITHIN_NOISE,
    WORSE,
    excludes_zero,
)

Tone = Literal["worse", "better", "changed", "noise", "undefined", "unmeasured"]

CLEAR: dict[str, Tone] = {WORSE: "worse", BETTER: "better", CHANGED: "changed", SPURIOUS_IMPROVEMENT: "changed"}
"""The verdicts of clear differences, and how each is coloured."""

CLEAR_ALONE = "clear alone, not after correction"

EFFECT_STEPS = (0.2, 0.5, 0.8)
RATIO_STEPS = (1.1, 1.5, 3.0)
DIFFERENCE_STEPS = (0.05, 0.15, 0.3)
RATIO_UNITS = ("perplexity", "ratio")


class Shade(NamedTuple):
    """A tone and, for clear differences, a depth from 1 (faint) to 4 (strong); 0 where nothing is clear."""

    tone: Tone
    depth: int


def shade(contrast: Contrast | None, unit: str) -> Shade:
    """Return the shade of one contrast; None means that it was not measured."""
    if contrast is None:
        return Shade("unmeasured", 0)
    if contrast.look is not None:
        return Shade("undefined", 0)
    if is_clear(contrast):
        return Shade(CLEAR[contrast.verdict], depth(contrast, unit))
    return Shade("undefined" if contrast.verdict in UNTESTED else "noise", 0)


def verdict_text(contrast: Contrast | None, unit: str) -> str:
    """Return a contrast's verdict in words for readers."""
    if contrast is None:
        return "not measured"
    if contrast.look is not None:
        return f"stopped at look {contrast.look.number} of {contrast.look.of}"
    if contrast.verdict == INCONCLUSIVE:
        return "cannot be tested"
    if contrast.verdict == WITHIN_NOISE:
        return f"{WITHIN_NOISE}, {show_band(contrast.noise, unit)}"
    if clear_alone(contrast):
        return CLEAR_ALONE
    if is_doubtful(contrast):
        return f"{NO_CLEAR_DIFFERENCE}, p {show_p(contrast.p.value if contrast.p else None)}"
    if contrast.verdict == NO_CLEAR_DIFFERENCE:
        return less_than(contrast, unit) or "; ".join(filter(None, (contrast.verdict, no_bound(contrast, unit))))
    return contrast.verdict


def is_clear(contrast: Contrast) -> bool:
    """Return whether a contrast is shown as clear: on its own, and after correction over all shown with it.

    That of an arm that stopped early has no p to correct, so it is none.
    """
    if contrast.verdict not in CLEAR or contrast.look is not None:
        return False
    return contrast.p is None or contrast.p.adjusted is None or contrast.p.adjusted <= ALPHA


def clear_alone(contrast: Contrast) -> bool:
    """Return whether a contrast is clear on its own, but not after correction over all that are shown with it."""
    return contrast.verdict in CLEAR and contrast.look is None and not is_clear(contrast)


def is_doubtful(contrast: Contrast) -> bool:
    """Return whether an interval leaves out 0 and its test finds nothing: a bound on its size would reassure."""
    return (
        contrast.verdict == NO_CLEAR_DIFFERENCE
        and contrast.intervals is not None
        and excludes_zero(contrast.intervals.at95)
    )


def is_worse_alone(contrast: Contrast) -> bool:
    """Return whether a contrast lies on the side of harm with all of its interval, tested or not."""
    if contrast.intervals is None or contrast.dense is None or contrast.value is None:
        return False
    worse = tone_of(contrast.dense, contrast.value, contrast.better) == "worse"
    return worse and excludes_zero(contrast.intervals.at95)


def depth(contrast: Contrast, unit: str) -> int:
    """Return 1 to 4, from the ratio to dense for perplexities and ratios, else from Cohen's h or d if known, else from
    the difference itself (scores, bits, nats)."""
    return _step(*_size(contrast, unit))


def extent(contrast: Contrast, unit: str) -> float:
    """Return the size of a change on the scale of `depth`, without its upper end: 1 where the deepest step begins."""
    size, steps = _size(contrast, unit)
    return math.log(size) / math.log(steps[-1]) if steps is RATIO_STEPS else size / steps[-1]


def times(contrast: Contrast | None, unit: str) -> str:
    """Return how many times dense's perplexity it is, `29.7-fold`; empty for other measures."""
    if contrast is None or unit != "perplexity" or not (contrast.value and contrast.dense):
        return ""
    ratio = contrast.value / contrast.dense
    return f"{ratio:.{1 if ratio >= 10 else 2}f}-fold"


def _size(contrast: Contrast, unit: str) -> tuple[float, tuple[float, ...]]:
    """Return how large a change is, and the steps that it is measured by."""
    ratio = contrast.effect.ratio or (contrast.value / contrast.dense if contrast.value and contrast.dense else None)
    if unit in RATIO_UNITS and ratio is not None and ratio > 0:
        return max(ratio, 1 / ratio), RATIO_STEPS
    if contrast.effect.standardized is not None:
        return abs(contrast.effect.standardized), EFFECT_STEPS
    return abs(contrast.difference or 0.0), DIFFERENCE_STEPS


def tone_of(before: float, after: float, better: Better) -> Tone:
    """Return the tone of a change as if it were clear, for numbers that have no interval."""
    cost = {"lower": after - before, "higher": before - after, "zero": abs(after) - abs(before)}.get(better)
    if after == before or cost == 0:
        return "noise"
    return "changed" if cost is None else "worse" if cost > 0 else "better"


def size_depth(before: float, after: float, unit: str) -> int:
    """Return 1 to 4 for a change, on the steps of `depth`: the ratio of perplexities, Cohen's h of rates, or itself."""
    if unit in RATIO_UNITS and min(before, after) > 0:
        return _step(max(after / before, before / after), RATIO_STEPS)
    if unit == "rate":
        return _step(abs(cohen_h(before, after)), EFFECT_STEPS)
    return _step(abs(after - before), DIFFERENCE_STEPS)


def importance(contrast: Contrast, unit: str) -> tuple[int, float]:
    """Return a key that sorts clear differences by size."""
    size = contrast.difference if contrast.effect.standardized is None else contrast.effect.standardized
    return depth(contrast, unit), abs(size or 0.0)


def _step(size: float, steps: tuple[float, ...]) -> int:
    return 1 + sum(size >= step for step in steps)
