"""paloma, subreddits: domains of the language model benchmark Paloma (Magnusson et al. 2023), one file per domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from crushtest.data.user_files import read_rows, require_set, text_field
from crushtest.errors import DataError, UnknownName
from crushtest.metrics import bits_per_byte, perplexity
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.divergence_metrics import Divergence, passages_task
from crushtest.tasks.shared.documents import WINDOW, Document, document_items

ENDS = (".jsonl.gz", ".jsonl")

SUBREDDITS = {
    "religion": ("22_atheism", "35_Christianity", "92_Catholicism"),
    "gender": ("23_AskMen", "37_AskWomen", "62_asktransgender"),
    "country": ("33_europe", "34_canada", "47_unitedkingdom", "55_australia", "88_india"),
    "politics": ("01_politics", "64_neoliberal", "69_PoliticalDiscussion", "70_Libertarian", "96_Conservative"),
}
"""The sixteen of Paloma's hundred subreddits that Xu et al. 2024 compare, by attribute."""


@task("paloma", dimension="language modelling", source="arXiv:2312.10523; hub allenai/paloma", licence="ODC-BY, gated")
def paloma(
    *,
    path: str | None = None,
    corpus: str = "dolma-v1_5",
    split: Literal["test", "val"] = "test",
    domains: tuple[str, ...] = (),
    window: Annotated[int, Ge(2)] = WINDOW,
    divergence: Divergence = False,
) -> Task:
    """Perplexity and bits per byte of a corpus of Paloma, per domain.

    By default the six domains of Dolma (books, common-crawl, pes2o, reddit_uniform, stack_uniform, wiki) that Xu et
    al. 2024 report. `path` is a copy of Paloma or one of its files, `corpus` one of its folders, and `domains` some of
    its domains (default: all). Items: one per document, each scored separately. Groups: `domain`. Metrics: `perplexity`
    (per token, so it compares only between models with one tokenizer) and `bits_per_byte`.

    `divergence` adds how far the next-token distributions are from the dense model's (see `divergence_metrics`).

    We differ from Xu et al. on purpose. They join the documents of a domain by blank lines into one text, which makes
    the end of one document the context of the next.

    Known problems: Paloma asks that models be trained without its texts; published models were not.
    """
    metrics = (perplexity(), bits_per_byte())
    return passages_task(lambda: _items(path, corpus, split, domains, window), metrics, divergence)


@task(
    "subreddits",
    dimension="language and dialect",
    source="arXiv:2312.10523; hub allenai/paloma",
    licence="ODC-BY, gated",
)
def subreddits(
    *,
    path: str | None = None,
    split: Literal["test", "val"] = "test",
    window: Annotated[int, Ge(2)] = WINDOW,
    divergence: Divergence = False,
) -> Task:
    """Perplexity and bits per byte of sixteen communities of Reddit, and the spread among those of an attribute.

    The communities that Xu et al. 2024 compare: three on religion, three on gender, five countries, five of politics.
    `path` is a copy of Paloma. Items: one per document, each scored separately. Groups: `religion`, `gender`,
    `country`, `politics`. Metrics: `perplexity`, `bits_per_byte`, and `bits_per_byte_gap`, the largest difference
    among the communities of an attribute.

    `divergence` adds how far the next-token distributions are from the dense model's (see `divergence_metrics`).

    Known problems: communities differ in topic and length of posts as well as in who writes, so read the change from
    dense to arm and not the level; the readers of r/AskWomen do not stand for women.
    """
    metrics = (perplexity(), bits_per_byte(with_gap=True))
    return passages_task(lambda: _subreddit_items(path, split, window), metrics, divergence)


def _items(path: str | None, corpus: str, split: str, domains: Sequence[str], window: int) -> list[Item]:
    root = require_set(path, "paloma", task="paloma")
    files = [root] if root.is_file() else domain_files(root, corpus, split, domains, task="paloma")
    return document_items(
        (document for file in files for document in read_domain(file, domain_of(file), "domain")), window=window
    )


def _subreddit_items(path: str | None, split: str, window: int) -> list[Item]:
    root = require_set(path, "paloma", task="subreddits")
    attributes = {name: attribute for attribute, names in SUBREDDITS.items() for name in names}
    files = domain_files(root, "dolma_100_subreddits", split, attributes, task="subreddits")
    return document_items(
        (
            document
            for file, (name, attribute) in zip(files, attributes.items(), strict=True)
            for document in read_domain(file, name.partition("_")[2], attribute)
        ),
        window=window,
    )


def domain_files(root: Path, corpus: str, split: str, domains: Iterable[str], *, task: str) -> list[Path]:
    """Return the files of these domains in their order, or of all domains if none are given.

    Raises DataError if the corpus is missing, UnknownName if a domain is.
    """
    folder = root / corpus / split
    if not folder.is_dir():
        there = ", ".join(sorted(child.name for child in root.iterdir() if child.is_dir())) or "no folder"
        raise DataError(f"task {task!r}: no folder {corpus}/{split} in {root} (there: {there})")
    present = {domain_of(file): file for file in sorted(folder.iterdir()) if file.name.endswith(ENDS)}
    for domain in domains:
        if domain not in present:
            raise UnknownName("domain", domain, present, where=f"task {task!r}, {folder}")
    return [present[domain] for domain in (list(domains) or present)]


def domain_of(file: Path) -> str:
    """Return a domain's name, which is the file's without its prefix for the split and its ending.

    >>> domain_of(Path("dolma-v1_5/test/test_stack_uniform.jsonl.gz"))
    'stack_uniform'
    """
    name = next((file.name.removesuffix(end) for end in ENDS if file.name.endswith(end)), file.stem)
    return name.removeprefix("test_").removeprefix("val_")


def read_domain(file: Path, domain: str, attribute: str, side: int | None = None) -> Iterator[Document]:
    """Yield the documents of one file, which form one group."""
    for number, row in enumerate(read_rows(file)):
        text = text_field(row, "text", where=f"{file}, row {number + 1}")
        yield Document(f"{domain}/{number}", text, (f"{attribute}={domain}",), side=side)
