"""Every parser meets strange inputs with one short printable line, and soon; a larger draw with CRUSHTEST_SLOW=1."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fuzzing import NAMES, folders, kinds, problem

EXAMPLES = 300 if os.environ.get("CRUSHTEST_SLOW") == "1" else 10


def test_every_parser_is_drawn_from() -> None:
    assert set(NAMES) == set(kinds())


@pytest.mark.parametrize("kind", NAMES)
@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32))
def test_a_strange_input_is_taken_or_refused_in_a_line(kind: str, seed: int) -> None:
    with folders() as make:
        assert problem(kind, seed, make()) is None
