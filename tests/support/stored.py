"""Answers to questions with options as a study's files hold them, beside the same answers in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import polars as pl

from crushtest.records import Answer, Choices, ChoiceScores, Item
from crushtest.stats.item_sums import Sums
from crushtest.stats.stored_choices import StoredChoices
from crushtest.study.rows import ANSWERS, choice_answer


def stored(answers: Mapping[str, Answer]) -> StoredChoices:
    """The answers by columns."""
    rows = [{"item": item, **asdict(answer)} for item, answer in answers.items()]
    return StoredChoices(pl.DataFrame(rows, schema=ANSWERS["choices"].schema), built)


def built(frame: pl.DataFrame) -> dict[str, Answer]:
    """The answers of some rows."""
    return {str(row.pop("item")): choice_answer(**row) for row in frame.iter_rows(named=True)}


def tied(item: Item) -> ChoiceScores:
    """An answer that picks no option."""
    assert isinstance(item.request, Choices)
    count = len(item.request.options)
    return ChoiceScores((-1.0,) * count, (1,) * count, (1,) * count)


def assert_same_sums(one: Sums, other: Sums) -> None:
    """Two arms' sums are the same to the last bit."""
    assert one.columns.tobytes() == other.columns.tobytes()
    assert one.scored.tolist() == other.scored.tolist()
    assert one.reasons.tolist() == other.reasons.tolist()
    assert (one.states is None) == (other.states is None)
    if one.states is not None and other.states is not None:
        assert one.states.tolist() == other.states.tolist()
