"""A metric that is not valid for a model says nothing of it."""

from __future__ import annotations

import pytest

from crushtest.metrics import mean
from crushtest.records import Item, Passage, PassageScore
from crushtest.results import Contrast
from crushtest.stats.contrasts import contrast

SHOWS = mean("shows", lambda item, answer, score: answer.tokens / 10, better="neither")
READS = mean("reads", lambda item, answer, score: answer.logprob, better="higher", valid_if={"shows": 0.5})


def rows(shown: int) -> dict[str, Contrast]:
    items = [Item(str(number), (), str(number), Passage("x")) for number in range(30)]
    before = {item.id: PassageScore(-1.0 - int(item.id) / 30, shown, 1) for item in items}
    after = {item.id: PassageScore(-5.0 - int(item.id) / 20, shown, 1) for item in items}
    found = contrast("task", (READS, SHOWS), items, "arm", before, {}, after, {}, seed=0, replicates=500)
    return {row.metric: row for row in found if row.group == "all"}


def test_a_valid_metric_gets_its_verdict() -> None:
    assert rows(5)["reads"].verdict == "worse"


@pytest.mark.parametrize("shown", [0, 4])
def test_a_metric_that_is_not_valid_is_inconclusive_and_in_no_family(shown: int) -> None:
    row = rows(shown)["reads"]
    assert (row.verdict, row.p, row.mde) == ("inconclusive", None, None)
    assert "not valid for this model" in (row.reason or "")
    assert "not valid" not in (rows(shown)["shows"].reason or "")
