"""What README.md and the pages show to be typed is understood: commands, options, recipes, the study file."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from crushtest.cli.app import app
from crushtest.compress.recipes import parse_recipes
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shown(page: str) -> list[str]:
    """The commands in the code blocks of a page, indented or fenced; lines that go on are joined."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    blocks = [*fenced, re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.strip() for line in lines if re.match(r"\s*(run: )?crushtest [a-z]", line)]


COMMANDS = {
    command.removeprefix("run: "): page.name
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    for command in shown(page.read_text(encoding="utf-8"))
}


def understood(command: str) -> dict[str, Any]:
    """The parameters of a command line as the command would get them; click's error where it is wrong."""
    _, *arguments = takewhile(lambda word: word != ">", shlex.split(re.sub(r"\s#.*", "", command)))
    known: Any = get_command(app)
    while hasattr(known, "commands"):
        assert arguments[0] in known.commands, f"no command {arguments[0]!r}"
        known = known.commands[arguments.pop(0)]
    parameters: dict[str, Any] = known.make_context("crushtest", arguments).params
    return parameters


def test_there_are_commands_to_be_understood() -> None:
    names = {command.split()[1] for command, page in COMMANDS.items() if page == "README.md"}
    assert {"run", "compress", "evaluate", "compare", "report", "query", "gate", "score", "list", "data"} <= names


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_shown_is_understood(command: str) -> None:
    recipes = understood(command).get("recipe") or []
    for recipe in [recipes] if isinstance(recipes, str) else recipes:
        assert parse_recipes(recipe)


def test_a_command_that_is_wrong_is_not_understood() -> None:
    with pytest.raises(AssertionError, match="no command 'rnu'"):
        understood("crushtest rnu demo")
    with pytest.raises(Exception, match="No such option"):
        understood("crushtest run demo --limt 3")


def test_the_study_file_that_is_shown_is_one() -> None:
    page = (ROOT / "docs" / "howto" / "study-file.md").read_text(encoding="utf-8")
    [block] = re.findall(r"(?m)^    model: demo\n(?:    .*\n)+", page)
    plan = make_plan(build_spec(yaml.safe_load(block), where="study-file.md"))
    named = {arm.name: arm for arm in plan.arms}
    assert {"dense", "magnitude:sparsity=0.1", "magnitude:sparsity=0.5", "half", "found"} <= named.keys()
    assert (named["half"].model, named["found"].recipe) == ("demo", None)


SPECS = [
    pytest.param(yaml.safe_load(block), id=f"{page.relative_to(ROOT)}-{number}")
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for number, block in enumerate(
        re.findall(r"(?m)^    model: (?!str$).*\n(?:    .*\n)*", page.read_text(encoding="utf-8"))
    )
]


@pytest.mark.parametrize("content", SPECS)
def test_a_study_file_that_a_page_shows_is_one(content: dict[str, Any]) -> None:
    assert build_spec(content, where="page").model


def test_the_targets_of_make_that_are_shown_exist() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"\bmake (\w+)", "\n".join(line for line in README.splitlines() if line.startswith("    "))))
    assert named
    assert named <= set(targets)
