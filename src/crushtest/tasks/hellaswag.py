"""hellaswag: which ending follows (Zellers et al., ACL 2019)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crushtest.data.sources import read_text
from crushtest.errors import DataError
from crushtest.files.json_lines import parse_lines
from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.choice_metrics import continuation_metrics

FILE = "hellaswag_val.jsonl"


@task("hellaswag", dimension="downstream quality", source="arXiv:1905.07830; hub Rowan/hellaswag", licence="MIT")
def hellaswag() -> Task:
    """Everyday scenes with four endings, three of them machine-made: how often is the true one the most likely?

    Items: the 10,042 validation questions (a mirror may hold 1000 of them instead). No examples in front.
    Groups: `source` (activitynet, wikihow) and `split` (indomain, zeroshot), if the file gives them.
    Metrics: `accuracy_normalised`, by log-likelihood per character of the ending, is the one to report. `accuracy`, by
    the summed log-likelihood, prefers short endings. `decision_margin` is in nats.

    Text and scoring follow lm-evaluation-harness (task `hellaswag`, version 1), which removes `[title]` and the other
    bracketed marks of WikiHow. Chance is 0.25.

    Known problems: the machine-made endings were filtered against models of 2019 and read oddly; many questions are
    ungrammatical or have no right ending (Chizhov et al. 2025, "What the HellaSwag?", arXiv:2504.07825).
    """
    return Task(
        "choices",
        lambda: [build_item(row, number) for number, row in enumerate(parse_lines(read_text("hellaswag", FILE), FILE))],
        continuation_metrics(),
    )


def build_item(row: Mapping[str, Any], number: int) -> Item:
    """Return the question in a row of the authors' file, or of a cleaned one (`query`, `choices`). Raises DataError."""
    try:
        if "query" in row:
            query, endings, gold = row["query"], list(row["choices"]), row["gold"]
        else:
            scene = f"{row['ctx_a']} {row['ctx_b'].capitalize()}"
            query, endings = clean(f"{row['activity_label']}: {scene}"), [clean(text) for text in row["endings"]]
            gold = int(row["label"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{FILE}, row {number}: not a HellaSwag question ({error!r})") from None
    if len(endings) != 4 or gold not in range(4):
        raise DataError(f"{FILE}, row {number}: needs four endings and a label 0-3 (got {len(endings)}, {gold!r})")
    source, split = str(row.get("source_id", "")).partition("~")[0], row.get("split_type", "")
    return Item(
        id=f"validation/{row.get('ind', number)}",
        groups=tuple(f"{name}={value}" for name, value in (("source", source), ("split", split)) if value),
        cluster=str(row.get("source_id") or f"validation/{row.get('ind', number)}"),
        request=Choices(query, tuple(f" {ending}" for ending in endings)),
        gold=gold,
    )


def clean(text: str) -> str:
    """Return the text without WikiHow's marks, as lm-evaluation-harness cleans it.

    >>> clean("How to tie a knot [title] Take the rope. [step] Hold  it. ")
    'How to tie a knot. Take the rope. Hold it.'
    """
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")
