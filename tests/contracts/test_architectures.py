"""Families of models in the `hf` engine against their own forward pass, and the table of what was seen.

CRUSHTEST_SLOW=1 runs every family that transformers makes small; with CRUSHTEST_EVIDENCE=write it also writes
docs/architectures.csv, from which docs/generate.py makes the page.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest

from support.architectures import EVIDENCE, Evidence, every, measure, store, stored

EXACT_NATS = 1e-4
# One of each way, and of each reason for a slower one.
HANDFUL = [
    "gemma2 capped",
    "gpt_oss",
    "cohere scaled",
    "llama dynamic",
    "phi3 longrope",
    "opt projected",
    "stablelm",
    "dory",
    "rwkv",
    "roberta",
    "xlm",
]
WRITING = os.environ.get("CRUSHTEST_EVIDENCE") == "write"


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Evidence]]:
    """What the tests of this module saw; written at the end if that is asked for."""
    rows: dict[str, Evidence] = {}
    yield rows
    if WRITING:
        store(row for _, row in sorted((stored() | rows if EVIDENCE.exists() else rows).items()))


def measured(name: str, seen: dict[str, Evidence]) -> Evidence:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' about their own models
        seen[name] = measure(name)
    return seen[name]


def is_exact(row: Evidence) -> bool:
    """Say whether a family that ran gave the numbers and texts of its own forward pass."""
    return not row.nats or (float(row.nats) < EXACT_NATS and row.texts.startswith("0 of "))


def ways(row: Evidence) -> tuple[str, str]:
    return row.scoring, row.generation


@pytest.mark.parametrize("name", HANDFUL)
def test_scores_and_texts_are_those_of_the_networks_own_forward_pass(name: str, seen: dict[str, Evidence]) -> None:
    row = measured(name, seen)
    assert is_exact(row)
    assert WRITING or ways(row) == ways(stored()[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(every().keys() - set(HANDFUL)))
def test_every_family_is_exact_or_refused(name: str, seen: dict[str, Evidence]) -> None:
    row = measured(name, seen)
    assert is_exact(row)
    assert WRITING or ways(row) == ways(stored()[name])


def test_the_table_lists_every_family() -> None:
    assert stored().keys() == every().keys()
