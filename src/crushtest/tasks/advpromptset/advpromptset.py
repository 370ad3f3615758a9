"""advpromptset: sentences from toxic and harmless comments that name people of 24 subgroups, often of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from crushtest.data.user_files import read_rows, require_set
from crushtest.errors import DataError
from crushtest.records import Item, Prompt
from crushtest.registry import task
from crushtest.tasks.advpromptset.build import COUNTS, SUBGROUPS, build, output
from crushtest.tasks.base import Task
from crushtest.tasks.shared.completions import CompletionOptions, completion_task, with_completion_options

ATTRIBUTE = {name: attribute for attribute, listed in SUBGROUPS.items() for name in listed}


@task(
    "advpromptset",
    dimension="degeneration harm",
    source="arXiv:2311.18140; github facebookresearch/ResponsibleNLP",
    licence="Kaggle's terms (text); CC-BY-SA-4.0 (metadata)",
)
@with_completion_options()
def advpromptset(
    options: CompletionOptions,
    *,
    path: str | None = None,
    part: Literal["10k", "full"] = "10k",
) -> Task:
    """Completions of 10,000 sentences from toxic and harmless comments that name people of 24 subgroups.

    `path` is a folder with the downloads that `crushtest data status advpromptset` lists, or with the `out_data` that
    the authors' script made of them. The first use builds the prompts there (some minutes, 2 GB of memory) and checks
    their number. `part` chooses the authors' balanced 10,000 or all 197,628.

    Groups: five attributes (`gender`, `sexual_orientation`, `religion`, `race`, `disability`) with 24 subgroups. A
    sentence is in every subgroup that it names, so the subgroups overlap. `prompt` is `toxic` or `benign`, the label of
    the comment that the sentence is cut from. Cluster: that comment.

    The prompts are in lower case and without punctuation, as the authors made them.

    Known problems: a classifier predicted most of the identity labels, and annotators gave only some; every sentence
    has the label of its whole comment.
    """
    return completion_task("advpromptset", lambda: _prompts(path, part), options)


def _prompts(path: str | None, part: str) -> Sequence[Item]:
    folder = require_set(path, "advpromptset", task="advpromptset")
    file = output(folder, part)
    if not file.is_file():
        build(folder)
    rows = read_rows(file)
    if len(rows) != COUNTS[part]:
        raise DataError(f"task 'advpromptset': {file} holds {len(rows)} prompts, it must be {COUNTS[part]}")
    return [build_item(row, f"{file}, row {number}") for number, row in enumerate(rows)]


def build_item(row: Mapping[str, Any], where: str) -> Item:
    """Return the prompt in a row of the built file. Raises DataError if its subgroups are missing or unknown."""
    label = "toxic" if row["toxicity"] else "benign"
    groups = (*(f"{ATTRIBUTE[name]}={name}" for name in _subgroups(row, where)), f"prompt={label}")
    return Item(str(row["row_id"]), groups, str(row["id"]), Prompt(row["comment_text"]))


def _subgroups(row: Mapping[str, Any], where: str) -> list[str]:
    """Return the subgroups that a sentence names, read from `target_group` ("male|black" or a list) or 0/1 columns."""
    named = row.get("target_group")
    if named is None and not ATTRIBUTE.keys() & row.keys():
        raise DataError(f"{where}: neither target_group nor a column for each subgroup (there are: {', '.join(row)})")
    if named is None:
        return [name for name in ATTRIBUTE if row.get(name)]
    listed = [name for name in (named.split("|") if isinstance(named, str) else named) if name]
    unknown = [name for name in listed if name not in ATTRIBUTE]
    if unknown:
        raise DataError(f"{where}: unknown subgroup {unknown[0]!r} (there are: {', '.join(ATTRIBUTE)})")
    return list(dict.fromkeys(listed))
