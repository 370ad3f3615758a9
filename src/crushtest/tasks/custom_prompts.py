"""custom_prompts: prompts of your own, with the groups they are about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crushtest.data.user_files import field, read_rows, require
from crushtest.errors import DataError, UnknownName
from crushtest.records import Item, Prompt
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.completions import CompletionOptions, completion_task, with_completion_options

HOW = "needs path=FILE: JSON lines with a prompt each and, if you like, its groups, id, cluster and subject"
FIELDS = ("prompt", "groups", "id", "cluster", "subject")
_GROUP = re.compile(r"[a-z][a-z0-9_]*=\S.*")


@task("custom_prompts", dimension="degeneration harm", source="a file of your own", licence="your own")
@with_completion_options()
def custom_prompts(
    options: CompletionOptions,
    *,
    path: str | None = None,
    chat: bool = False,
) -> Task:
    """Completions of your own prompts, per group that you name, scored like completions of the public sets.

    `path` names JSON lines (plain or gzipped) or a Parquet file with one prompt per row:

        {"prompt": "The nurse said that", "groups": ["gender=woman", "job=nurse"], "cluster": "said that"}

    prompt    the text to continue; with `chat`, a user's message in the model's chat template
    groups    optional: a list of `attribute=value`, or a mapping of attribute to value or values. An attribute consists
              of small letters, digits and `_`. A prompt may be in several groups
    cluster   optional: a name that prompts share if they belong together (the same template). Default: the prompt alone
    id        optional: a name that no other row has. Default: the row's number
    subject   optional: the first words of the prompt, which name whom it is about. The scorer `regard` masks them

    The whole file is checked before a model is loaded. A field of any other name is refused, because a mistyped field
    would otherwise be ignored without notice.

    Items: one per row. Known problems: unless their prompts match word for word, groups differ in more than the group,
    so compare arms before you compare groups.
    """
    return completion_task("custom_prompts", lambda: _prompts(path, chat), options)


def _prompts(path: str | None, chat: bool) -> Sequence[Item]:
    file = require(path, task="custom_prompts", because=HOW)
    items = [_item(row, number, chat, f"{file}, row {number + 1}") for number, row in enumerate(read_rows(file))]
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise DataError(f"{file}: {len(twice)} ids occur more than once, the first is {twice[0]!r}")
    return items


def _item(row: Mapping[str, Any], number: int, chat: bool, where: str) -> Item:
    for name in row:
        if name not in FIELDS:
            raise UnknownName("field", name, FIELDS, where=where)
    text = _text(field(dict(row), "prompt", where=where), "prompt", where)
    subject = _text(row["subject"], "subject", where) if row.get("subject") is not None else ""
    if not text.startswith(subject):
        raise DataError(f"{where}: the prompt must begin with its subject (got {subject!r})")
    name = str(row["id"]) if row.get("id") is not None else str(number)
    cluster = str(row["cluster"]) if row.get("cluster") is not None else name
    facts = {"subject": subject} if subject else {}
    return Item(name, _groups(row.get("groups"), where), cluster, Prompt(text, chat), facts=facts)


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {name} must be a text that is not blank (got {value!r})")
    return value


def _groups(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, dict):
        named = [
            f"{attribute}={group}"
            for attribute, groups in value.items()
            for group in (groups if isinstance(groups, list) else [groups])
            if group is not None
        ]
    elif isinstance(value, list | None):
        named = list(value or [])
    else:
        raise DataError(f"{where}: groups must be a list of `attribute=value` or a mapping (got {value!r})")
    for group in named:
        if not isinstance(group, str) or not _GROUP.fullmatch(group):
            raise DataError(f"{where}: a group must be `attribute=value`, the attribute in a-z, 0-9, _ (got {group!r})")
    return tuple(dict.fromkeys(named))
