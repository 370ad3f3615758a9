"""Texts from outside cannot end an element, hide, reorder, or fill the page."""

from __future__ import annotations

import json

import pytest

from crushtest.report.untrusted import LONGEST_TEXT, name, script_json, visible
from support.synthetic_study import HOSTILE


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_embedded_json_says_the_same_and_holds_no_markup(text: str) -> None:
    embedded = script_json({"text": text})
    assert json.loads(embedded) == {"text": text}
    assert not set(embedded) & set("<>&\u2028\u2029")


def test_numbers_that_are_not_numbers_are_refused_rather_than_embedded() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


def test_hidden_characters_are_written_out() -> None:
    assert visible("a\u202eb\u0000c\u200bd") == "a[U+202E]b[U+0000]c[U+200B]d"
    assert visible("line\nand\ttab") == "line\nand\ttab"


def test_long_texts_are_cut_and_say_by_how_much() -> None:
    shown = visible("A" * 1_000_000)
    assert len(shown) < LONGEST_TEXT + 100
    assert "998,500 more characters" in shown


def test_names_are_one_short_line() -> None:
    shown = name("first\nsecond " + "x" * 500)
    assert shown.startswith("first second xxx")
    assert "\n" not in shown
    assert len(shown) < 200
