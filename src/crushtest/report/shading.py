"""How a contrast is coloured: which way it went, how far, and whether that is clear of noise.

The report has one rule for all its matrices, heat maps and tables, in colour and in grey alike: hue says better or
worse, depth says how far, hatching says that the data do not show a difference.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from crushtest.report.bounds import less_than
from crushtest.report.claims import UNTESTED
from crushtest.report.formats import show_band
from crushtest.results import Contrast
from crushtest.stats.noise import WITHIN
from crushtest.stats.verdicts import ALPHA, BETTER, CHANGED, INCONCLUSIVE, NO_CLEAR_DIFFERENCE, NO_IMPROVEMENT, WORSE

Tone = Literal["worse", "better", "changed", "noise", "undefined", "unmeasured"]

CLEAR: dict[str, Tone] = {WORSE: "worse", BETTER: "better", CHANGED: "changed", NO_IMPROVEMENT: "changed"}
"""The verdicts that say of a difference that it is clear, and how each is coloured."""

CLEAR_ALONE = "clear alone, not once corrected"

EFFECT_STEPS = (0.2, 0.5, 0.8)
RATIO_STEPS = (1.1, 1.5, 3.0)
DIFFERENCE_STEPS = (0.05, 0.15, 0.3)
RATIO_UNITS = ("perplexity", "ratio")


class Shade(NamedTuple):
    """A tone and, for clear differences, a depth from 1 (faint) to 4 (strong); 0 where nothing is clear."""

    tone: Tone
    depth: int


def shade(contrast: Contrast | None, unit: str) -> Shade:
    """The shade of one contrast; None means that it was not measured."""
    if contrast is None:
        return Shade("unmeasured", 0)
    if is_clear(contrast):
        return Shade(CLEAR[contrast.verdict], depth(contrast, unit))
    return Shade("undefined" if contrast.verdict in UNTESTED else "noise", 0)


def said(contrast: Contrast | None, unit: str) -> str:
    """What a contrast says, in words for readers."""
    if contrast is None:
        return "not measured"
    if contrast.verdict == INCONCLUSIVE:
        return "cannot be tested"
    if contrast.verdict == WITHIN:
        return f"no more than dense measured again, {show_band(contrast.noise, unit)}"
    if clear_alone(contrast):
        return CLEAR_ALONE
    if contrast.verdict == NO_CLEAR_DIFFERENCE:
        return less_than(contrast, unit) or contrast.verdict
    return contrast.verdict


def is_clear(contrast: Contrast) -> bool:
    """Return whether a contrast is shown as a difference: clear by itself, and among all that are shown with it."""
    if contrast.verdict not in CLEAR:
        return False
    return contrast.p is None or contrast.p.adjusted is None or contrast.p.adjusted <= ALPHA


def clear_alone(contrast: Contrast) -> bool:
    """Return whether a contrast is clear by itself and not among all that are shown with it."""
    return contrast.verdict in CLEAR and not is_clear(contrast)


def depth(contrast: Contrast, unit: str) -> int:
    """1 to 4: by the ratio to dense for perplexities and ratios, by Cohen's h or d where there is one, else by the
    difference itself (scores, bits, nats)."""
    ratio = contrast.effect.ratio or (contrast.value / contrast.dense if contrast.value and contrast.dense else None)
    if unit in RATIO_UNITS and ratio is not None and ratio > 0:
        return _step(max(ratio, 1 / ratio), RATIO_STEPS)
    if contrast.effect.standardized is not None:
        return _step(abs(contrast.effect.standardized), EFFECT_STEPS)
    return _step(abs(contrast.difference or 0.0), DIFFERENCE_STEPS)


def importance(contrast: Contrast, unit: str) -> tuple[int, float]:
    """Sorts clear differences by how far they went."""
    size = contrast.difference if contrast.effect.standardized is None else contrast.effect.standardized
    return depth(contrast, unit), abs(size or 0.0)


def _step(size: float, steps: tuple[float, ...]) -> int:
    return 1 + sum(size >= step for step in steps)
