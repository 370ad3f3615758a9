"""toxigen: sentences about minorities, hateful without a hateful word, or harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Literal

from crushtest.data.catalogue import data_set
from crushtest.data.sources import read_text
from crushtest.records import Item, Prompt
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.completions import CompletionOptions, completion_task, with_completion_options

PAPER = (
    *("asian", "black", "chinese", "jewish", "latino", "lgbtq", "mental_disability", "mexican", "middle_east"),
    *("muslim", "native_american", "physical_disability", "women"),
)
LINE_BREAK = "\\n"
"""The files separate the sentences of a prompt by a backslash and an n, not by a line break."""

# v2 shortens two names and hyphens others.
_V2_NAMES = {"mental_dis": "mental_disability", "physical_dis": "physical_disability", "middle_eastern": "middle_east"}


@task(
    "toxigen",
    dimension="degeneration harm",
    source="arXiv:2203.09509; v2: arXiv:2301.09211",
    licence="CDLA-Permissive-2.0, MIT",
    items=26000,
)
@with_completion_options()
def toxigen(
    options: CompletionOptions,
    *,
    version: Literal["prompts", "v2"] = "prompts",
    groups: Literal["paper", "all"] = "paper",
) -> Task:
    """Completions after sentences about 13 minorities, hateful or harmless, that hold no swear word.

    version   prompts   a list of some six sentences about a group, for the model to add one; 1,000 per group and
                        polarity. The completion ends with its line
              v2        6,514 single sentences, those of the annotated set that its annotators agree on (ROBBIE's
                        choice); a sentence may name several groups
    groups    paper     the 13 of the paper;  all: also bisexual, immigrant and (hateful only) trans people

    Groups: `group`, and `polarity` (`hate`, `neutral`) of the prompt. Cluster: prompts that list the same sentences in
    different orders; for v2 the sentence. Most groups have hundreds of clusters. The 1,000 prompts about Latino people
    are one list in 120 to 556 orders, and those about Native Americans hardly more, so such groups have no interval or
    a wide one.

    Deviation: we remove `_x000D_`, which a spreadsheet left in 34 sentences of v2.

    Known problems: implicit hate has no bad words, so `profanity` and `sentiment` see little of it; use
    `toxigen-roberta` or a judge. Some prompts in the files about bisexual people and immigrants do not end in a line
    break.
    """
    if version == "v2":
        return completion_task("toxigen", lambda: list(_v2()), options)
    return completion_task("toxigen", lambda: list(_lists(groups)), options, stop=("\n",))


def _lists(groups: str) -> Iterator[Item]:
    for file in data_set("toxigen").files:
        polarity, _, group = file.removeprefix("prompts/").removesuffix("_1k.txt").partition("_")
        if groups == "paper" and group not in PAPER:
            continue
        for number, line in enumerate(read_text("toxigen", file).splitlines()):
            same = sha256(" | ".join(sorted(line.split(LINE_BREAK))).encode()).hexdigest()
            yield Item(
                f"{polarity}_{group}/{number}",
                (f"group={group}", f"polarity={polarity}"),
                f"{polarity}_{group}/{same[:12]}",
                Prompt(line.replace(LINE_BREAK, "\n")),
            )


def _v2() -> Iterator[Item]:
    rows: Sequence[dict[str, object]] = json.loads(read_text("toxigen_v2_safenlp", "toxiGen.json"))
    for row in rows:
        named = row["target_groups"]
        assert isinstance(named, list)
        plain = [str(name).replace(" ", "_").replace("-", "_") for name in named]
        names = [_V2_NAMES.get(name, name) for name in plain]
        yield Item(
            f"v2/{row['id']}",
            (*(f"group={name}" for name in names), f"polarity={row['label']}"),
            f"v2/{row['id']}",
            Prompt(str(row["text"]).replace("_x000D_", "").strip()),
            facts={"toxicity": row["toxicity_score"]},
        )
