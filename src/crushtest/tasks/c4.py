"""c4: web pages (Raffel et al., JMLR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from crushtest.data.sources import read_text
from crushtest.data.user_files import read_rows, require, text_field
from crushtest.files.json_lines import parse_lines
from crushtest.metrics import bits_per_byte, perplexity
from crushtest.records import Item, Passage
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.divergence_metrics import Divergence, passages_task
from crushtest.tasks.shared.documents import WINDOW, Document, document_items

FILE = "c4-sample.00000-of-00001.json.gz"
PAPERS_TAKE = 1100  # documents of the first validation file, in the evaluation code of GPTQ, SparseGPT and Wanda


@task(
    "c4",
    dimension="language modelling",
    source="arXiv:1910.10683; hub allenai/c4",
    licence="ODC-BY",
    calibration="c4",
    items=1000,
)
def c4(
    *,
    protocol: Literal["documents", "pruning"] = "documents",
    window: Annotated[int, Ge(2)] = WINDOW,
    path: str | None = None,
    divergence: Divergence = False,
) -> Task:
    """Perplexity and bits per byte of English web pages.

    Protocols:
    documents   every page on its own, with intervals over pages
    pruning     the first 1100 pages joined by spaces into one text and cut into windows of `window` tokens. The first
                token of each window is not predicted, and the incomplete last window is left out. One item, so there
                is no interval

    Items: a sample of 1000 pages, or the pages of `path`, any file of C4 (JSON lines, gzipped or not, with a `text` per
    line). For the papers' pages give `en/c4-validation.00000-of-00008.json.gz` of the hub's allenai/c4. Groups: none.
    Metrics: `perplexity` (per token, so it compares only between models with one tokenizer) and `bits_per_byte` (which
    compares between any). `divergence` adds how far the next-token distributions are from the dense model's (see
    `divergence_metrics`).

    With those pages `pruning` comes close to the papers' numbers but need not equal them. The papers stop after 256
    windows of 2048 tokens. We read to the end of the 1100 pages, about window 263 with a vocabulary of 49,000
    (estimated from the sample).

    We differ from lm-evaluation-harness's `c4` on purpose. It sends web pages through WikiText's detokenizer, which
    turns " N " into " 1 " and takes spaces out of brackets. We score the text as it is.

    Known problems: methods that calibrate on C4 and are scored on C4 look better than they are. Calibration with
    `source: c4` reads other pages, the first file of the training part.
    """
    return passages_task(lambda: _items(protocol, window, path), (perplexity(), bits_per_byte()), divergence)


def _items(protocol: str, window: int, path: str | None) -> Sequence[Item]:
    texts = _texts(path)
    if protocol == "pruning":
        joined = " ".join(texts[:PAPERS_TAKE])
        return [Item("joined", (), "joined", Passage(joined, window, "pruning"))]
    documents = (Document(str(number), text) for number, text in enumerate(texts))
    return document_items(documents, window=window)


def _texts(path: str | None) -> list[str]:
    if path is None:
        return [row["text"] for row in parse_lines(read_text("c4_sample", FILE), FILE)]
    file: Path = require(path, task="c4", because="")
    return [text_field(row, "text", where=f"{file}, row {number + 1}") for number, row in enumerate(read_rows(file))]
