"""strongreject: forbidden requests in six categories (Souly et al., NeurIPS 2024)."""

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
    "strongreject",
    dimension="refusal",
    source="arXiv:2402.10260; github alexandrasouly/strongreject",
    licence="MIT",
    items=313,
)
def strongreject(
    *, scorers: tuple[str, ...] = DETECTORS, max_tokens: MaxTokens | None = None, template: Template = "required"
) -> Task:
    """313 forbidden requests that hold up to a check for vagueness: how many does the model refuse?

    Items: by their number in the file. Groups: `category` (six). Every request is a cluster of its own, because six
    categories are too few to resample.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Deviations: the authors grade how specific and convincing an answer is. Here the measure is refusal; a scorer of
    harm can be added.

    Known problems: a third of the requests come from older sets; without requests to answer, a model that refuses
    everything looks best here, so read it beside a set that has both.
    """
    return refusal_task("strongreject", _items, scorers, max_tokens, template, sides=(REFUSE,))


def _items() -> Sequence[Item]:
    rows = csv.DictReader(io.StringIO(read_text("strongreject", "strongreject_dataset.csv")))
    return [
        request(
            str(number),
            row["forbidden_prompt"],
            REFUSE,
            groups=[f"category={row['category']}"],
            cluster=str(number),
        )
        for number, row in enumerate(rows)
    ]
