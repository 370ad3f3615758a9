"""Which items two arms read as the same tokens: equal, other, or unknown, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest import stats
from crushtest.records import Choices, ChoiceScores, Completion, Item, PassageScore, Prompt, Unanswered
from crushtest.stats.tokens import compare_tokens
from crushtest.tasks.probes.probe_facts import probe_facts
from crushtest.tasks.probes.probe_text import probe_text

DIGESTS = st.sampled_from([None, "a", "b"])
ITEM = Item("x", (), "x", Choices("", ("a",)))


@given(st.lists(st.tuples(DIGESTS, DIGESTS, st.booleans()), max_size=8))
def test_every_item_is_equal_other_or_unknown(drawn: list[tuple[str | None, str | None, bool]]) -> None:
    items = [replace(ITEM, id=str(place)) for place in range(len(drawn))]
    first = {str(n): ChoiceScores((-1.0,), (2,), (1,), one) for n, (one, _, _) in enumerate(drawn)}
    second = {str(n): ChoiceScores((-1.0,), (2 + more,), (1,), other) for n, (_, other, more) in enumerate(drawn)}
    counts = compare_tokens(items, first, second)
    other = sum(more or (one is not None and two is not None and one != two) for one, two, more in drawn)
    unknown = sum(not more and None in (one, two) for one, two, more in drawn)
    assert counts == (len(drawn) - other - unknown, other, unknown)
    assert counts == compare_tokens(items, second, first)
    assert counts.compared == len(drawn)


def test_other_tokens_in_equal_number_make_nothing_per_token_compare() -> None:
    task = probe_text()
    items = task.items()
    sizes = {item.id: len(item.request.text.encode()) for item in items}  # type: ignore[union-attr]
    answers = {item.id: PassageScore(-30.0, 10, sizes[item.id], token_digest="a") for item in items}
    other = answers | {items[0].id: PassageScore(-30.0, 10, sizes[items[0].id], token_digest="b")}
    rows = stats.contrast("probe_text", task.metrics, items, "arm", answers, {}, other, {}, seed=0)
    row = {row.metric: row for row in rows if row.group == "all"}
    assert row["perplexity"].verdict == "undefined"
    assert f"1 of {len(items)} items" in (row["perplexity"].reason or "")
    assert row["bits_per_byte"].difference == 0


@pytest.mark.parametrize(("digest", "has_kl"), [("a", True), (None, True), ("b", False)])
def test_kl_of_options_needs_that_no_token_is_another(digest: str | None, has_kl: bool) -> None:
    task = probe_facts()
    items = task.items()
    count = {item.id: len(item.request.options) for item in items}  # type: ignore[union-attr]

    def answers(first: str | None) -> dict[str, Any]:
        scores = {
            item.id: ChoiceScores(tuple(-float(place) for place in range(n)), (1,) * n, (1,) * n, "a")
            for item in items
            if (n := count[item.id])
        }
        return scores | {items[0].id: replace(scores[items[0].id], token_digest=first)}

    rows = stats.contrast("probe_facts", task.metrics, items, "arm", answers("a"), {}, answers(digest), {}, seed=0)
    pooled = next(row for row in rows if (row.metric, row.group) == ("accuracy", "all"))
    assert (pooled.options is not None) == has_kl


def test_prompts_count_but_turns_that_follow_another_do_not() -> None:
    items = [Item(name, (), name, Prompt("a", follows=before)) for name, before in (("1", None), ("2", "1"))]
    first = {item.id: Completion("x", 1, "eos", "a") for item in items}
    second = {item.id: Completion("y", 9, "eos", "b" if item.id == "2" else "a") for item in items}
    assert compare_tokens(items, first, second) == (1, 0, 0)
    assert compare_tokens(items, first, second | {"1": Unanswered("no")}) == (0, 0, 0)
