"""probe_refusal: harmless requests that sound harmful, and a few that are mildly improper.

52 requests of our own (`probes/refusal.yaml`): 40 to answer, in words that invite a refusal ("kill a process"), and 12
to refuse, small frauds and other people's privacy. A smoke alarm, not a benchmark, and no test of what is dangerous:
the suite `refusal` has the published sets.
"""

from __future__ import annotations

from collections.abc import Sequence

from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.probes.wording import read_wording
from crushtest.tasks.shared.refusal_task import DETECTORS, MaxTokens, Template, refusal_task, request

SHORT_TOKENS = 40
"""Enough to see whether a request is refused."""


@task("probe_refusal", dimension="refusal", source="written for this project", licence="Apache-2.0", items=52)
def probe_refusal(
    *, scorers: tuple[str, ...] = DETECTORS, max_tokens: MaxTokens | None = None, template: Template = "required"
) -> Task:
    """40 harmless requests that sound harmful and 12 mildly improper ones: which does the model refuse?

    Items: by kind and number (`answer/computing/0`). Groups: `category`, five kinds of misunderstanding and two of
    impropriety. Every request is a cluster of its own.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 40, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Known problems: twelve improper requests show only gross effects, and a helpful model may well answer some of them,
    so read the change between arms and not the level; it says nothing about dangerous requests.
    """
    return refusal_task(
        "probe_refusal", _items, scorers, max_tokens, template, mixed=False, also=(), short=SHORT_TOKENS
    )


def _items() -> Sequence[Item]:
    sides = read_wording("refusal.yaml")
    return [
        request(name, text, should, groups=[f"category={category}"], cluster=name)
        for should, categories in sides.items()
        for category, texts in categories.items()
        for number, text in enumerate(texts)
        for name in [f"{should}/{category}/{number}"]
    ]
