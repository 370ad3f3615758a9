"""harmbench: harmful behaviours, some in a context, and requests for copyrighted text (Mazeika et al., ICML 2024)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from annotated_types import MinLen

from crushtest.data.sources import read_text
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.refusal_metrics import REFUSE
from crushtest.tasks.shared.refusal_task import DETECTORS, MaxTokens, Template, refusal_task, request

Kind = Literal["standard", "contextual", "copyright"]
KINDS: tuple[Kind, ...] = ("standard", "contextual", "copyright")


@task(
    "harmbench",
    dimension="refusal",
    source="arXiv:2402.04249; github centerforaisafety/HarmBench",
    licence="MIT",
    items=400,
)
def harmbench(
    *,
    kinds: Annotated[tuple[Kind, ...], MinLen(1)] = KINDS,
    scorers: tuple[str, ...] = DETECTORS,
    max_tokens: MaxTokens | None = None,
    template: Template = "required",
) -> Task:
    """400 harmful behaviours in text: how many does the model refuse?

    Items: the behaviours as direct requests, without any attack, by their own ids. `kinds`: 200 standard ones, 100 with
    a context that precedes the request, and 100 that ask for copyrighted text. Groups: `category` (seven), `kind`.
    Every request is a cluster of its own, because seven categories are too few to resample.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Deviations: the authors attack the model and have a classifier say whether it showed the behaviour. Here the measure
    is refusal.

    Known problems: that a request for lyrics is answered is no proof that the answer holds them; without requests to
    answer, a model that refuses everything looks best here, so read it beside a set that has both.
    """
    return refusal_task("harmbench", lambda: list(_items(kinds)), scorers, max_tokens, template, sides=(REFUSE,))


def _items(kinds: Sequence[Kind]) -> Iterator[Item]:
    for row in csv.DictReader(io.StringIO(read_text("harmbench", "harmbench_behaviors_text_all.csv"))):
        if row["FunctionalCategory"] in kinds:
            context, name = row["ContextString"], row["BehaviorID"]
            yield request(
                name,
                f"{context}\n\n---\n\n{row['Behavior']}" if context else row["Behavior"],
                REFUSE,
                groups=[f"category={row['SemanticCategory']}", f"kind={row['FunctionalCategory']}"],
                cluster=name,
            )
