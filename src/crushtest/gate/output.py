"""A gate's result for machines, and rule by rule in words: JSON, JUnit XML, GitHub annotations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from crushtest.gate.result import Check, CheckOutcome, GateResult
from crushtest.gate.rows import margin_of
from crushtest.printing import LONGEST_VALUE, line, printable
from crushtest.results import Contrast
from crushtest.stats.rates import FEWEST_TESTABLE
from crushtest.stats.verdicts import WITHIN_NOISE

ANNOTATIONS: dict[CheckOutcome, str] = {
    "regression": "error",
    "inconclusive": "warning",
    "left out": "notice",
    "passed": "notice",
}
"""Outcome -> the level of its annotation on GitHub; the worst first."""
MOST_ANNOTATIONS = 10
JUNIT: dict[CheckOutcome, str] = {"regression": "failure", "inconclusive": "error", "left out": "skipped"}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def as_json(result: GateResult) -> dict[str, Any]:
    """Return JSON values: the outcome, its exit code, and every check."""
    return {
        "study": result.study,
        "policy": result.policy,
        "outcome": result.outcome,
        "exit_code": result.exit_code,
        "checks": [_values(check) for check in result.checks],
    }


def _values(check: Check) -> dict[str, Any]:
    row, harm = check.row, check.harm
    return {
        "rule": check.number,
        "text": str(check.rule),
        "arm": check.arm,
        "against": check.rule.against,
        "task": row.task if row else None,
        "metric": row.metric if row else None,
        "group": row.group if row else None,
        "worst": row.worst if row else None,
        "dense": row.dense if row else None,
        "value": row.value if row else None,
        "harm": harm._asdict() if harm else None,
        "n": row.n if row else 0,
        "n_unscored": row.n_unscored if row else 0,
        "clusters": row.clusters if row else 0,
        "flips": row.flips.total if row else None,
        "caution": row.caution if row else None,
        "outcome": check.outcome,
        "seen": check.seen,
        "open": check.open,
        "look": asdict(row.look) if row and row.look else None,
        "enough_clusters": check.enough,
        "left_out": dict(check.left_out),
    }


def as_junit(result: GateResult) -> str:
    """Return JUnit XML: a regression is a failure, an inconclusive check an error, groups left out are skipped."""
    count = {outcome: sum(check.outcome == outcome for check in result.checks) for outcome in ANNOTATIONS}
    suite = ElementTree.Element(
        "testsuite",
        name=_plain(f"crushtest gate: {result.policy}"),
        tests=str(len(result.checks)),
        failures=str(count["regression"]),
        errors=str(count["inconclusive"]),
        skipped=str(count["left out"]),
    )
    for check in result.checks:
        case = ElementTree.SubElement(suite, "testcase", classname=_plain(check.arm), name=_plain(_title(check)))
        if check.outcome in JUNIT:
            problem = ElementTree.SubElement(case, JUNIT[check.outcome], message=_plain(check.seen))
            problem.text = _plain(explanation(check))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def as_annotations(result: GateResult) -> list[str]:
    """Return GitHub workflow commands for what did not pass, the worst first, and one with the outcome: at most ten.

    GitHub shows ten annotations per step and level, and drops the others without a word.
    """
    order = list(ANNOTATIONS)
    open_ones = sorted(
        (check for check in result.checks if check.outcome != "passed"), key=lambda check: order.index(check.outcome)
    )
    shown = open_ones[: MOST_ANNOTATIONS - 1]
    lines = [
        f"::{ANNOTATIONS[check.outcome]} title={_escaped_property(_title(check))}::{_escaped(explanation(check))}"
        for check in shown
    ]
    rest = len(open_ones) - len(shown)
    more = f"; {rest} more are in the log" if rest else ""
    return [
        *lines,
        f"::{ANNOTATIONS[result.outcome]} title=crushtest gate::{result.outcome} ({_escaped(result.policy)}){more}",
    ]


def explain_lines(result: GateResult) -> Iterator[str]:
    """Yield each rule, then what it found and how many clusters would have been enough."""
    for number in sorted({check.number for check in result.checks}):
        checks = [check for check in result.checks if check.number == number]
        yield line(f"{number}. {checks[0].rule}", None)
        for check in checks:
            yield f"   {line(f'{check.outcome}: {explanation(check)}', None)}"


def explanation(check: Check) -> str:
    """Return one check in a sentence, with every caution that its row carries."""
    row, harm = check.row, check.harm
    if row is None:
        return f"{_short(check.arm)}: {check.seen}"
    text = f"{_short(check.arm)}, {row.task} {row.metric}, {_short(row.worst or row.group)}: {check.seen}"
    if harm is not None:
        text += f"; {_short(row.against)} {_number(row.dense)}, arm {_number(row.value)}, harm {harm.estimate:.4g}"
        text += f" (95% interval {harm.low:.4g} to {harm.high:.4g}) on {row.n} items in {row.clusters} clusters"
        margin = margin_of(check.rule, row)
        text += "" if margin is None else f"; the margin is {margin:.4g}"
    if row.look is not None:
        text += f"; stopped at look {row.look.number} of {row.look.of}, after {row.n} of {row.look.items} items"
    if check.outcome == "inconclusive":
        text += _remedy(check, row)
    return text + (f"; caution: {row.caution}" if row.caution else "")


def _remedy(check: Check, row: Contrast) -> str:
    if check.enough is not None:
        return f"; about {check.enough:,} clusters (templates) would have been enough"
    if row.verdict == WITHIN_NOISE and row.noise is not None:
        return f"; repeats moved it by {row.noise:.4g}"
    if 0 < row.clusters < FEWEST_TESTABLE:
        return f"; {FEWEST_TESTABLE} clusters (templates) are the fewest that can be tested"
    return ""


def _title(check: Check) -> str:
    row = check.row
    return f"rule {check.number}: {check.rule}" + (f" [{row.task} {row.metric} {_short(row.group)}]" if row else "")


def _short(text: str) -> str:
    """Return a name that a study's author chose, cut where it is very long."""
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _plain(text: str) -> str:
    """Write out every character that XML cannot hold or that a viewer would obey."""
    return printable(text)


def _escaped(text: str) -> str:
    """Escape a text for the message of a workflow command: its line ends are kept, other control characters shown."""
    text = "\n".join(map(printable, text.splitlines()))
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    """Escape a text for a property of a workflow command, where two more characters are special."""
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
