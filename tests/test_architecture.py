"""The shape of the house: imports run one way, and looking around loads nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "crushtest"
HEAVY = ("torch", "transformers", "sklearn", "altair", "scipy", "numpy", "httpx")
ORDER = """
    cli
    pipeline
    report gate
    study predictions
    scorers
    tasks engines compress
    stats data models services
    files
    errors printing records results metrics registry progress completions
"""
"""The rooms from the top down, as in docs/architecture.md. A file imports from its own room and from lower storeys."""

STOREYS = [line.split() for line in ORDER.strip().splitlines()]
HEIGHT = {room: -storey for storey, rooms in enumerate(STOREYS) for room in rooms}
VOCABULARY = STOREYS[-1]
NEW_ROOM = "is in no storey: put it into the room it belongs to, or give it a place in ORDER and docs/architecture.md"


def files() -> list[Path]:
    outside = {SOURCE / "__init__.py", SOURCE / "__main__.py"}
    return [path for path in sorted(SOURCE.rglob("*.py")) if path not in outside]


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import from crushtest, those for type checking included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "crushtest":
            parts = (node.module or "").split(".")[1:]
            names = parts[:1] or [alias.name for alias in node.names]
            yield from ((node.lineno, name) for name in names if name in HEIGHT or (SOURCE / name).exists())


def violations() -> Iterator[str]:
    for path in files():
        own = room_of(path)
        where = path.relative_to(SOURCE.parents[1])
        if own not in HEIGHT:
            yield f"{where} {NEW_ROOM}"
            continue
        for line, room in imported(path):
            vocabulary = own in VOCABULARY and room in VOCABULARY
            if room not in HEIGHT:
                yield f"{where}:{line} {room} {NEW_ROOM}"
            elif room != own and not vocabulary and HEIGHT[room] >= HEIGHT[own]:
                yield f"{where}:{line} {own} may not import from {room}: move what both need to a lower storey"


def test_imports_run_one_way() -> None:
    found = list(violations())
    assert not found, "\n" + "\n".join(found)


def test_the_vocabulary_has_no_circle() -> None:
    within: dict[str, set[str]] = {room: set() for room in VOCABULARY}
    for path in files():
        if (own := room_of(path)) in VOCABULARY:
            within[own] |= {room for _, room in imported(path)} & {*VOCABULARY} - {own}
    assert set(TopologicalSorter(within).static_order()) == {*VOCABULARY}


def test_the_order_is_that_of_the_architecture_page() -> None:
    page = " ".join((SOURCE.parents[1] / "docs" / "architecture.md").read_text().split())
    for rooms in STOREYS[:-1]:
        assert ", ".join(rooms) in page or " ".join(rooms) in page


def test_the_top_level_can_be_seen_at_a_glance() -> None:
    entries = [path.name for path in SOURCE.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= 25
    assert len(STOREYS) <= 9


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "methods"], ["list", "tasks"], ["list", "scorers"], ["list", "engines"]]
)
def test_looking_around_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import json, sys\nfrom crushtest.cli.app import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(result.stdout.splitlines()[-1])
    assert not set(HEAVY) & set(loaded)


def test_no_file_is_a_drawer_for_everything() -> None:
    assert not [path for path in files() if path.stem in {"utils", "helpers", "common", "misc"}]
