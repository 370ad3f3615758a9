"""Families of models in the `hf` engine against their own forward pass, and every method on them: what was seen.

CRUSHTEST_SLOW=1 runs every family that transformers makes small; with CRUSHTEST_EVIDENCE=write it also writes
docs/architectures.csv, from which docs/generate.py makes the page. Tests that are left out (`-k`) leave their rows or
columns as they were.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest

from support.architectures import EVIDENCE, Evidence, every, measure, measure_methods, store, stored
from support.method_trials import LATE, packages

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
# One of each reason to refuse a method, one that takes all, and one with parts that never run.
COMPRESSED = ["gpt2", "mixtral", "mamba", "bart", "dory"]
# Where a method ends later than in the check of a recipe: int8 in bitsandbytes (the first three); all methods in a pass
# without weights (Reformer); rtn when OLMo hybrid is loaded again.
REFUSED_LATE = {"minicpm3", "prophetnet", "youtu", "reformer", "olmo_hybrid"}
WRITING = os.environ.get("CRUSHTEST_EVIDENCE") == "write"


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, dict[str, str]]]:
    """What the tests of this module saw, column by column; written at the end if that is asked for."""
    rows: dict[str, dict[str, str]] = {}
    yield rows
    if WRITING:
        before = {name: row._asdict() for name, row in stored().items()} if EVIDENCE.exists() else {}
        names = sorted(before.keys() | rows.keys())
        store(Evidence(**(before.get(name, {}) | rows.get(name, {}))) for name in names)


def measured(name: str, seen: dict[str, dict[str, str]]) -> Evidence:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' about their own models
        row = measure(name)
    columns = {column: value for column, value in row._asdict().items() if column not in METHODS}
    seen.setdefault(name, {}).update(columns)
    return row


METHODS = ("methods", "refused", "saved")


def compressed(name: str, seen: dict[str, dict[str, str]]) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = measure_methods(name, scored=bool(stored()[name].nats))
    seen.setdefault(name, {}).update(row)
    return row


def is_exact(row: Evidence) -> bool:
    """Say whether a family that ran gave the numbers and texts of its own forward pass."""
    return not row.nats or (float(row.nats) < EXACT_NATS and row.texts.startswith("0 of "))


def ways(row: Evidence) -> tuple[str, str]:
    return row.scoring, row.generation


@pytest.mark.parametrize("name", HANDFUL)
def test_scores_and_texts_are_those_of_the_networks_own_forward_pass(
    name: str, seen: dict[str, dict[str, str]]
) -> None:
    row = measured(name, seen)
    assert is_exact(row)
    assert WRITING or ways(row) == ways(stored()[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(every().keys() - set(HANDFUL)))
def test_every_family_is_exact_or_refused(name: str, seen: dict[str, dict[str, str]]) -> None:
    row = measured(name, seen)
    assert is_exact(row)
    assert WRITING or ways(row) == ways(stored()[name])


def test_the_table_lists_every_family() -> None:
    assert stored().keys() == every().keys()


def surprises(name: str, seen: dict[str, dict[str, str]]) -> list[str]:
    """What the methods do to a family that they should not, or did not when the table was written."""
    for package in packages():
        pytest.importorskip(package)
    row, before = compressed(name, seen), stored()[name]
    known = not WRITING and before.methods  # an empty cell was not measured yet
    checks = {
        f"refused late: {row['refused']}": (LATE in row["refused"]) != (name in REFUSED_LATE),
        f"saved {row['saved']} nats off": bool(row["saved"]) and float(row["saved"]) >= EXACT_NATS,
        f"not as in the table: {row}": bool(known)
        and (row["methods"], row["refused"]) != (before.methods, before.refused),
    }
    return [surprise for surprise, is_so in checks.items() if is_so]


@pytest.mark.parametrize("name", COMPRESSED)
def test_methods_run_and_save_what_they_made_or_refuse_before_work(name: str, seen: dict[str, dict[str, str]]) -> None:
    assert surprises(name, seen) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(every().keys() - set(COMPRESSED)))
def test_every_method_runs_or_refuses_every_family(name: str, seen: dict[str, dict[str, str]]) -> None:
    if stored()[name].scoring == "none":
        pytest.skip("transformers makes no small model of it")
    assert surprises(name, seen) == []
