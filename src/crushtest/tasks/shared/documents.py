"""Documents, the separately scored texts of a corpus, and the metrics that corpora report.

Each document is scored after the model's start token and never joined with another: what one author wrote is no context
for another's text. A document longer than a window is cut as lm-evaluation-harness cuts it (`Passage`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from crushtest.errors import DataError
from crushtest.metrics import Array, Metric, exp_ratio, ratio
from crushtest.records import Item, Passage, PassageScore

WINDOW = 2048


class Document(NamedTuple):
    """One text.

    groups     `attribute=value` strings
    cluster    documents of one cluster (an author, a thread) are resampled together; None: the document alone
    side       MAINSTREAM or DIALECT (dialect_metrics.py) in a corpus with two sides
    original   the published text, if `text` is a cleaned form of it; words and bytes are counted in it
    """

    id: str
    text: str
    groups: tuple[str, ...] = ()
    cluster: str | None = None
    side: int | None = None
    original: str | None = None


def document_items(documents: Iterable[Document], *, window: int | None = WINDOW) -> list[Item]:
    """Return one item per document. Raises DataError for a document without text."""
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
    """Measure exp(nats / words), which compares between tokenizers. Words are counted in the published text."""
    return _of_original("word_perplexity", "words", lambda nats, size: exp_ratio(nats, size), "perplexity")


def byte_perplexity() -> Metric:
    """Measure exp(nats / bytes), which compares between tokenizers. Bytes are counted in the published text."""
    return _of_original("byte_perplexity", "bytes", lambda nats, size: exp_ratio(nats, size), "perplexity")


def original_bits_per_byte() -> Metric:
    """Measure nats / ln 2 / bytes. Bytes are counted in the published text, not in the cleaned text that was scored."""
    metric = _of_original("bits_per_byte", "bytes", lambda nats, size: ratio(nats, size) / math.log(2), "bits")
    return replace(metric, label="bits per byte", meaning="Bits the model needs for a byte of text; 0: none.")


def _of_original(name: str, per: str, formula: Callable[..., Array], unit: str) -> Metric:
    def measure(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
        return (-answer.logprob, float(item.facts[per]))  # type: ignore[arg-type]

    return Metric(name, ("nats", per), measure, formula, "lower", unit=unit, flip_key=None)


def cut_at(text: str, separator: str, characters: int) -> list[str]:
    """Cut a text at `separator` into pieces of whole paragraphs, all but the last at least `characters` long.

    >>> cut_at("a paragraph|another|a third|end", "|", 12)
    ['a paragraph|another', 'a third|end']
    """
    pieces: list[list[str]] = [[]]
    for paragraph in text.split(separator):
        if len(separator.join(pieces[-1])) >= characters:
            pieces.append([])
        pieces[-1].append(paragraph)
    return [joined for piece in pieces if (joined := separator.join(piece)).strip()]
