"""Check one rule on one contrast."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crushtest.gate.foreseen import NOT_YET, flips_settled, is_settled
from crushtest.gate.policy import Rule
from crushtest.gate.result import Check
from crushtest.results import Contrast
from crushtest.stats.effects import BAD
from crushtest.stats.harm_bounds import advice_on_clusters, harm_of, unusable_interval
from crushtest.stats.noise import flips_within_noise
from crushtest.stats.verdicts import ALPHA, WITHIN_NOISE, WORSE, counted

SAFE_SHARE = 0.5
"""Part of `max_unscored` that the items asked may reach where more are to come: in the full run it may be more."""


Cramped = Callable[[Contrast], "str | None"]
"""Why no value of the row's metric could break the margin from dense's value; None where one could."""


def unbounded(row: Contrast) -> None:
    """Return None: nothing bounds the row's metric."""


def check_row(
    number: int, rule: Rule, row: Contrast, *, searched: bool = False, cramped: Cramped = unbounded
) -> Iterator[Check]:
    """Yield a check per limit of a rule; one for the required items alone if it has no limit.

    searched   whether the attribute's row `_worst` decides if the group got worse, so that this row cannot regress
    """
    lacking = too_little(rule, row)
    if lacking:
        yield Check(number, rule, row.arm, "inconclusive", lacking, row, open=row.look is not None)
        return
    if rule.max_flips is not None:
        yield check_flips(number, rule, row, rule.max_flips)
    if rule.margin is not None:
        yield check_margin(number, rule, row, searched=searched, cramped=cramped)
    elif rule.max_flips is None:
        yield Check(number, rule, row.arm, "passed", f"{counted(row.n, 'item')}; the rule sets no margin", row)


def too_little(rule: Rule, row: Contrast) -> str | None:
    """Return which required items, scores or clusters a row lacks; None if it has enough."""
    total = row.n + row.n_unscored
    if row.n < rule.min_items:
        items = counted(row.n, "item")
        return f"{items} with a score; the rule's min_items is {rule.min_items}"
    if row.n_unscored > rule.max_unscored * total * (1 if row.look is None else SAFE_SHARE):
        items = counted(total, "item")
        return f"{row.n_unscored} of {items} without a score, the rule's max_unscored is {rule.max_unscored:.0%}"
    if row.clusters < rule.min_clusters:
        clusters = counted(row.clusters, "cluster")
        return f"{clusters}; the rule's min_clusters is {rule.min_clusters}"
    return None


def check_flips(number: int, rule: Rule, row: Contrast, most: float) -> Check:
    """Check the share of changed answers against `max_flips`.

    The check is inconclusive if the flips are within measurement noise (`flips_within_noise`).
    """
    if row.flips.total is None:
        seen = f"{row.metric} has no flips, so max_flips cannot be checked"
        return Check(number, rule, row.arm, "inconclusive", seen, row)
    if not flips_settled(most, row):
        return Check(number, rule, row.arm, "inconclusive", NOT_YET, row, open=True)
    seen = f"{row.flips.total} of {counted(row.n, 'answer')} changed"
    if row.flips.total > most * row.n and flips_within_noise(row):
        seen = f"{seen}, more than the rule's max_flips, but repeats changed up to {row.noise_flip_share:.1%}"
        return Check(number, rule, row.arm, "inconclusive", seen, row)
    if row.flips.total > most * row.n:
        return Check(number, rule, row.arm, "regression", f"{seen}, the rule's max_flips is {most:.4g}", row)
    return Check(number, rule, row.arm, "passed", seen, row)


def check_margin(
    number: int, rule: Rule, row: Contrast, *, searched: bool = False, cramped: Cramped = unbounded
) -> Check:
    """Check the harm of a contrast against the margin."""
    harm, margin = harm_of(row, rule.direction), margin_of(rule, row)
    unusable = unusable_interval(row)
    if unusable or harm is None or margin is None:
        seen = unusable or "no interval: undefined"
        return Check(number, rule, row.arm, "inconclusive", seen, row, open=row.look is not None)
    if not searched and (broken := check_regression(number, rule, row)):
        return broken
    if why := cramped(row):
        return Check(number, rule, row.arm, "inconclusive", why, row, harm, open=row.look is not None)
    if not is_settled(rule, row, harm, margin, searched=searched):
        return Check(number, rule, row.arm, "inconclusive", NOT_YET, row, harm, open=True)
    shown = max(harm.estimate, harm.high90) < margin
    if rule.sure == "equivalence" and not shown:
        enough = advice_on_clusters(row, harm, margin, rule.direction)
        return Check(number, rule, row.arm, "inconclusive", "not shown to be within the margin", row, harm, enough)
    seen = "within the margin, but not shown to be" if harm.estimate <= margin else "beyond the margin, but not clearly"
    return Check(number, rule, row.arm, "passed", "shown to be within the margin" if shown else seen, row, harm)


def check_regression(number: int, rule: Rule, row: Contrast) -> Check | None:
    """Return the check of a contrast that lies wholly beyond the margin, None for any other.

    The check is inconclusive if the change is within measurement noise. `row` has a usable interval.
    """
    harm, margin = harm_of(row, rule.direction), margin_of(rule, row)
    if harm is None or margin is None or not harm.low > margin or not is_clear(row):
        return None
    if (rule.direction or BAD[row.better]) == "from_zero" and row.verdict not in (WORSE, WITHIN_NOISE):
        return None  # the bounds take dense's value as exact; the verdict does not
    group = f"{row.worst} is " if row.worst else ""
    if row.verdict == WITHIN_NOISE:
        return Check(number, rule, row.arm, "inconclusive", f"{group}beyond the margin, but {WITHIN_NOISE}", row, harm)
    return Check(number, rule, row.arm, "regression", f"{group}worse by more than the margin", row, harm)


def margin_of(rule: Rule, row: Contrast) -> float | None:
    """Return the margin in the metric's unit; None without a margin, or without the dense value it is a share of."""
    return None if rule.margin is None or row.dense is None else rule.margin.of(row.dense)


def is_clear(row: Contrast) -> bool:
    """Return whether p, if known, supports the interval: with few changes an interval alone is too narrow."""
    return row.p is None or row.p.value <= ALPHA
