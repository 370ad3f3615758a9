"""Write a task's items as lines of JSON, for a program that answers them elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crushtest.files.atomic import replacing
from crushtest.records import Choices, Item, Passage, Prompt


def export_items(items: Sequence[Item], path: Path) -> None:
    """Write a line per item, and put the file into its place when it is whole."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(item_line(item), ensure_ascii=False) + "\n" for item in items)


def item_line(item: Item) -> dict[str, Any]:
    """Return what must be answered of an item, and its groups. The right answer is not in it."""
    line: dict[str, Any] = {"item": item.id}
    request = item.request
    match request:
        case Choices():
            line |= {"kind": "choices", "prompt": request.context, "options": list(request.options)}
        case Prompt():
            line |= {"kind": "prompts", "prompt": request.text}
            line |= {"history": [list(turn) for turn in request.history]} if request.history else {}
            line |= {"follows": request.follows} if request.follows else {}
        case Passage():
            line |= {"kind": "passages", "prompt": request.text}
    if not isinstance(request, Passage) and request.chat:
        line |= {"chat": True} | ({} if request.system is None else {"system": request.system})
    return {**line, "groups": list(item.groups)}
