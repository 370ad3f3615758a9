"""What tests of real data need: the mirror, and answers made by hand."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from crushtest.metrics import Metric
from crushtest.records import ChoiceScores, Item
from crushtest.stats.item_sums import measure_sums
from crushtest.tasks.bbq.bbq import Category, bbq

needs_mirror = pytest.mark.skipif(
    not Path(os.environ.get("CRUSHTEST_DATA", "/nowhere"), "bbq").is_dir(),
    reason="needs a mirror of the data sets, named by CRUSHTEST_DATA",
)


def choosing(option: int | None, options: int = 3) -> ChoiceScores | None:
    """The answer of a model that prefers one option; None for no answer."""
    if option is None:
        return None
    logprobs = tuple(0.0 if index == option else -5.0 for index in range(options))
    return ChoiceScores(logprobs, (1,) * options, (1,) * options)


def value_of(metric: Metric, items: list[Item], answers: dict[str, ChoiceScores]) -> float:
    """A metric over all items, NaN where it is undefined."""
    sums = measure_sums(metric, items, answers, {})
    totals = sums.columns[sums.scored].sum(axis=0)
    return float(metric.formula(*(np.array(total) for total in totals)))


@cache
def bbq_items(category: Category) -> list[Item]:
    """All items of one category, built once for all tests."""
    return list(bbq(categories=(category,)).items())
