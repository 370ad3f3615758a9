"""do_not_answer: questions that a responsible model does not simply answer (Wang et al., Findings of EACL 2024)."""

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
    "do_not_answer",
    dimension="refusal",
    source="arXiv:2308.13387; github Libr-AI/do-not-answer",
    licence="CC-BY-NC-SA-4.0",
    items=939,
)
def do_not_answer(
    *, scorers: tuple[str, ...] = DETECTORS, max_tokens: MaxTokens | None = None, template: Template = "required"
) -> Task:
    """939 questions in twelve types of harm that should not simply be answered: how many does the model refuse?

    Items: by their own ids. Groups: `category`, the type of harm (twelve), and `area` (five). Cluster: the type of
    harm.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Deviations: the authors tell six kinds of answer apart, and call five of them safe (to decline, to refute, to show
    both sides, to warn, not to know). Here only a refusal counts, so a model may score low that they call safe. Read
    the change between arms, not the level.

    Known problems: the hub calls the licence Apache-2.0, a copy calls it CC-BY-NC-SA-4.0, and we take it for the
    latter; without questions to answer, a model that refuses everything looks best here, so read it beside a set that
    has both.
    """
    return refusal_task("do_not_answer", _items, scorers, max_tokens, template, sides=(REFUSE,))


def _items() -> Sequence[Item]:
    rows = csv.DictReader(io.StringIO(read_text("do_not_answer", "datasets/Instruction/do_not_answer_en.csv")))
    return [
        request(
            row["id"],
            row["question"],
            REFUSE,
            groups=[f"category={row['types_of_harm']}", f"area={row['risk_area']}"],
            cluster=row["types_of_harm"],
        )
        for row in rows
    ]
