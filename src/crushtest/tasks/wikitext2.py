"""wikitext2: Wikipedia articles, the usual text for comparing compressed models (Merity et al., ICLR 2017)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge

from crushtest.data.sources import read_text
from crushtest.metrics import bits_per_byte, perplexity
from crushtest.records import Item, Passage
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.divergence_metrics import Divergence, passages_task
from crushtest.tasks.shared.documents import (
    WINDOW,
    Document,
    byte_perplexity,
    document_items,
    original_bits_per_byte,
    word_perplexity,
)

FILES = {"test": "wiki.test.raw", "valid": "wiki.valid.raw"}


@task(
    "wikitext2",
    dimension="language modelling",
    source="arXiv:1609.07843; hub Salesforce/wikitext, wikitext-2-raw-v1",
    licence="CC-BY-SA-3.0",
    calibration="wikitext2",
    items=1,
)
def wikitext2(
    *,
    protocol: Literal["pruning", "documents", "sliding"] = "pruning",
    split: Literal["test", "valid"] = "test",
    window: Annotated[int, Ge(2)] | None = None,
    stride: Annotated[int, Ge(1)] = 512,
    divergence: Divergence = False,
) -> Task:
    """Perplexity of Wikipedia articles, by one of three protocols whose numbers must not be mixed.

    pruning     what papers on pruning and quantization report: all lines joined by blank lines into one text, which is
                cut into windows of 2048 tokens that do not overlap. The first token of each window is not predicted,
                and the incomplete last window is left out. `perplexity`. There is one item, so nothing to resample
                and no interval
    sliding     what the transformers documentation reports: the same text with a window every `stride` tokens. One item
    documents   what lm-evaluation-harness reports (task `wikitext`, version 2): the 62 articles of the test part one by
                one, without WikiText's spacing, in windows as long as the model takes. Words and bytes are counted in
                the published text. `word_perplexity`, `byte_perplexity`, `bits_per_byte`, with intervals over articles.
                Use it for inference
    `window` sets another number of tokens to read at a time; `stride` matters to sliding only. Items: one for pruning
    and for sliding, one per article for documents. Groups: none.

    `divergence` adds how far the next-token distributions are from the dense model's (see `divergence_metrics`).

    Perplexity is per token, so pruning and sliding compare only models with the same tokenizer. The measures of
    `documents` compare any models. Pruning and sliding take bits per byte over the bytes of the predicted tokens.

    Known problems: WikiText has been on the web since 2016 and is in most training sets; it is edited encyclopedic
    English and says nothing about any other kind of text.
    """
    if protocol == "documents":
        metrics = (word_perplexity(), byte_perplexity(), original_bits_per_byte())
        return passages_task(lambda: _articles(split, window), metrics, divergence, headline="bits_per_byte")
    settings = (window or WINDOW, protocol, stride if protocol == "sliding" else None)
    return passages_task(
        lambda: [Item(split, (), split, Passage(joined_lines(_read(split)), *settings))],
        (perplexity(), bits_per_byte()),
        divergence,
    )


def _read(split: str) -> str:
    return read_text("wikitext-2-raw", FILES[split])


def joined_lines(text: str) -> str:
    """Join all lines by a blank line after emptying those of spaces alone, as papers join the hub's rows."""
    lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
    return "\n\n".join(f"{line}\n" if line.strip() else "" for line in lines)


def _articles(split: str, window: int | None) -> Sequence[Item]:
    pages = articles(_read(split))
    return document_items(
        (Document(f"{split}/{number}", detokenize(page), original=page) for number, page in enumerate(pages)),
        window=window,
    )


def articles(text: str) -> list[str]:
    """Cut the text at every line that is a heading of the first level (` = Title = `)."""
    pages: list[list[str]] = [[]]
    for line in text.split("\n"):
        # Deeper headings, ` = = Career = = `, must not look like the first level once their inner marks are joined.
        title = line.replace("= = =", "===").replace("= =", "==").strip()
        if title.startswith("= ") and title.endswith(" ="):
            pages.append([])
        pages[-1].append(line)
    return [page for lines in pages if (page := "\n".join(lines)).strip()]


_SPACED = {" @-@ ": "-", " @,@ ": ",", " @.@ ": "."}
_BEFORE_SPACE = ":;.!?,"
_ENCLOSED = (
    r"\(\s*([^\)]*?)\s*\)",
    r"\[\s*([^\]]*?)\s*\]",
    r"{\s*([^}]*?)\s*}",
    r"\"\s*([^\"]*?)\s*\"",
    r"'\s*([^']*?)\s*'",
)
_PUT = (r"(\1)", r"[\1]", r"{\1}", r'"\1"', r"'\1'")
_LAST = {
    "= = = =": "====",
    "= = =": "===",
    "= =": "==",
    " \N{DEGREE SIGN} ": "\N{DEGREE SIGN}",
    " \n": "\n",
    "\n ": "\n",
    " N ": " 1 ",
    " 's": "'s",
}


def detokenize(page: str) -> str:
    """Remove WikiText's spaces around punctuation by lm-evaluation-harness's substitutions, in its order.

    >>> detokenize("It rained , he said , for 1 @,@ 000 days ( or more ) .")
    'It rained, he said, for 1,000 days (or more) .'
    """
    page = page.replace("s '", "s'")
    for spaced, plain in _SPACED.items():
        page = page.replace(spaced, plain)
    for mark in _BEFORE_SPACE:
        page = page.replace(f" {mark} ", f"{mark} ")
    for enclosed, put in zip(_ENCLOSED, _PUT, strict=True):
        page = re.sub(enclosed, put, page)
    for spaced, plain in _LAST.items():
        page = page.replace(spaced, plain)
    return page
