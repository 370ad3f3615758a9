"""The draws of an arm in words: how many there are, their share of the uncertainty, what one alone would say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crushtest.report.wording import listed, sentence_case
from crushtest.stats.verdicts import UNCLEAR, counted
from crushtest.study import manifest
from crushtest.study.arms import Arm

if TYPE_CHECKING:
    from crushtest.report.findings import Finding


def draws_there(content: Mapping[str, Any], arm: Arm) -> int:
    """Return how many of an arm's draws its results are made of, according to the manifest; all without one."""
    noted = content.get(manifest.COMPARED_DRAWS)
    if noted is None:
        return arm.replicates
    return max((len(arms[arm.name]) for arms in noted.values() if arm.name in arms), default=1)


def draw_count(arm: Arm, there: int) -> str:
    """Return `one calibration draw`, `3 calibration draws` or `2 of 3 calibration draws`; empty if nothing varies."""
    what = "calibration draw" if arm.calibrates else "draw of sampled completions"
    plural = what.replace("draw", "draws", 1)
    if arm.replicates == 1:
        return f"one {what}" if arm.calibrates else ""
    if there < arm.replicates:
        return f"{'one' if there == 1 else there} of {arm.replicates} {plural}"
    return counted(there, what, plural)


def failed_draws(content: Mapping[str, Any], arm: Arm) -> Iterator[str]:
    """Yield a sentence per draw of an arm whose compression failed."""
    failed = content.get(manifest.FAILED_DRAWS, {})
    for draw in range(1, arm.replicates):
        facts = failed.get(f"{arm.name}, draw {draw}")
        if facts is not None:
            yield f"Draw {draw} is missing, because its compression failed: {facts.get('reason', 'not recorded')}."


def draw_sentences(findings: list[Finding]) -> Iterator[str]:
    """Yield what the draws of an arm say of its headlines: verdicts of one draw only, and shares of the uncertainty."""
    drawn = [(finding, finding.contrast.draws) for finding in findings if finding.contrast.draws is not None]
    for finding, draws in drawn:
        clear = [(number, word) for number, word in enumerate(draws.verdicts) if word not in UNCLEAR]
        if finding.contrast.verdict in UNCLEAR and len(clear) == 1:
            place = ("first", "second", "third")[clear[0][0]] if clear[0][0] < 3 else f"{clear[0][0] + 1}th"
            yield (
                f"{sentence_case(finding.subject)}: {clear[0][1]} in one draw of {draws.count} only (the {place}), "
                "which no other draw confirms."
            )
    shares = [(finding.subject, draws.share) for finding, draws in drawn if draws.share is not None]
    if shares:
        texts = [f"{subject} {share:.0%}" for subject, share in shares]
        yield f"Share of the variance behind the intervals that is due to draws (items are the rest): {listed(texts)}."
