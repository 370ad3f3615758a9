"""XSum: the prompt, the summary that is taken, and ROUGE worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.metrics import Metric
from crushtest.records import Completion, Prompt
from crushtest.tasks.xsum import build_item, first_line, overlaps, xsum

ROW = {"id": "7", "document": "A river rose.\nHomes in  Leeds were flooded.", "summary": "Floods hit homes in Leeds."}


def metric(name: str) -> Metric:
    return next(one for one in xsum().metrics if one.name == name)


def test_the_article_is_cut_at_words_and_followed_by_the_instruction() -> None:
    whole = build_item(ROW, chat=False, max_words=1000)
    assert whole.request == Prompt(f"Article: {ROW['document']}\n\nSum up the article above in one sentence.\nSummary:")
    cut = build_item(ROW, chat=True, max_words=2)
    assert cut.request == Prompt("Article: A river\n\nSum up the article above in one sentence.", chat=True)
    assert whole.facts == {"summary": ROW["summary"]}


def test_the_first_line_with_text_is_the_summary() -> None:
    assert first_line("\n \n  One.  \nTwo.") == "One."
    assert first_line(" \n") == ""


def test_rouge_by_hand() -> None:
    # Reference: floods hit homes in leeds (5); summary: homes in york flooded (4), stems flood = floods, flooded.
    # Unigrams in common: homes, in, flood = 3: P 3/4, R 3/5, F 2/3. Bigrams: "homes in" = 1: P 1/3, R 1/4, F 2/7.
    # Longest common subsequence: homes in = 2: P 2/4, R 2/5, F 4/9.
    found = overlaps("Floods hit homes in Leeds.", "Homes in York flooded")
    assert found == pytest.approx((2 / 3, 2 / 7, 4 / 9))


def test_an_empty_summary_recalls_nothing_and_is_counted_as_empty() -> None:
    item = build_item(ROW, chat=False, max_words=10)
    silent = Completion("\n", 1, "eos")
    assert metric("rouge1").measure(item, silent, None) == (0.0, 1.0)
    assert metric("empty_rate").measure(item, silent, None) == (1.0, 1.0)


def test_articles_without_text_are_left_out(data: Path) -> None:
    items = xsum().items()
    assert len({item.id for item in items}) == len(items) == 999
