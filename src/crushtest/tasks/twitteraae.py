"""twitteraae: tweets aligned with African American and with white speakers (Blodgett et al., EMNLP 2016)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from crushtest.data.sources import folder_of
from crushtest.data.user_files import require_set
from crushtest.errors import DataError
from crushtest.metrics import bits_per_byte, perplexity
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.building.dialect_metrics import DIALECT, MAINSTREAM, corpus_gaps
from crushtest.tasks.building.divergence_metrics import Divergence, passages_task
from crushtest.tasks.building.documents import document_items
from crushtest.tasks.paloma import read_domain

CORPUS = "twitterAAE_HELM_fixed"
SIDES = {"AA": DIALECT, "white": MAINSTREAM}


@task(
    "twitteraae",
    dimension="dialect bias",
    source="arXiv:1608.08868; hub allenai/paloma",
    licence="Twitter's terms; gated",
)
def twitteraae(
    *, path: str | None = None, split: Literal["test", "val"] = "test", divergence: Divergence = False
) -> Task:
    """Tweets aligned with African American and with white English: what the first cost a model more than the second.

    `path` is a copy of Paloma, or a folder that holds `test_AA` and `test_white` as JSON lines (gzipped or not).
    Items: a tweet each, scored apart, after the model's start token. Groups: `dialect=AA`,
    `dialect=white`. Metrics: `perplexity` and `bits_per_byte` of each, and the gap between them as difference, ratio
    and difference of logarithms, in both (see dialect_pairs).

    `divergence` also tells how far the next-token distributions are from the dense model's (see `divergence_metrics`).

    We differ from Xu et al. 2024 on purpose: they join all tweets by blank lines into one text, so that one author's
    tweet is the context of another's. Our perplexities are therefore higher; their gap is the same question.

    Known problems: the label is not the author's. It comes from a model of the words of a tweet and of the census of
    the place it was sent from; tweets were kept where that model was sure. The two sets differ in topic, too.
    """
    metrics = (perplexity(), bits_per_byte(), *corpus_gaps())
    return passages_task(lambda: _items(path, split), metrics, divergence, headline="dialect_gap_bits")


def _items(path: str | None, split: str) -> list[Item]:
    inside_paloma = folder_of("paloma") if path is None and folder_of("twitteraae") is None else None
    root = inside_paloma or require_set(path, "twitteraae", task="twitteraae")
    files = {name: _file(root, split, name) for name in SIDES}
    return document_items(
        document for name, file in files.items() for document in read_domain(file, name, "dialect", SIDES[name])
    )


def _file(root: Path, split: str, name: str) -> Path:
    wanted = [
        folder / f"{split}_{name}{end}"
        for folder in (root, root / CORPUS / split, root / split)
        for end in (".jsonl.gz", ".jsonl")
    ]
    found = next((file for file in wanted if file.is_file()), None)
    if found is None:
        raise DataError(
            f"task 'twitteraae': {root} holds none of {', '.join(str(w.relative_to(root)) for w in wanted)}"
        )
    return found
