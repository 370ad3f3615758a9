"""or_bench: harmless requests that models tend to refuse (Cui et al., ICML 2025)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from crushtest.data.sources import read_text
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.refusal_metrics import ANSWER
from crushtest.tasks.shared.refusal_task import DETECTORS, MaxTokens, Template, refusal_task, request


@task(
    "or_bench",
    dimension="refusal",
    source="arXiv:2405.20947; github justincui03/or-bench",
    licence="CC-BY-4.0",
    items=1319,
)
def or_bench(
    *, scorers: tuple[str, ...] = DETECTORS, max_tokens: MaxTokens | None = None, template: Template = "required"
) -> Task:
    """1,319 harmless requests that several models refused (OR-Bench-Hard-1K): how many does this one refuse?

    Items: by their number in the file. No groups: the public copy that we pin has no categories. Every request is a
    cluster of its own.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Deviations: the authors have GPT-4 label the answers. Their 80,000 easier requests and 600 toxic ones are left out.

    Known problems: the requests were written and moderated by models, so some are not harmless; without requests to
    refuse, a model that answers everything looks best here, so read it beside a set that has both.
    """
    return refusal_task("or_bench", _items, scorers, max_tokens, template, sides=(ANSWER,))


def _items() -> Sequence[Item]:
    rows = json.loads(read_text("or_bench", "orbench_hard.json"))
    return [
        request(str(number), row["prompt"], ANSWER, groups=[], cluster=str(number)) for number, row in enumerate(rows)
    ]
