"""constraints-lowest.txt pins what pyproject.toml allows at the least, and so `make test-lowest` tests that."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(line.split("==") for line in (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").split())


def test_the_pins_are_the_lowest_versions_that_are_allowed() -> None:
    required = [Requirement(line) for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["hf"])]
    lowest = {each.name: [Version(bound.version) for bound in each.specifier] for each in required}
    assert lowest == {name: [Version(PINNED[name])] for name in lowest}
