"""Nothing that a stranger wrote reaches a terminal or a CI's log in a form that it would obey."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.cli.output import print_json, print_line, print_table
from crushtest.errors import CrushtestError, UnknownName, first_error_line
from crushtest.gate.output import as_annotations, as_junit, explain_lines
from crushtest.gate.result import GateResult
from crushtest.printing import LONGEST_MESSAGE, LONGEST_VALUE, line, printable, quoted
from crushtest.progress import Lines
from crushtest.report.card import _plain
from crushtest.report.table_files import Table, write_latex
from crushtest.report.untrusted import visible
from support.contrast_rows import with_columns
from support.gate_rows import RULE, SURE_WORSE, judge

NASTY = (
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\u202e",
    "\x9b31m",
    "\ud800",
    "\n::set-output name=x::y",
    "\r\n##[error]x",
    "::stop::",
)
texts = st.lists(st.sampled_from(NASTY) | st.text(max_size=8), max_size=8).map("".join) | st.sampled_from(
    ["x" * 10_000, "\x1b" * 10_000, "::" * 5_000, "a b\n" * 4_000]
)


def is_inert(text: str) -> bool:
    """Return whether no line of a text is a command to a terminal or to GitHub's runner."""
    lines = text.split("\n")
    shown = all(c.isprintable() or c == "\t" or unicodedata.category(c) == "Zs" for one in lines for c in one)
    return shown and not any(one.lstrip().startswith("::") or "##[" in one for one in lines)


@given(texts)
def test_a_message_is_one_short_inert_line(text: str) -> None:
    for message in (line(text), str(CrushtestError(text)), str(UnknownName("key", text, [text, "key"], where=text))):
        assert is_inert(message)
        assert "\n" not in message
        assert len(message) <= LONGEST_MESSAGE < 1000
    assert is_inert(first_error_line(ValueError(text)))


@given(texts | st.lists(texts, max_size=20) | st.dictionaries(texts, st.integers() | st.floats(), max_size=20))
def test_a_quoted_value_is_short_and_inert(value: object) -> None:
    assert is_inert(quoted(value))
    assert len(quoted(value)) <= LONGEST_VALUE


def test_what_is_harmless_stays_as_it_is() -> None:
    for text in ("größe", "日本語\u3000です", "a: b :: c", "wanda:pattern=2:4", 'it\'s "so" \\ here', "#[x]"):
        assert line(text) == printable(text) == text
    assert quoted("it's") == repr("it's")
    assert quoted({"a": [1, 2.5, None]}) == repr({"a": [1, 2.5, None]})


def test_both_ends_of_a_long_message_stay() -> None:
    message = str(CrushtestError(f"study file 'x': key {'y' * 5000!r} is unknown; use another"))
    assert message.startswith("study file 'x': key 'yyy")
    assert message.endswith("yyy' is unknown; use another")


@given(texts)
def test_tables_lines_and_progress_are_inert(capsys_text: str) -> None:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        print_table([["a", "b"], [capsys_text, capsys_text], ["", capsys_text]])
        print_line(capsys_text)
        Lines().say(capsys_text)
        with Lines().step(capsys_text, 2):
            pass
    assert is_inert(out.getvalue())


@given(texts)
def test_json_is_inert_and_reads_back(text: str) -> None:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_json([{"text": text}])
    assert is_inert(out.getvalue())
    assert json.loads(out.getvalue()) == [{"text": text}]


def hostile_gate(text: str) -> GateResult:
    row = with_columns(SURE_WORSE, arm=text, group=text, task="bbq", caution=text)
    result = judge(row, rule=RULE, arms=(text,))
    checks = tuple(replace(check, arm=text, row=row, seen=text) for check in result.checks)
    return replace(result, policy=text, study=text, checks=checks)


@given(texts)
def test_a_gate_explains_hostile_names_inertly(text: str) -> None:
    assert all(is_inert(shown) and "\n" not in shown for shown in explain_lines(hostile_gate(text)))


@given(texts)
def test_only_our_own_workflow_commands_are_printed(text: str) -> None:
    for shown in as_annotations(hostile_gate(text)):
        assert shown.startswith(("::error title=", "::warning title=", "::notice title="))
        assert is_inert(shown.removeprefix("::"))
        assert "\n" not in shown


@given(texts)
def test_junit_is_xml_whatever_the_names(text: str) -> None:
    suite = ElementTree.fromstring(as_junit(hostile_gate(text)))
    assert all(is_inert(f"x{value}") for element in suite.iter() for value in element.attrib.values())


@given(texts)
def test_cards_and_pages_hold_no_control_character(text: str) -> None:
    assert all(c.isprintable() or c == " " or unicodedata.category(c) in ("Zs", "Cf", "Co", "Cn") for c in _plain(text))
    visible(text).encode()


@pytest.mark.parametrize("name", ["[10pt]", "[link](x)", "*[2em]"])
def test_no_name_is_an_argument_in_latex(name: str) -> None:
    import io

    out = io.StringIO()
    write_latex(Table("t", "caption", ("variant", "x"), (("a", "1"), (name, "2"))), out)
    assert "\n[" not in out.getvalue()
    assert "{[}" in out.getvalue()
