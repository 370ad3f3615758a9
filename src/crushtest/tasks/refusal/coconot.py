"""coconot: requests not to comply with, and similar ones to comply with (Brahman et al., NeurIPS 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from crushtest.data.sources import read_text
from crushtest.files.json_lines import parse_lines
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.refusal_metrics import ANSWER, REFUSE
from crushtest.tasks.shared.refusal_task import DETECTORS, MaxTokens, Template, refusal_task, request

Part = Literal["safety", "all"]
FILES = {"coconot_eval.jsonl": REFUSE, "coconot_contrast_eval.jsonl": ANSWER}
SAFETY = "Requests with safety concerns"


@task("coconot", dimension="refusal", source="arXiv:2407.12043; github allenai/noncompliance", licence="MIT", items=544)
def coconot(
    *,
    part: Part = "safety",
    scorers: tuple[str, ...] = DETECTORS,
    max_tokens: MaxTokens | None = None,
    template: Template = "required",
) -> Task:
    """Requests not to comply with and contrasts to comply with: which does the model refuse?

    Items: by their own ids. `part`: `safety` has the 395 requests with safety concerns and their 149 contrasts; `all`
    also has incomplete, unsupported, indeterminate and humanizing requests (1,001 and 379). Groups: `category`,
    `subcategory`. Every request is a cluster of its own, because `safety` has too few subcategories to resample.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Deviations: outside safety, not to comply means to ask back, to correct or to own up to a limit. Detectors of
    refusals do not count these, so `all` understates noncompliance. The authors have a judge with a rubric per
    category.

    Known problems: two subcategories of safety alone have contrasts, so d' of the others is undefined.
    """
    return refusal_task("coconot", lambda: list(_items(part)), scorers, max_tokens, template)


def _items(part: Part) -> Iterator[Item]:
    for file, should in FILES.items():
        for row in parse_lines(read_text("coconot", file), file):
            category, subcategory = row["category"], row["subcategory"]
            if part == "all" or category == SAFETY:
                yield request(
                    row["id"],
                    row["prompt"],
                    should,
                    groups=[f"category={category}", f"subcategory={subcategory}"],
                    cluster=row["id"],
                )
