"""probe_text: how well a model predicts English prose.

The text is the part of CPython's language reference (`crushtest.data.python_docs`) that calibration does not read. It
is technical prose of one book, which most models have seen. It shows that a model got worse, not how good the model is.
The text differs a little from one Python version to the next, so compare arms of one study.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from crushtest.data.python_docs import evaluation_prose
from crushtest.metrics import bits_per_byte, perplexity
from crushtest.records import Item, Passage
from crushtest.registry import task
from crushtest.tasks.base import Task

PASSAGES = 48
LEAST_CHARACTERS = 600


@task(
    "probe_text",
    dimension="language modelling",
    source="CPython, pydoc_data.topics",
    licence="PSF-2.0",
    calibration="pydoc",
    items=48,
)
def probe_text() -> Task:
    """Perplexity and bits per byte of English prose, 48 passages of about 150 tokens.

    A passage is a run of whole paragraphs of one topic; a topic is one cluster. Bits per byte compares between
    tokenizers, perplexity does not.

    Items: 48 passages, clusters: their 29 topics. Groups: none. Known problems: technical prose of one book, which most
    models have read; it shows that a model got worse, not how good it is. The calibration source `pydoc` is another
    part of that book, which may favour methods that calibrate. To avoid that, calibrate on `c4` or a file of your own.
    """
    return Task("passages", _items, (perplexity(), bits_per_byte()))


def _items() -> Sequence[Item]:
    """Return the first passage of every topic, then the second ones, and so on until there are enough."""
    rounds = zip_longest(*(list(passages(text)) for text in evaluation_prose()))
    items = [
        Item(f"topic {topic}/{number}", (), f"topic {topic}", Passage(text))
        for number, row in enumerate(rounds)
        for topic, text in enumerate(row)
        if text is not None
    ]
    return items[:PASSAGES]


def passages(text: str, least: int = LEAST_CHARACTERS) -> Iterator[str]:
    """Yield pieces of whole paragraphs of at least `least` characters. Drop a shorter rest unless it is all."""
    piece: list[str] = []
    is_cut = False
    for paragraph in text.split("\n\n"):
        piece.append(paragraph)
        if sum(map(len, piece)) >= least:
            yield "\n\n".join(piece)
            piece, is_cut = [], True
    if piece and not is_cut:
        yield "\n\n".join(piece)
