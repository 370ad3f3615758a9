"""`group: worst`: search a metric's groups for the one that an arm harms most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from crushtest.gate.policy import Rule
from crushtest.gate.result import Check, CheckOutcome
from crushtest.gate.rows import Cramped, check_regression, check_row, margin_of, unbounded
from crushtest.metrics import WORST as SEARCHED
from crushtest.results import Contrast
from crushtest.stats.harm_bounds import estimated_harm, harm_of, unusable_interval
from crushtest.stats.verdicts import WORSE, counted

MOST_NAMED = 8


def check_worst(
    number: int, rule: Rule, matching: Sequence[Contrast], rows: Sequence[Contrast], cramped: Cramped = unbounded
) -> Iterator[Check]:
    """Yield the checks of a rule on the groups of each metric it matches. `rows` also hold the `_worst` rows."""
    metrics: dict[tuple[str, str], list[Contrast]] = {}
    for row in matching:
        if "=" in row.group and (row.n + row.n_unscored > 0 or row.look is not None):
            metrics.setdefault((row.task, row.metric), []).append(row)
    for (task, metric), groups in metrics.items():
        searches = [row for row in rows if row.task == task and row.metric == metric + SEARCHED]
        yield from _check_metric(number, rule, groups, searches, cramped)


def _check_metric(
    number: int, rule: Rule, groups: Sequence[Contrast], searches: Sequence[Contrast], cramped: Cramped
) -> Iterator[Check]:
    left_out = {row.group: why for row in groups if (why := why_left_out(rule, row) or _no_room(row, cramped))}
    judged = {row.group: row for row in groups if row.group not in left_out}
    usable = [row for row in searches if row.worst in judged and not unusable_interval(row)]
    searched = {row.group for row in usable} if rule.margin is not None else set()
    for row in judged.values():
        by_search = row.group.partition("=")[0] in searched
        for check in check_row(number, rule, row, searched=by_search):
            # One line for the search replaces the lines of the groups that pass.
            if not (by_search and rule.sure == "regression" and check.outcome == "passed"):
                yield check
    for row in usable if searched else ():
        yield check_regression(number, rule, row) or _not_clearly(number, rule, row)
    if left_out:
        yield _left_out_line(number, rule, groups[0], left_out, of=len(groups))


def why_left_out(rule: Rule, row: Contrast) -> str | None:
    """Return why the suite cannot judge a group; None if the group must be judged.

    Only what the suite lacks excuses a group, never what the arm failed to answer. An unscored item adds at most one
    cluster, so the bound holds whatever its score would have been. A rule without limits requires items of every group.
    """
    if rule.margin is None and rule.max_flips is None:
        return None
    items = row.n + row.n_unscored if row.look is None else row.look.items
    if items < rule.min_items:
        return f"fewer than {rule.min_items} items"
    if row.clusters + row.n_unscored < rule.min_clusters:
        return f"fewer than {rule.min_clusters} clusters"
    margin, harm = margin_of(rule, row), estimated_harm(row, None)
    if row.look is not None or rule.sure == "equivalence" or margin is None or harm is None or harm > margin:
        return None
    return unusable_interval(row)


def _no_room(row: Contrast, cramped: Cramped) -> str | None:
    """Return that a group's dense value leaves no room to break the margin. More items of it may yet leave some."""
    return "a dense value that leaves no room to get worse by the margin" if row.look is None and cramped(row) else None


def _not_clearly(number: int, rule: Rule, row: Contrast) -> Check:
    """Return a pass, or an inconclusive check for a group that is worse and, as measured, beyond the margin."""
    harm, margin = harm_of(row, None), margin_of(rule, row)
    if row.verdict == WORSE and harm is not None and margin is not None and harm.estimate > margin:
        seen = f"{row.worst} is worse, by more than the margin as measured, but not clearly among all groups searched"
        return Check(number, rule, row.arm, "inconclusive", seen, row, harm)
    seen = f"the worst of {row.group} is {row.worst}, not clearly beyond the margin"
    return Check(number, rule, row.arm, "passed", seen, row, harm)


def _left_out_line(number: int, rule: Rule, row: Contrast, left_out: Mapping[str, str], *, of: int) -> Check:
    """Return one check that counts and names the groups left out; inconclusive if none remains."""
    reasons: dict[str, list[str]] = {}
    for group, why in left_out.items():
        reasons.setdefault(why, []).append(group)
    parts = [f"{len(groups)} with {why} ({_named(groups)})" for why, groups in reasons.items()]
    seen = f"{row.task} {row.metric}: the suite cannot judge {len(left_out)} of {counted(of, 'group')}: "
    outcome: CheckOutcome = "left out" if len(left_out) < of else "inconclusive"
    return Check(number, rule, row.arm, outcome, seen + "; ".join(parts), left_out=left_out)


def _named(groups: Sequence[str]) -> str:
    more = f" and {len(groups) - MOST_NAMED} more" if len(groups) > MOST_NAMED else ""
    return ", ".join(groups[:MOST_NAMED]) + more
