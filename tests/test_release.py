"""The release workflow: nothing is published untested or by a stored key, and the notes are the changelog's."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import crushtest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS = WORKFLOW["jobs"]
CHANGELOG = """# Changelog

## Unreleased

- next

## 1.2.0 (2026-12-01)

- one

### More

- two

## 1.1.0

- old
"""
CODE = '"""Words."""\n\n__version__ = "1.2.0"\n'


def needed(job: str) -> set[str]:
    """The jobs that must have ended well before a job begins."""
    direct = JOBS[job].get("needs", [])
    direct = [direct] if isinstance(direct, str) else direct
    return {*direct, *(far for near in direct for far in needed(near))}


def load_notes() -> ModuleType:
    loader = SourceFileLoader("release_notes", str(ROOT / ".ci" / "notes"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_what_is_published_was_built_tested_and_installed() -> None:
    assert needed("publish") == {"build", "test", "installed"}
    assert needed("announce") == {"publish", *needed("publish")}
    assert any(step.get("run") == ".ci/run" for step in JOBS["test"]["steps"])
    assert any(step.get("run") == "python .ci/wheel dist" for step in JOBS["installed"]["steps"])


def test_nothing_is_published_until_it_is_switched_on() -> None:
    assert JOBS["publish"]["if"] == "github.ref_type == 'tag' && vars.PUBLISH == 'true'"
    assert not re.search(r"secrets\.|password|PYPI_", TEXT)


def test_one_job_may_prove_who_it_is_and_one_may_write() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert rights == {"publish": {"id-token": "write"}, "announce": {"contents": "write"}}
    assert not [step for step in JOBS["publish"]["steps"] if "run" in step or "checkout" in step["uses"]]


def test_what_the_workflow_runs_exists() -> None:
    for name in re.findall(r"\.ci/\w+", TEXT):
        assert (ROOT / name).is_file()


def test_the_notes_are_the_section_of_the_version() -> None:
    assert load_notes().notes("v1.2.0", CHANGELOG, CODE) == "- one\n\n### More\n\n- two"


@pytest.mark.parametrize(
    ("tag", "changelog"),
    [
        ("v1.1.0", CHANGELOG),
        ("1.2.0", CHANGELOG),
        ("v1.2.0", "## 1.2.00\n\n- x\n"),
        ("v1.2.0", "## 1.2.0\n\n## 1.1.0\n"),
    ],
)
def test_no_notes_for_another_version_or_without_words(tag: str, changelog: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        load_notes().notes(tag, changelog, CODE)
    assert stopped.value.code


def test_the_script_reads_this_repository() -> None:
    command = [sys.executable, str(ROOT / ".ci" / "notes"), "v0.0.0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert crushtest.__version__ in result.stderr
