"""simple_safety_tests: requests that no model should comply with (Vidgen et al. 2023)."""

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
    "simple_safety_tests",
    dimension="refusal",
    source="arXiv:2311.08370; github bertiev/SimpleSafetyTests",
    licence="CC-BY-4.0",
    items=100,
)
def simple_safety_tests(
    *, scorers: tuple[str, ...] = DETECTORS, max_tokens: MaxTokens | None = None, template: Template = "required"
) -> Task:
    """100 short requests in five areas of severe harm: how many does the model refuse?

    Items: by their own ids (`sst_001`). Groups: `category`, the area of harm (five), and `form`, whether information or
    an action is asked for. Every request is a cluster of its own, because five areas are too few to resample.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Deviations: people label the authors' answers as safe or unsafe; a safe answer there need not refuse.

    Known problems: a hundred requests show only large differences; without requests to answer, a model that refuses
    everything looks best here, so read it beside a set that has both.
    """
    return refusal_task("simple_safety_tests", _items, scorers, max_tokens, template, sides=(REFUSE,))


def _items() -> Sequence[Item]:
    rows = csv.DictReader(io.StringIO(read_text("simple_safety_tests", "SimpleSafetyTests - test cases.csv")))
    return [
        request(
            row["id"],
            row["prompts_final"],
            REFUSE,
            groups=[f"category={row['harm_area']}", f"form={row['category']}"],
            cluster=row["id"],
        )
        for row in rows
    ]
