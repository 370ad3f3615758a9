"""wikitext2: Wikipedia articles, by which compressed models are usually compared (Merity et al., ICLR 2017)."""

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
from crushtest.tasks.building.divergence_metrics import Divergence, passages_task
from crushtest.tasks.building.documents import (
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

    pruning     what papers on pruning and quantization report: all lines joined by blank lines into one text, cut
                into windows of 2048 tokens that do not overlap, the first token of each not predicted, the incomplete
                last window left out. One item, so there is no interval: nothing to resample. `perplexity`
    sliding     what the transformers documentation reports: the same text, a window every `stride` tokens. One item
    documents   what lm-evaluation-harness reports (task `wikitext`, version 2): the 62 articles of the test part one by
                one, WikiText's spacing undone before scoring, words and bytes counted before it, a window as long as
                the model takes. `word_perplexity`, `byte_perplexity`, `bits_per_byte`, with intervals over articles.
                Take it for inference
    `window` is another number of tokens to read at a time; `stride` matters to sliding only. Items: 1, 1, or an article
    each. Groups: none.

    `divergence` also tells how far the next-token distributions are from the dense model's (see `divergence_metrics`).

    Perplexity is per token, so pruning and sliding compare only models with one tokenizer; the measures of
    `documents` compare any. Bits per byte of pruning and sliding are over the bytes of the tokens that were predicted.

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
    """Join all lines by a blank line, those of spaces emptied first, as papers join the hub's rows."""
    lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
    return "\n\n".join(f"{line}\n" if line.strip() else "" for line in lines)


def _articles(split: str, window: int | None) -> Sequence[Item]:
    found = articles(_read(split))
    return document_items(
        (Document(f"{split}/{number}", detokenize(page), original=page) for number, page in enumerate(found)),
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
