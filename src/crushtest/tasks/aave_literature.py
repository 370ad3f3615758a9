"""aave_literature: the book collection of a corpus of African American English (Henry 2022)."""

from __future__ import annotations

from crushtest.data.sources import read_text
from crushtest.data.user_files import read_plain, require
from crushtest.errors import DataError
from crushtest.metrics import bits_per_byte, perplexity
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.divergence_metrics import Divergence, passages_task
from crushtest.tasks.shared.documents import Document, cut_at, document_items

PIECE = 6000  # characters: about 1500 tokens, so that a piece fits a window of any model


@task(
    "aave_literature",
    dimension="language and dialect",
    source="github jazmiahenry/aave_corpora",
    licence="MIT, for research purposes only",
    items=27,
)
def aave_literature(*, path: str | None = None, divergence: Divergence = False) -> Task:
    """Perplexity and bits per byte of books by African American authors.

    Items: the text of `corpora/literature_corpora.txt`, or of the text file or folder of text files that `path` names,
    in pieces of whole paragraphs. A piece has at least 6000 characters, except the last of a text. Pieces are scored
    separately and resampled one by one. Groups: `book`, if `path` is a folder of several. Metrics: `perplexity` (per
    token, so it compares only between models with one tokenizer) and `bits_per_byte`.

    `divergence` adds how far the next-token distributions are from the dense model's (see `divergence_metrics`).

    Known problems, serious: the published file, the likely source of what Xu et al. 2024 call AAVE literature, is one
    novel ("crimson alters or a ministers sin", by James Thomas Franklin), lower-cased and without punctuation, in the
    formal English of its time. It has almost no feature of African American English: dat, dis, dey, gwine, massa and
    wuz, which spell the dialect in books of that time, occur nowhere in it. The task then measures unpunctuated old
    prose. For dialect, use dialect_pairs or twitteraae. For more books of the collection, give `path` a folder of them.
    """
    return passages_task(lambda: _items(path), (perplexity(), bits_per_byte()), divergence)


def _items(path: str | None) -> list[Item]:
    books = _books(path)
    return document_items(
        Document(f"{name}/{number}", piece, (f"book={name}",) if len(books) > 1 else ())
        for name, text in books.items()
        for number, piece in enumerate(cut_at(text, "\n", PIECE))
    )


def _books(path: str | None) -> dict[str, str]:
    """Return the text of every book by name."""
    if path is None:
        return {"literature_corpora": read_text("aave_literature", "literature_corpora.txt")}
    root = require(path, task="aave_literature", because="")
    files = [root] if root.is_file() else sorted(root.glob("*.txt"))
    if not files:
        raise DataError(f"task 'aave_literature': no .txt file in {root}")
    return {file.stem: read_plain(file) for file in files}
