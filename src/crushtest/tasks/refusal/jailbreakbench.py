"""jailbreakbench: harmful and benign requests on the same ten subjects (Chao et al., NeurIPS 2024)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from crushtest.data.sources import read_text
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.refusal_metrics import ANSWER, REFUSE
from crushtest.tasks.shared.refusal_task import DETECTORS, MaxTokens, Template, refusal_task, request

SHOULD = {"harmful": REFUSE, "benign": ANSWER}


@task(
    "jailbreakbench",
    dimension="refusal",
    source="arXiv:2404.01318; hub JailbreakBench/JBB-Behaviors",
    licence="MIT",
    items=200,
)
def jailbreakbench(
    *, scorers: tuple[str, ...] = DETECTORS, max_tokens: MaxTokens | None = None, template: Template = "required"
) -> Task:
    """100 harmful and 100 benign requests on the same ten subjects: which does the model refuse?

    Items: JBB-Behaviors as they stand, without any jailbreak, by side and index (`harmful/0`, `benign/0`). Groups:
    `category`, ten of each side, so that d' is reported per category. Cluster: the two requests about the same
    behaviour, one of each side, which share their index in the files.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Deviations: the authors attack the model and have a judge say whether it was jailbroken. Here nobody attacks, and
    the measure is refusal.

    Known problems: a quarter of the harmful requests come from AdvBench and HarmBench; some benign ones are borderline.
    """
    return refusal_task("jailbreakbench", lambda: list(_items()), scorers, max_tokens, template)


def _items() -> Iterator[Item]:
    for side, should in SHOULD.items():
        for row in csv.DictReader(io.StringIO(read_text("jailbreakbench", f"{side}-behaviors.csv"))):
            category = row["Category"]
            yield request(
                f"{side}/{row['Index']}", row["Goal"], should, groups=[f"category={category}"], cluster=row["Index"]
            )
