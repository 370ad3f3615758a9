"""The shape of the house: imports run one way, and looking around loads nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "crushtest"
HEAVY = ("torch", "transformers", "sklearn", "altair", "scipy")

# Lower layers first. A module may import from its own layer and from those below it.
LAYERS = [
    {
        "errors",
        "records",
        "registry",
        "metrics",
        "files",
        "cache",
        "memory",
        "tables",
        "tensors",
        "threads",
        "__init__",
    },
    {
        "appendlog",
        "coherence",
        "jsonlines",
        "recipes",
        "sampling",
        "prose",
        "manifest",
        "progress",
        "checkpoints",
        "suites",
        "conversations",
    },
    {"hub", "demo", "models", "store"},
    {"tasks", "scorers", "stats"},
    {"corpora", "calibration"},
    {"compress", "engines", "checkpoint"},
    {"plan", "loading", "query", "predictions", "repeats"},
    {"report", "gate", "policies", "arms", "scoring", "comparing", "compression"},
    {"study"},
    {"printing", "usage"},
    {"data_commands"},
    {"cli"},
]


def layer(module: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if module in names)


def imports(path: Path) -> set[str]:
    """The parts of crushtest that a file imports at run time (not for type checking alone)."""
    found = set()
    tree = ast.parse(path.read_text())
    guarded = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "crushtest":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("crushtest.")}
    return found - {"__version__", "__init__"}


def files() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    above = {module for module in imports(path) if layer(module) > layer(own)}
    assert not above, f"{path} imports from a layer above its own"


@pytest.mark.parametrize(("own", "other", "only"), [("tasks", "scorers", "specs"), ("scorers", "tasks", "sources")])
def test_tasks_and_scorers_know_no_more_of_each_other_than_names_and_where_data_is(
    own: str, other: str, only: str
) -> None:
    found = {
        node.module
        for path in sorted((SOURCE / own).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"crushtest.{other}")
    }
    assert found == {f"crushtest.{other}.{only}"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "methods"], ["list", "tasks"], ["list", "scorers"], ["list", "engines"]]
)
def test_looking_around_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import json, sys\nfrom crushtest.cli.commands import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(result.stdout.splitlines()[-1])
    assert not set(HEAVY) & set(loaded)


def test_no_file_is_a_drawer_for_everything() -> None:
    assert not [path for path in files() if path.stem in {"utils", "helpers", "common", "misc"}]
