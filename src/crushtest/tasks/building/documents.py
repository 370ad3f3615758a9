"""Texts to be scored one by one: what a corpus becomes, and the measures that every corpus reports.

Documents are scored apart, each after the model's start token, never joined: what one author wrote is no context for
another's text. A document longer than a window is cut as lm-evaluation-harness cuts it (`Passage`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from crushtest.errors import DataError
from crushtest.metrics import Array, Metric, ratio
from crushtest.records import Item, Passage, PassageScore

WINDOW = 2048


class Document(NamedTuple):
    """One text.

    groups     `attribute=value` strings
    cluster    what is resampled together (an author, a thread); the document itself where it is None
    side       of a corpus with two sides: MAINSTREAM or DIALECT (dialect_metrics.py)
    original   the text as published, where `text` is a cleaned form of it: words and bytes are counted in it
    """

    id: str
    text: str
    groups: tuple[str, ...] = ()
    cluster: str | None = None
    side: int | None = None
    original: str | None = None


def document_items(documents: Iterable[Document], *, window: int | None = WINDOW) -> list[Item]:
    """Return one item per document. Raises DataError for a document without text, which nothing can be said about."""
    return [_item(document, window) for document in documents]


def _item(document: Document, window: int | None) -> Item:
    if not document.text.strip():
        raise DataError(f"document {document.id!r}: no text in it")
    facts: dict[str, object] = {}
    if document.side is not None:
        facts["side"] = document.side
    if document.original is not None:
        facts["words"] = len(re.split(r"\s+", document.original))
        facts["bytes"] = len(document.original.encode())
    cluster = document.cluster or document.id
    return Item(document.id, document.groups, cluster, Passage(document.text, window), facts=facts)


def word_perplexity() -> Metric:
    """Measure exp(nats / words), words counted in the published text: comparable between tokenizers."""
    return _of_original("word_perplexity", "words", lambda nats, size: np.exp(ratio(nats, size)), "perplexity")


def byte_perplexity() -> Metric:
    """Measure exp(nats / bytes), bytes counted in the published text: comparable between tokenizers."""
    return _of_original("byte_perplexity", "bytes", lambda nats, size: np.exp(ratio(nats, size)), "perplexity")


def original_bits_per_byte() -> Metric:
    """Measure nats / ln 2 / bytes, bytes counted in the published text and not in the cleaned one that was scored."""
    metric = _of_original("bits_per_byte", "bytes", lambda nats, size: ratio(nats, size) / np.log(2.0), "bits")
    return replace(metric, label="bits per byte", meaning="Bits the model needs for a byte of text; 0: none.")


def _of_original(name: str, per: str, formula: Callable[..., Array], unit: str) -> Metric:
    def measure(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
        return (-answer.logprob, float(item.facts[per]))  # type: ignore[arg-type]

    return Metric(name, ("nats", per), measure, formula, "lower", unit=unit, flip_key=None)


def cut_at(text: str, separator: str, characters: int) -> list[str]:
    """Cut a long text at `separator` into pieces of whole paragraphs, each at least `characters` long but the last.

    >>> cut_at("a paragraph|another|a third|end", "|", 12)
    ['a paragraph|another', 'a third|end']
    """
    pieces: list[list[str]] = [[]]
    for paragraph in text.split(separator):
        if len(separator.join(pieces[-1])) >= characters:
            pieces.append([])
        pieces[-1].append(paragraph)
    return [joined for piece in pieces if (joined := separator.join(piece)).strip()]
