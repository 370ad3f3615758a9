"""Read the papers' calibration corpora, the first shard of C4 and WikiText-2, as all other data are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from crushtest.data import sources
from crushtest.errors import DataError
from crushtest.files.json_lines import read_lines


class Text(NamedTuple):
    """Calibration text: documents, or one stream that is cut anywhere.

    joins   whether documents that are shorter than a window are joined, or passed over
    """

    documents: Sequence[str]
    is_stream: bool
    joins: bool = False


class Corpus(NamedTuple):
    """A file of a data set (see data/sources.toml): a stream of text, or one JSON object per line with a `text`."""

    dataset: str
    file: str
    is_stream: bool


CORPORA = {
    "c4": Corpus("c4_train", "en/c4-train.00000-of-01024.json.gz", is_stream=False),
    "wikitext2": Corpus("wikitext-2-raw", "wiki.train.raw", is_stream=True),
}


def read_corpus(name: str) -> Text:
    """Return the checked text of `c4` or `wikitext2`, fetched if it is missing. Raises DataError as `find` does."""
    corpus = CORPORA[name]
    if corpus.is_stream:
        return Text([sources.read_text(corpus.dataset, corpus.file)], is_stream=True)
    return Text(read_documents(sources.find(corpus.dataset, corpus.file).path), is_stream=False)


def read_documents(path: Path) -> list[str]:
    """Return the `text` of every line of a JSONL file, gzipped or not. Raises DataError that names the file."""
    documents = []
    try:
        for number, row in enumerate(read_lines(path), start=1):
            if not isinstance(row.get("text"), str):
                raise DataError(
                    f"{path}: object {number} needs a string `text` (it has: {', '.join(row) or 'nothing'})"
                )
            documents.append(row["text"])
    except DataError as error:
        raise DataError(f"calibration: {error}") from None
    return documents
