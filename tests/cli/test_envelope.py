"""Every command that reports prints one envelope with `--json`, and nothing else on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from crushtest.cli.app import COMMANDS, app
from crushtest.cli.envelope import DATA, output_schema
from crushtest.data.published.catalogue import SOURCES
from crushtest.pipeline.run import run_study
from crushtest.study.spec import build_spec

SILENT = {"schema", "mcp"}
"""Commands that print JSON of another kind: a JSON Schema, and the messages of a protocol."""
VALIDATOR = jsonschema.Draft202012Validator(output_schema())


def crushtest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crushtest", *arguments, "--json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def envelope(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.stdout, result.stderr
    content: dict[str, Any] = json.loads(result.stdout)
    VALIDATOR.validate(content)
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two arms in `study`, and answers in `answers.jsonl`."""
    here = tmp_path_factory.mktemp("envelope")
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    suite = [{"probe_facts": {"limit": 20}}, {"probe_prompts": {"limit": 20}}]
    run_study(
        build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": suite}, where="test"), here / "study"
    )
    (here / "answers.jsonl").write_text('{"item": "%s", "answer": 0}\n' % _first(here))  # noqa: UP031
    return here


def _first(folder: Path) -> str:
    from crushtest.study.folder import StudyFolder

    return StudyFolder(folder / "study").read_items("probe_facts")[0].id


RUNS = {
    "init": ["init", "new.yaml"],
    "doctor": ["doctor"],
    "list": ["list", "suites"],
    "data status": ["data", "status", "xstest"],
    "run": [
        "run",
        "fake",
        "--engine",
        "fake",
        "--arm",
        "other=fake",
        "--suite",
        "probe_text",
        "--limit",
        "4",
        "-o",
        "r",
    ],
    "evaluate": ["evaluate", "fake", "--engine", "fake", "--suite", "probe_text", "--limit", "4", "-o", "e"],
    "items": ["items", "probe_facts", "-o", "items.jsonl"],
    "add": ["add", "a", "--arm", "dense", "--task", "probe_facts:limit=20", "--predictions", "answers.jsonl"],
    "score": ["score", "probe_facts", "--predictions", "answers.jsonl", "--allow-partial"],
    "compare": ["compare", "study", "--task", "probe_facts"],
    "report": ["report", "study"],
    "gate": ["gate", "study"],
    "card": ["card", "study"],
    "query": ["query", "study", "SELECT arm FROM estimates"],
    "label": ["label", "study", "--arm", "other", "--task", "probe_prompts", "--scorer", "profanity", "--pairs", "10"],
    "verify": ["verify", "study"],
    "published list": ["published", "list"],
}
ELSEWHERE = {
    "compress": "a model",
    "track": "the package of a tracker",
    "search": "a model",
    "locate": "a model",
    "data fetch": "the network",
    "data fit": "the network",
    "published fetch": "published files",
    "published figures": "published files",
}
"""Commands that need more than a small test has; they print through the same function."""


@pytest.mark.parametrize("command", RUNS)
def test_stdout_is_one_envelope(folder: Path, command: str) -> None:
    result = crushtest(folder, *RUNS[command])
    content = envelope(result)
    assert content["command"] == command
    assert content["status"] in {0: ("done", "passed"), 3: ("regression",), 4: ("inconclusive",)}[result.returncode]
    assert all(line in result.stderr for line in content["warnings"])


def test_every_command_is_in_the_schema_and_tried() -> None:
    groups = {"data": ("status", "fetch", "fit"), "published": ("list", "fetch", "figures")}
    named = {name for panel in COMMANDS.values() for name in panel} - SILENT
    named |= {f"{group} {name}" for group, names in groups.items() for name in names}
    assert named == set(DATA) == {*RUNS, *ELSEWHERE}
    registered = {group.name: group.typer_instance for group in app.registered_groups}
    assert {name: {each.name for each in registered[name].registered_commands} for name in groups} == {
        name: set(names) for name, names in groups.items()
    }
    assert SOURCES


@pytest.mark.parametrize(
    "arguments",
    [["gate", "none"], ["query", "study", "SELEC"], ["list", "tasks", "bqb"], ["data", "status", "nothing"]],
)
def test_a_failure_is_an_envelope_with_the_line_of_stderr(folder: Path, arguments: list[str]) -> None:
    result = crushtest(folder, *arguments)
    content = envelope(result)
    assert (content["status"], content["data"]) == ("failed", None)
    assert result.returncode in (1, 2)
    assert content["warnings"][0] in result.stderr


def test_damage_is_a_status_of_its_own(folder: Path) -> None:
    import shutil

    shutil.copytree(folder / "study", folder / "damaged")
    (folder / "damaged" / "estimates.parquet").write_bytes(b"PAR1")
    result = crushtest(folder, "verify", "damaged")
    content = envelope(result)
    assert result.returncode == 1
    assert content["status"] == "problems"
    assert content["data"]["problems"]


def test_the_schema_refuses_what_is_no_envelope() -> None:
    good = {"version": 1, "command": "verify", "status": "done", "data": {"problems": []}, "warnings": []}
    assert VALIDATOR.is_valid(good)
    assert not VALIDATOR.is_valid({**good, "data": []})
    assert not VALIDATOR.is_valid({**good, "command": "verifi"})
    assert not VALIDATOR.is_valid({**good, "more": 1})
    assert not VALIDATOR.is_valid({key: value for key, value in good.items() if key != "warnings"})


def test_the_page_lists_every_command_and_its_keys() -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    for command, data in DATA.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{command}` |")]
        required = data["items"].get("required", []) if data["type"] == "array" else data["required"]
        assert all(f"`{key}`" in row for key in required), row
