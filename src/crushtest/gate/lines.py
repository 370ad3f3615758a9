"""A gate's result for people: one line per rule and arm, the worst first, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from crushtest.gate.result import Check, CheckOutcome, GateResult
from crushtest.metrics import ALL
from crushtest.printing import line, printable
from crushtest.records import DENSE

OUTCOMES: tuple[CheckOutcome, ...] = ("regression", "inconclusive", "left out", "passed")
"""The worst first."""
LONGEST_ARM = 28
MOST_IN_SUMMARY = 20


class Judged(NamedTuple):
    """One rule on one arm, or on several of which it found the same without any data: the check that decides it.

    more   how many further checks of the rule on that arm have the same outcome
    arms   the arms' names
    """

    check: Check
    more: int
    arms: tuple[str, ...]

    @property
    def harm(self) -> str:
        """Return the harm as it was measured, in the unit of the margin; empty if there is none."""
        harm, margin, row = self.check.harm, self.check.rule.margin, self.check.row
        if harm is None:
            return ""
        if margin is not None and margin.relative and row is not None and row.dense:
            return f"{100 * harm.estimate / abs(row.dense):.3g}%"
        return f"{harm.estimate:.3g}"

    @property
    def margin(self) -> str:
        """Return the rule's margin; empty if it has none."""
        return str(self.check.rule.margin or "")

    @property
    def arm(self) -> str:
        """Return the arm's name, or how many arms there are."""
        name = self.arms[0] if len(self.arms) == 1 else f"{len(self.arms)} arms"
        return name if self.check.rule.against == DENSE else f"{name} against {self.check.rule.against}"

    @property
    def text(self) -> str:
        """Return what the check is about and what it saw."""
        row, more = self.check.row, f"; {self.more} more like it" if self.more else ""
        if row is None:
            return self.check.seen + more
        group = row.worst or row.group
        subject = f"{row.task} {row.metric}" + ("" if group == ALL else f", {group}")
        if self.check.outcome == "inconclusive" or self.check.harm is None:
            return f"{subject}: {self.check.seen}{more}"
        return f"{subject}{more}; {self.check.seen}"


def judged(result: GateResult) -> list[Judged]:
    """Return an entry per rule and arm, the worst outcome first; arms of which a rule has no data share one."""
    by_pair: dict[tuple[int, str], list[Check]] = {}
    for check in result.checks:
        by_pair.setdefault((check.number, check.arm), []).append(check)
    entries: dict[tuple[object, ...], Judged] = {}
    for (number, arm), checks in by_pair.items():
        deciding = [check for check in checks if check.outcome != "left out"] or checks
        outcome = min((check.outcome for check in deciding), key=OUTCOMES.index)
        alike = [check for check in deciding if check.outcome == outcome]
        worst = max(alike, key=_excess)
        key = (number, worst.seen) if worst.row is None else (number, arm)
        before = entries[key].arms if key in entries else ()
        entries[key] = Judged(worst, len(alike) - 1, (*before, arm))
    return sorted(entries.values(), key=lambda each: (OUTCOMES.index(each.check.outcome), each.check.number))


def _excess(check: Check) -> float:
    """Return by how much a check's harm is beyond its margin, to find the worst of several."""
    if check.harm is None or check.row is None or check.rule.margin is None:
        return float("-inf")
    return check.harm.estimate - check.rule.margin.of(check.row.dense or 0.0)


def gate_lines(result: GateResult, width: int | None) -> Iterator[str]:
    """Yield a line per rule and arm below the heading of its outcome, cut to `width` characters unless that is None."""
    entries = judged(result)
    arms = max((len(printable(each.arm)) for each in entries), default=0)
    arm_width = arms if width is None else min(arms, LONGEST_ARM)
    number_width = max((len(str(each.check.number)) for each in entries), default=1)
    for outcome in OUTCOMES:
        listed = [each for each in entries if each.check.outcome == outcome]
        if not listed:
            continue
        yield cut(f"{outcome}, {len(listed)} of {len(entries)} (rule, arm, harm of margin, measure)", width)
        for each in listed:
            figures = f"{f'{each.harm} of {each.margin}':<16}  " if each.harm and outcome != "inconclusive" else ""
            arm = middle_cut(line(each.arm, None), arm_width)
            text = f"  {each.check.number:>{number_width}}  {arm:<{arm_width}}  {figures}{line(each.text, None)}"
            yield cut(text, width)


def cut(text: str, width: int | None) -> str:
    """Return text, cut at its end where it is longer than `width`."""
    return text if width is None or len(text) <= width else f"{text[: width - 1]}…"


def middle_cut(text: str, width: int) -> str:
    """Return text, cut in its middle where it is longer than `width`: names differ at their ends."""
    if len(text) <= width:
        return text
    end = width // 2
    return f"{text[: width - end - 1]}…{text[-end:]}"


def as_markdown(result: GateResult) -> str:
    """Return the result as Markdown for a job's summary: the outcome, then what did not pass, the worst first."""
    entries = judged(result)
    open_ones = [each for each in entries if each.check.outcome in ("regression", "inconclusive")]
    count = {outcome: sum(each.check.outcome == outcome for each in entries) for outcome in OUTCOMES}
    numbers = ", ".join(f"{count[outcome]} {outcome}" for outcome in OUTCOMES if count[outcome])
    lines = [f"### crushtest gate: {result.outcome}", "", f"Policy {_cell(result.policy)}: {numbers}.", ""]
    if open_ones:
        lines += ["| outcome | rule | arm | harm | margin | what was seen |", "| --- | --- | --- | --- | --- | --- |"]
        lines += map(_markdown_row, open_ones[:MOST_IN_SUMMARY])
    if len(open_ones) > MOST_IN_SUMMARY:
        lines += ["", f"{len(open_ones) - MOST_IN_SUMMARY} more did not pass."]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_row(each: Judged) -> str:
    cells: Sequence[str] = (
        each.check.outcome,
        f"{each.check.number}. {each.check.rule}",
        ", ".join(each.arms),
        each.harm,
        each.margin,
        each.text,
    )
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Return text as it stands in a cell: names of arms and groups make neither markup nor a new column."""
    text = line(text)
    for sign in "\\`*_[]<>|~#!":
        text = text.replace(sign, f"\\{sign}")
    return text
