"""What a method, engine or scorer is stands on it: no other file asks for one by name."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from crushtest.registry import ENGINES, METHODS, SCORERS

SOURCE = Path(__file__).parents[2] / "src" / "crushtest"
ROOMS = ("stats", "report", "gate", "compress", "pipeline", "study", "predictions")
ALLOWED = {
    ("compress/__init__.py", name)  # the functions that `from crushtest.compress import` offers
    for name in ("awq", "gblm", "gptq", "magnitude", "rtn", "sparsegpt", "wanda")
}
UNITS = {"perplexity"}
"""A unit and a metric of that name, in the rooms that print and compare numbers."""


def own_files() -> dict[str, Path]:
    """The name of every method, engine and scorer, and the file that registers it."""
    return {
        entry.name: Path(inspect.getfile(inspect.unwrap(entry.function)))
        for registry in (METHODS, ENGINES, SCORERS)
        for entry in registry
    }


def mentions(path: Path, names: dict[str, Path]) -> Iterator[str]:
    where = path.relative_to(SOURCE)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Constant) or node.value not in names or names[node.value] == path:
            continue
        is_unit = node.value in UNITS and where.parts[0] in ("stats", "report")
        if not is_unit and (where.as_posix(), node.value) not in ALLOWED:
            yield f"src/crushtest/{where}:{node.lineno} {node.value!r}: declare what this asks about in its decorator"


def test_no_room_knows_a_method_engine_or_scorer_by_name() -> None:
    names = own_files()
    files = [path for room in ROOMS for path in sorted((SOURCE / room).rglob("*.py"))]
    found = [line for path in files for line in mentions(path, names)]
    assert not found, "\n" + "\n".join(found)


def test_the_search_finds_a_name(tmp_path: Path) -> None:
    path = SOURCE / "compress" / "methods" / "rtn.py"
    assert list(mentions(path, {"rtn": tmp_path}))
    assert not list(mentions(path, {"rtn": path}))
