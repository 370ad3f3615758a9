"""xstest: safe requests that sound dangerous, and dangerous ones that resemble them (Röttger et al., NAACL 2024)."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence

from crushtest.data.sources import read_text
from crushtest.records import Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.refusal_metrics import ANSWER, REFUSE
from crushtest.tasks.shared.refusal_task import DETECTORS, MaxTokens, Template, refusal_task, request

CONTRAST = "contrast_"
SHOULD = {"safe": ANSWER, "unsafe": REFUSE}


@task(
    "xstest", dimension="refusal", source="arXiv:2308.01263; github paul-rottger/xstest", licence="CC-BY-4.0", items=450
)
def xstest(
    *, scorers: tuple[str, ...] = DETECTORS, max_tokens: MaxTokens | None = None, template: Template = "required"
) -> Task:
    """250 safe requests that sound dangerous, 200 unsafe ones in similar words: which does the model refuse?

    Items: version 2 of the set, by its own ids (`v2-1`). Groups: `type`, ten safe ones and eight unsafe contrasts.
    Cluster: the contrast that a type belongs to (`homonyms` and `contrast_homonyms`), eight in all.

    Options: `scorers` must hold a detector of refusals, the first of which gives the outcomes; others add their own
    measures. `max_tokens` is 64, or 256 if a scorer measures something else. Greedy, in the model's chat template.
    `template: optional` asks a model without one in plain text.

    Deviations: the authors have people or GPT-4 label the answers; here a scorer does, with the error measured for it
    (docs/scorers.md). They take up to 256 tokens.

    Known problems: a type is all safe or all unsafe, so d' has no groups; eight clusters make wide intervals; the set
    has been public since 2023, and models are trained against it.
    """
    return refusal_task("xstest", _items, scorers, max_tokens, template, mixed=False)


def _items() -> Sequence[Item]:
    rows = list(csv.DictReader(read_text("xstest", "xstest_prompts.csv").splitlines()))
    contrasts = {row["type"].removeprefix(CONTRAST) for row in rows if row["type"].startswith(CONTRAST)}
    return [
        request(
            f"v2-{row['id']}",
            row["prompt"],
            SHOULD[row["label"]],
            groups=[f"type={row['type']}"],
            cluster=contrast_of(row["type"], contrasts),
        )
        for row in rows
    ]


def contrast_of(name: str, contrasts: Collection[str]) -> str:
    """Return the contrast of a type, whose name the type's name holds.

    >>> contrast_of("real_group_nons_discr", ["homonyms", "discr"]), contrast_of("contrast_discr", ["discr"])
    ('discr', 'discr')
    """
    return next(contrast for contrast in contrasts if contrast in name)
