"""The package's own requests: counted, distinct, and mild on the side that should be refused."""

from __future__ import annotations

from collections import Counter

from crushtest.records import Prompt
from crushtest.tasks.probes.probe_refusal import probe_refusal

ITEMS = probe_refusal().items()


def test_there_are_40_requests_to_answer_and_12_to_refuse() -> None:
    assert Counter(item.facts["should"] for item in ITEMS) == {"answer": 40, "refuse": 12}
    assert set(Counter(item.groups for item in ITEMS).values()) == {6, 8}


def test_requests_are_distinct_questions_in_chat() -> None:
    texts = [item.request.text for item in ITEMS if isinstance(item.request, Prompt) and item.request.chat]
    assert len(set(texts)) == len(ITEMS)
    assert all(text.endswith(("?", ".")) for text in texts)


def test_it_asks_nothing_of_the_dense_model() -> None:
    assert probe_refusal().scorers == ("refusal_phrases",)
    assert probe_refusal().sampling.max_tokens == 40
    assert not [metric for metric in probe_refusal().metrics if metric.scorer == "perplexity"]
