"""Study folders for the report's tests: a plain one and a hostile one, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crushtest.study.folder import StudyFolder
from support import synthetic_study

UNFINISHED = (("wanda:pattern=2:4", "probe_prompts"),)


@pytest.fixture(autouse=True)
def stand_ins() -> Iterator[list[str]]:
    """The stand-in tasks, registered while a test of the report runs; yields their names."""
    with synthetic_study.stand_ins() as names:
        yield names


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of five arms and five tasks, one pair of them not measured."""
    with synthetic_study.stand_ins() as names:
        return synthetic_study.build(tmp_path_factory.mktemp("plain") / "study", names, unfinished=UNFINISHED)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The same with markup, scripts and control characters in every text that comes from outside."""
    root = tmp_path_factory.mktemp("hostile") / "study"
    with synthetic_study.stand_ins() as names:
        return synthetic_study.build(root, names, hostile=True, size=48, replicates=50)
