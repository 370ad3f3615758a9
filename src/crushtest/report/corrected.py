"""A scorer's differences corrected by people's labels, in words."""

from __future__ import annotations

from crushtest.records import DENSE
from crushtest.report.formats import show_difference, show_interval, show_range, show_value, unit_of_difference
from crushtest.stats.labelled import ScorerError, Share
from crushtest.study.corrections import Correction

UNIT = "rate"


def difference_text(correction: Correction) -> str:
    """Return `−0.4 points (−5.2 to +4.4) by 60 labelled pairs of 200`, or why there is none."""
    result = correction.result
    if isinstance(result, str):
        return f"not corrected: {result}"
    interval = show_interval(result.low, result.high, UNIT)
    unsure = f", {correction.unsure} more unsure" if correction.unsure else ""
    return (
        f"{show_difference(result.difference, UNIT)}{unit_of_difference(UNIT)} ({interval}) by {result.labelled} "
        f"labelled pairs of {result.items}{unsure}"
    )


def error_texts(correction: Correction) -> tuple[tuple[str, str, str], ...]:
    """Return, for dense and the arm, its name, what the scorer counts wrongly and what it misses, with intervals."""
    result = correction.result
    if isinstance(result, str):
        return ()
    by_arm: tuple[tuple[str, ScorerError], ...] = ((DENSE, result.dense), (correction.arm, result.arm))
    return tuple((arm, _share(error.false_positive), _share(error.false_negative)) for arm, error in by_arm)


def _share(share: Share) -> str:
    if share.value is None:
        return "none labelled"
    return f"{show_value(share.value, UNIT)} ({show_range(share.low, share.high, UNIT)})"
