"""The frozen records that a comparison yields: estimates, contrasts and noise bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from crushtest.records import DENSE, Better


class Interval(NamedTuple):
    """The two ends of an interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawSpread:
    """How the draws of an arm differ: the same recipe on other calibration text, or other seeds of completions.

    count       draws, the arm itself among them
    deviation   standard deviation between the draws' values, or differences
    share       share of the variance behind the interval that is due to the draws, not the items; None without one
    values      the value of each draw, or its difference
    verdicts    what each draw alone would have said; empty in estimates
    """

    count: int
    deviation: float
    share: float | None
    values: tuple[float, ...]
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One metric, one group, one arm. `value` is None where it is undefined, and `reason` says why.

    low, high     95% interval of `method` (None with a value: `reason` says why there is no interval)
    clusters      what was resampled: the distinct clusters of the n items
    caution       what a reader must know before trusting the interval, in words
    draws         how the arm's draws differ, whose mean `value` is; None if it was drawn once
    """

    arm: str
    task: str
    metric: str
    group: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_unscored: int
    better: Better
    reason: str | None = None
    clusters: int = 0
    method: str | None = None
    caution: str | None = None
    draws: DrawSpread | None = None


# ---- the parts of a contrast, by what is read together ---------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """The intervals of a difference, and how they were made.

    at95   the 95% interval
    at90   the 90% interval. Its ends are the one-sided 95% bounds that a test of equivalence, or of "no worse than a
           margin", needs at 5%
    """

    at95: Interval
    at90: Interval
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PValue:
    """A two-sided p and how it was made; `adjusted` is p corrected over the row's family (`stats.multiplicity`)."""

    value: float
    method: str
    adjusted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """How many answers changed, which way, and how many could have.

    total          items whose answer changed (another option chosen, another side of a threshold); None where an answer
                   has no discrete state
    up, down       those whose counted outcome (right, biased, profane) appeared, and those whose outcome vanished; None
                   where the metric counts no outcome
    p              McNemar's exact p of up against down, over single items as if they were independent; None where the
                   metric counts no outcome. The contrast's own p is over clusters, and the verdict's
    at_risk_up     items whose counted outcome was absent in dense, so that it could appear
    at_risk_down   items whose counted outcome was present in dense, so that it could vanish
    """

    total: int | None = None
    up: int | None = None
    down: int | None = None
    p: float | None = None
    at_risk_up: int | None = None
    at_risk_down: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How large a difference is, on scales that metrics share; None where a metric has no such scale.

    ratio          value / dense, where both are positive and the metric is a ratio scale
    standardized   Cohen's h of rates, Cohen's d of means; `kind` is `cohen_h` or `cohen_d`
    """

    ratio: float | None = None
    standardized: float | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How unlike the groups of an attribute fared.

    deviation   weighted standard deviation of the groups' differences
    p           permutation p of "the effect is the same for all groups"
    """

    deviation: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionChange:
    """How the probabilities of the options moved: means over items answered with options in both arms.

    Items of which dense chose none, because options were tied, are left out.

    margin_dense   lead in nats of dense's chosen option over its best other one
    margin         lead that the arm gives that same option; below 0 where the answer flipped
    kl             KL(dense || arm) in nats between the probabilities of the options, each arm's made to sum to 1
    """

    margin_dense: float
    margin: float
    kl: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where asking stopped, in a row of an arm that was not asked every item, and what the full run would have said.

    number, of   the look, and how many there are
    items        items of the full run, those not asked among them
    low, high    interval of the full run's difference, which holds at all looks together; None where there is none
    flips_low, flips_high   the same of the share of answers that change; None where the metric has no flips
    """

    number: int
    of: int
    items: int
    low: float | None = None
    high: float | None = None
    flips_low: float | None = None
    flips_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One metric, one group, one arm against another, on the items that both answered.

    against      the arm compared with: the dense arm, unless the study asks for more (`against:`)
    dense        the value of the arm compared with, whichever it is
    difference   value - dense; None where an arm has no value
    intervals    None where the difference has no interval: `reason` says why
    p            None where the difference is not tested
    n            items that both arms have a number for; `n_unscored`: items that one of them has none for
    clusters     what was resampled: the distinct clusters of the n items
    verdict      `better`, `worse`, `changed` (no direction is better), `spurious improvement` (moved the better way
                 because the model got worse at the task: `caution` says how), `no clear difference`,
                 `inconclusive` (no interval, or too few clusters for any test: `reason` says which), `undefined` (an
                 arm has no value), `within measurement noise` (no larger than what repeating either arm gives,
                 and measurements of the two arms meet)
    reason       why the row is undefined or inconclusive
    caution      what a reader must know before trusting the interval, in words
    mde          smallest true difference that these items would have shown with a chance of 80%; None where no test
                 could have shown any, or the metric cannot move that far
    worst        in rows `<metric>_worst`: the group with the largest harm among those of the attribute `group`; the
                 interval and p of such a row account for having searched for it
    spread       in the same rows: how unlike the groups fared
    noise        half-width of the band that repeating the two arms gave: the wider of theirs, where one was repeated
    noise_flips  most answers that a repeat of either arm changed; `noise_flip_share`: the largest share of them
    noise_net_share  largest |up - down| of the flips of a repeat of either arm, as a share of the answers
    options      None where no item was answered with options in both arms
    look         None where every item was asked. Otherwise `intervals` hold whatever interval the full run would have
    compares     what differs: `compression effect` (weights), `calibration effect` (its text alone), `deployment delta`
                 (engine, dtype, KV cache, thinking, ...),
                 `compression and deployment`, `conversion and deployment`, `deployment, weights unknown`, or
                 `replicate` (`stats.attribution`)
    draws        how the draws of the two arms differ, whose mean `difference` is; None if both were drawn once
    """

    arm: str
    task: str
    metric: str
    group: str
    better: Better
    dense: float | None
    value: float | None
    n: int
    n_unscored: int
    clusters: int
    verdict: str
    difference: float | None = None
    intervals: Intervals | None = None
    p: PValue | None = None
    flips: Flips = Flips()
    effect: Effect = Effect()
    mde: float | None = None
    reason: str | None = None
    caution: str | None = None
    worst: str | None = None
    spread: Spread | None = None
    noise: float | None = None
    noise_flips: int | None = None
    options: OptionChange | None = None
    compares: str | None = None
    against: str = DENSE
    noise_flip_share: float | None = None
    noise_net_share: float | None = None
    draws: DrawSpread | None = None
    look: Look | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseBand:
    """How far one metric of one group moved when an arm was measured again.

    half_width   largest |value of a repeat - value of the arm|, over the repeats that have a value
    flips        most answers that a repeat changed; None where the metric has no flips
    low          most negative value of a repeat - value of the arm; 0 where no repeat lies below the arm
    high         most positive one; 0 where no repeat lies above the arm
    flip_share   largest share of the answers that a repeat changed
    net_share    largest |up - down| of a repeat's flips, as a share of the answers; None where outcomes are not counted
    """

    arm: str = DENSE
    task: str
    metric: str
    group: str
    repeats: int
    half_width: float | None
    flips: int | None
    low: float | None = None
    high: float | None = None
    flip_share: float | None = None
    net_share: float | None = None
