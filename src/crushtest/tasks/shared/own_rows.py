"""Rows of files that users write for tasks of their own: named fields, groups, ids. The whole file is checked first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crushtest.data.user_files import read_rows, require
from crushtest.errors import DataError, UnknownName
from crushtest.records import Item

_GROUP = re.compile(r"[a-z][a-z0-9_]*=\S.*")

Row = Mapping[str, Any]


def own_items(
    path: str | None, task: str, *, because: str, fields: Sequence[str], item: Callable[[Row, int, str], Item]
) -> list[Item]:
    """Return the items of the rows of a user's file; `item` is given a row, its number from 0, and words for it.

    Raises NotHere without a path, DataError for an id that occurs twice, UnknownName for a field of any other name: a
    mistyped field would otherwise be ignored without notice.
    """
    file: Path = require(path, task=task, because=because)
    items = []
    for number, row in enumerate(read_rows(file)):
        where = f"{file}, row {number + 1}"
        for name in row:
            if name not in fields:
                raise UnknownName("field", name, fields, where=where)
        items.append(item(row, number, where))
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise DataError(f"{file}: {len(twice)} ids occur more than once, the first is {twice[0]!r}")
    return items


def id_and_cluster(row: Row, number: int) -> tuple[str, str]:
    """Return a row's id, by default its number, and its cluster, by default the row alone."""
    name = str(row["id"]) if row.get("id") is not None else str(number)
    return name, str(row["cluster"]) if row.get("cluster") is not None else name


def text_in(value: Any, name: str, where: str) -> str:
    """Return a field's value. Raises DataError unless it is a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {name} must be a text that is not blank (got {value!r})")
    return value


def groups_in(value: Any, where: str) -> tuple[str, ...]:
    """Return the groups that a list of `attribute=value`, or a mapping of attribute to value or values, names."""
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
