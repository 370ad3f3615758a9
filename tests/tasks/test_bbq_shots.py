"""Few-shot examples: balanced, from three folds without a common row, never tested."""

from __future__ import annotations

from collections import Counter

import pytest

from crushtest.records import Choices
from crushtest.tasks.bbq.bbq import bbq, read_rows
from crushtest.tasks.bbq.shots import draw_examples
from support.respondents import needs_mirror

pytestmark = needs_mirror


@pytest.mark.parametrize("category", ["Age", "Religion"])
def test_examples_are_balanced_over_conditions_answers_and_questions(category: str) -> None:
    rows = read_rows(category)  # type: ignore[arg-type]
    drawn = [rows[index] for index in draw_examples(rows, shots=12, fold=0, seed=1)]
    assert set(Counter((row["context_condition"], row["label"]) for row in drawn).values()) == {2}
    assert set(Counter(row["question_polarity"] for row in drawn).values()) == {6}
    assert len({row["question_index"] for row in drawn}) == 12


def test_folds_have_no_row_in_common_and_follow_from_the_seed() -> None:
    rows = read_rows("Religion")
    folds = [draw_examples(rows, shots=10, fold=fold, seed=3) for fold in range(3)]
    assert len({index for fold in folds for index in fold}) == 30
    assert draw_examples(rows, shots=10, fold=1, seed=3) == folds[1]
    assert draw_examples(rows, shots=10, fold=1, seed=4) != folds[1]


def test_examples_are_of_the_items_own_category_and_are_not_tested() -> None:
    items = bbq(categories=("Age", "Religion"), shots=6).items()
    assert len(items) == 3680 + 1200 - 12
    for category in ("Age", "Religion"):
        own = [item.request for item in items if item.id.startswith(category)]
        requests = [request for request in own if isinstance(request, Choices)]
        (before,) = {request.context.rpartition("\n\n")[0] for request in requests}
        tested = {request.context.rpartition("\n\n")[2] for request in requests}
        rows = {f"Context: {row['context']}\nQuestion: {row['question']}\nAnswer:": row for row in read_rows(category)}  # type: ignore[arg-type]
        examples = before.split("\n\n")
        assert len(examples) == 6
        for example in examples:
            asked, answer = example.rsplit("Answer:", 1)
            right = rows[f"{asked}Answer:"]
            assert answer == " " + right[f"ans{right['label']}"]
        assert tested <= set(rows)
