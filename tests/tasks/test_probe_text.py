from __future__ import annotations

import math
from collections import Counter

import pytest

from crushtest.data.python_docs import calibration_prose, evaluation_prose
from crushtest.records import Item, Passage, PassageScore
from crushtest.tasks.probes.probe_text import passages, probe_text
from support.respondents import value_of

ITEMS = probe_text().items()


def text_of(item: Item) -> str:
    assert isinstance(item.request, Passage)
    return item.request.text


def test_passages_are_whole_paragraphs_of_the_held_out_prose() -> None:
    paragraphs = {paragraph for text in evaluation_prose() for paragraph in text.split("\n\n")}
    for item in ITEMS:
        assert set(text_of(item).split("\n\n")) <= paragraphs


def test_no_paragraph_is_in_two_passages_or_in_the_calibration_text() -> None:
    counts = Counter(paragraph for item in ITEMS for paragraph in text_of(item).split("\n\n"))
    assert max(counts.values()) == 1
    calibration = {paragraph for text in calibration_prose() for paragraph in text.split("\n\n")}
    assert not calibration & set(counts)


def test_every_topic_is_heard_before_any_is_heard_twice() -> None:
    per_topic = Counter(item.cluster for item in ITEMS)
    assert len(per_topic) >= 20
    assert max(per_topic.values()) <= 5


def test_it_is_of_the_size_that_the_suite_allows() -> None:
    assert 40 <= len(ITEMS) <= 60
    assert 25_000 < sum(len(text_of(item)) for item in ITEMS) < 40_000  # 4 to 5 characters per token


def test_a_text_is_cut_only_at_ends_of_paragraphs() -> None:
    assert list(passages("aaa\n\nbbb\n\ncccccc\n\ndd", least=6)) == ["aaa\n\nbbb", "cccccc"]
    assert list(passages("aaa\n\nb", least=6)) == ["aaa\n\nb"]  # too short, but all there is of its topic


def test_metrics_are_as_worked_by_hand() -> None:
    # 3 + 5 bits over 2 + 2 tokens and 10 + 6 bytes: perplexity 2^2, half a bit a byte.
    items = [Item(name, (), name, Passage(name)) for name in ("a", "b")]
    answers = {"a": PassageScore(-3 * math.log(2), 2, 10), "b": PassageScore(-5 * math.log(2), 2, 6)}
    values = {metric.name: value_of(metric, items, answers) for metric in probe_text().metrics}  # type: ignore[arg-type]
    assert values == pytest.approx({"perplexity": 4, "bits_per_byte": 0.5})
