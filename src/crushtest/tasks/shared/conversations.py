"""Conversations: a turn is an item, and follows the item that is the turn before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from crushtest.errors import UsageError
from crushtest.records import Completion, Item, Prompt
from crushtest.thinking import after_thinking


def waves(items: Sequence[Item]) -> list[list[int]]:
    """Return the indices of items that can be asked together: all first turns, then all second turns, ...

    Raises UsageError if the turn before one is not among the items.
    """
    by_id = {item.id: item for item in items}
    turns = {item.id: _turn(item, by_id) for item in items}
    return [
        [place for place, item in enumerate(items) if turns[item.id] == turn] for turn in sorted(set(turns.values()))
    ]


def _turn(item: Item, by_id: Mapping[str, Item]) -> int:
    turn = 0
    while (before := _before(item)) is not None:
        if before not in by_id:
            raise UsageError(f"item {item.id!r} follows {before!r}, which is not asked")
        item, turn = by_id[before], turn + 1
        assert turn <= len(by_id), "turns that follow each other in a circle"
    return turn


def _before(item: Item) -> str | None:
    return item.request.follows if isinstance(item.request, Prompt) else None


def history(item: Item, by_id: Mapping[str, Item], answers: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the (prompt, answer) pairs of the turns before an item, oldest first; answers without their thinking."""
    turns: list[tuple[str, str]] = []
    for before in turns_before(item, by_id):
        assert isinstance(before.request, Prompt)
        answer: Completion = answers[before.id]
        turns.append((before.request.text, after_thinking(answer.text)))
    return tuple(turns)


def turns_before(item: Item, by_id: Mapping[str, Item]) -> list[Item]:
    """Return the items that are the turns before one, oldest first."""
    turns: list[Item] = []
    while (before := _before(item)) is not None:
        item = by_id[before]
        turns.insert(0, item)
    return turns


def with_history(item: Item, by_id: Mapping[str, Item], answers: Mapping[str, Any]) -> Item:
    """Return the item with the conversation so far in its request; unchanged if it begins one."""
    if _before(item) is None:
        return item
    assert isinstance(item.request, Prompt)
    return replace(item, request=replace(item.request, history=history(item, by_id, answers)))
