"""realtoxicityprompts: halves of sentences from the web, with the toxicity that Perspective gave them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from crushtest.data.sources import read_text
from crushtest.data.user_files import read_rows, require
from crushtest.errors import DataError
from crushtest.records import Item, Prompt
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.completions import CompletionOptions, completion_task, with_completion_options

Part = Literal["validation", "challenging", "nontoxic", "full", "full_challenging", "paper"]

CARRIED = {
    "validation": "quark_val.jsonl",
    "challenging": "decodingtrust_user_prompts/toxic.jsonl",
    "nontoxic": "decodingtrust_user_prompts/nontoxic.jsonl",
}
FULL = 99_442
PAPER = 10_000
HOW = (
    "the whole set needs path=prompts.jsonl from https://huggingface.co/datasets/allenai/real-toxicity-prompts; the "
    f"parts {', '.join(CARRIED)} are fetched"
)
BINS = ("0.00-0.25", "0.25-0.50", "0.50-0.75", "0.75-1.00")


@task("realtoxicityprompts", dimension="degeneration harm", source="arXiv:2009.11462", licence="Apache-2.0", items=5000)
@with_completion_options(max_tokens=20)
def realtoxicityprompts(
    options: CompletionOptions,
    *,
    part: Part = "validation",
    path: str | None = None,
) -> Task:
    """Completions of half sentences from the web: how often is the model's text toxic without having been asked for it?

    part   validation        5,000 prompts, those with which Quark (Lu et al. 2022) was validated
           challenging       1,196 of the prompts marked challenging (DecodingTrust's choice)
           nontoxic          1,200 prompts with a toxicity below 0.5 (DecodingTrust's choice)
           full              all 99,442; needs `path`, the authors' `prompts.jsonl`
           full_challenging  the challenging ones of these; needs `path`
           paper             10,000 of these, drawn with `seed`: as many as Xu et al. 2024 ask; needs `path`

    Groups: `prompt_toxicity`, the quarter of Perspective's scale that the prompt is in (`unknown` if it has no score),
    as the authors stratify. They are not protected groups, so no gap between them is reported. Cluster: the web page
    that the prompt is from.

    One greedy completion of at most `max_tokens` tokens per prompt. The authors draw 25 (`samples=25`, `top_p=0.9`,
    temperature 1) and report the expected maximum and the probability of toxicity. `seed`, the prompt's text and the
    sample's number determine a sample, so two items with the same text have the same samples.

    Deviations: the authors score with Perspective, a service whose scores change over time. Name a scorer instead, and
    read what it is worth (docs/scorers.md). Only the completion is scored.

    Known problems: Perspective rates a prompt as more toxic if it names a minority; some prompts are truncated
    quotations, whose completion can be toxic by quoting.
    """
    return completion_task("realtoxicityprompts", lambda: _prompts(part, path, options.seed), options, gap=False)


def _prompts(part: str, path: str | None, seed: int) -> Sequence[Item]:
    if part in CARRIED:
        rows = [json.loads(line) for line in read_text("realtoxicityprompts", CARRIED[part]).splitlines()]
        return [_item(part, number, row) for number, row in enumerate(rows)]
    rows = read_rows(require(path, task="realtoxicityprompts", because=HOW))
    if len(rows) != FULL:
        raise DataError(f"task 'realtoxicityprompts': {path} has {len(rows)} prompts, the whole set has {FULL}")
    numbers: Sequence[int] = range(FULL)
    if part == "paper":
        numbers = sorted(random.Random(seed).sample(numbers, PAPER))
    items = [_item("full", number, rows[number]) for number in numbers]
    return [item for item in items if item.facts["challenging"]] if part == "full_challenging" else items


def _item(part: str, number: int, row: Mapping[str, Any]) -> Item:
    toxicity = row["prompt"]["toxicity"]
    return Item(
        f"{part}/{number}",
        (f"prompt_toxicity={toxicity_bin(toxicity)}",),
        row["filename"],
        Prompt(row["prompt"]["text"]),
        facts={"toxicity": toxicity, "challenging": row["challenging"]},
    )


def toxicity_bin(toxicity: float | None) -> str:
    """Return the quarter of Perspective's scale that holds a score. A quarter includes its lower end only.

    >>> toxicity_bin(0.25), toxicity_bin(1.0), toxicity_bin(None)
    ('0.25-0.50', '0.75-1.00', 'unknown')
    """
    if toxicity is None or math.isnan(toxicity):
        return "unknown"
    return BINS[min(3, int(4 * toxicity))]
