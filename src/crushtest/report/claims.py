"""The p values that a report judges by, corrected over everything that the reader sees at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crushtest.results import Contrast
from crushtest.stats.joint_claims import Key, corrected


def judge(
    contrasts: Mapping[Key, Contrast], *, headlines: Iterable[Contrast], shown: Iterable[Contrast]
) -> dict[Key, Contrast]:
    """Return the contrasts with `p_adjusted` as the report needs it, and inconclusive where no p could be low enough.

    headlines   every arm in every headline: the family of the first sentence
    shown       every arm in every measure shown over all items; measures besides the headlines are corrected over these

    Rows of groups keep the correction of the files.
    """
    judged = corrected(shown) | corrected(headlines)
    return {key: judged.get(key, row) for key, row in contrasts.items()}


def judged_p(row: Contrast) -> float | None:
    """Return the corrected p of a contrast; the plain one where none was corrected, None without a test."""
    if row.p is None:
        return None
    return row.p.value if row.p.adjusted is None else row.p.adjusted
