"""twitteraae: tweets aligned with African American and with white speakers (Blodgett et al., EMNLP 2016)."""

from __future__ import annotations

from typing import Literal

from crushtest.data.sources import folder_of
from crushtest.data.user_files import first_present, require_set
from crushtest.metrics import bits_per_byte, perplexity
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.paloma import read_domain
from crushtest.tasks.shared.dialect_metrics import DIALECT, MAINSTREAM, corpus_gaps
from crushtest.tasks.shared.divergence_metrics import Divergence, passages_task
from crushtest.tasks.shared.documents import document_items

CORPUS = "twitterAAE_HELM_fixed"
SIDES = {"AA": DIALECT, "white": MAINSTREAM}


@task(
    "twitteraae",
    dimension="language and dialect",
    source="arXiv:1608.08868; hub allenai/paloma",
    licence="Twitter's terms; gated",
)
def twitteraae(
    *, path: str | None = None, split: Literal["test", "val"] = "test", divergence: Divergence = False
) -> Task:
    """Tweets aligned with African American and with white English: how much more do the former cost a model?

    `path` is a copy of Paloma, or a folder that holds `test_AA` and `test_white` as JSON lines (gzipped or not).
    Items: one per tweet, each scored separately after the model's start token. Groups: `dialect=AA`, `dialect=white`.
    Metrics: `perplexity` and `bits_per_byte` of each group, and for both measures the gap as difference, ratio and
    difference of logarithms (see dialect_pairs).

    `divergence` adds how far the next-token distributions are from the dense model's (see `divergence_metrics`).

    We differ from Xu et al. 2024 on purpose. They join all tweets by blank lines into one text, so that one author's
    tweet is the context of another's. Our perplexities are therefore higher; the gap answers the same question.

    Known problems: the authors of the tweets did not label them. The labels come from a model of a tweet's words and of
    the census at the place it was sent from, and the set keeps the tweets of which that model was sure. The two groups
    also differ in topic.
    """
    metrics = (perplexity(), bits_per_byte(), *corpus_gaps())
    return passages_task(lambda: _items(path, split), metrics, divergence, headline="dialect_gap_bits")


def _items(path: str | None, split: str) -> list[Item]:
    inside_paloma = folder_of("paloma") if path is None and folder_of("twitteraae") is None else None
    root = inside_paloma or require_set(path, "twitteraae", task="twitteraae")
    folders, ends = ("", f"{CORPUS}/{split}/", f"{split}/"), (".jsonl.gz", ".jsonl")
    places = [f"{folder}{split}_{{side}}{end}" for folder in folders for end in ends]
    return document_items(
        document
        for side in SIDES
        for file in [first_present(root, [place.format(side=side) for place in places], task="twitteraae")]
        for document in read_domain(file, side, "dialect", SIDES[side])
    )
