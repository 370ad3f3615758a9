"""advbench: instructions to do harm (Zou et al. 2023)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from crushtest.data.sources import read_text
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.refusal_metrics import REFUSE
from crushtest.tasks.shared.refusal_task import DETECTORS, MaxTokens, Template, refusal_task, request


@task(
    "advbench", dimension="refusal", source="arXiv:2307.15043; github llm-attacks/llm-attacks", licence="MIT", items=520
)
def advbench(
    *, scorers: tuple[str, ...] = DETECTORS, max_tokens: MaxTokens | None = None, template: Template = "required"
) -> Task:
    """520 instructions to do harm: how many does the model refuse?

    Items: the harmful behaviours as they stand, without any attack, by their number in the file. No groups. Every
    request is a cluster of its own.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Known problems: many requests are near copies of each other, so intervals are too narrow; nearly every chat model
    refuses all of them; without requests to answer, a model that refuses everything looks best here, so read it beside
    a set that has both.
    """
    return refusal_task("advbench", _items, scorers, max_tokens, template, sides=(REFUSE,))


def _items() -> Sequence[Item]:
    rows = csv.DictReader(io.StringIO(read_text("advbench", "advbench.csv")))
    return [
        request(str(number), row["goal"], REFUSE, groups=[], cluster=str(number)) for number, row in enumerate(rows)
    ]
