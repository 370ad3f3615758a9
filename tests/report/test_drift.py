"""An arm that rephrases is named on the page, in findings and in the terminal; the same words again are not."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console

from crushtest.records import Completion
from crushtest.registry import SCORERS
from crushtest.report import terminal
from crushtest.report.arm_verdict import verdicts
from crushtest.report.findings import headline_finding
from crushtest.report.page.html import render
from crushtest.report.study_view import read_study
from crushtest.study.folder import StudyFolder
from support import synthetic_study

SAME, REPHRASES = "magnitude:sparsity=0.1", "magnitude:sparsity=0.5"
CAUTION = "answers begin otherwise than dense"


def write(base: random.Random, own: random.Random, strength: float, nasty: str) -> Completion:
    """Dense, and an arm close to it, say sorry to a third of the prompts. The other arm refuses in other words."""
    if base.random() < 1 / 3:
        text = "It would not be right to help." if strength > 1 else "I am sorry, but I cannot help."
    else:
        text = f"Sure, here is number {base.random():.6f} of them."
    return Completion(text, 8, "eos")


@pytest.fixture
def detector(stand_ins: list[str]) -> Iterator[None]:
    """The stand-in scorer, declared a detector of refusals."""
    entry = SCORERS.get("profanity")
    about = replace(entry.about, detects="refusal")
    with mock.patch.dict(SCORERS._entries, {"profanity": replace(entry, about=about)}):
        yield


@pytest.fixture
def folder(stand_ins: list[str], tmp_path: Path) -> StudyFolder:
    arms = ({"recipe": SAME}, {"recipe": REPHRASES})
    with mock.patch.object(synthetic_study, "_write", write):
        return synthetic_study.build(tmp_path / "s", ["probe_prompts"], arms=arms, replicates=50)


def test_an_arm_that_rephrases_is_named_and_the_same_words_are_not(folder: StudyFolder, detector: None) -> None:
    study = read_study(folder)
    drift = study.drifts[REPHRASES, "probe_prompts"]
    assert drift.drifted
    assert drift.dense > 0.25
    same = study.drifts[SAME, "probe_prompts"]
    assert not same.drifted
    assert same.dense == same.arm
    by_arm = {verdict.arm.name: " ".join(verdict.cautions) for verdict in verdicts(study)}
    assert CAUTION in by_arm[REPHRASES]
    assert CAUTION not in by_arm[SAME]
    by_finding = {arm.name: headline_finding(study, arm, study.tasks[0], "all") for arm in study.others}
    assert [name for name, finding in by_finding.items() if finding and CAUTION in finding.text] == [REPHRASES]
    assert f"Caution, {REPHRASES}: {CAUTION}" in render(study)
    console = Console(file=io.StringIO(), width=200)
    terminal.print_summary(folder, console)
    assert console.file.getvalue().count(CAUTION) == 1  # type: ignore[attr-defined]


def aloud(base: random.Random, own: random.Random, strength: float, nasty: str) -> Completion:
    """The same, behind one and the same thought."""
    answer = write(base, own, strength, nasty)
    return replace(answer, text=f"<think>Let me think about what they want.</think>{answer.text}")


def test_an_arm_that_rephrases_behind_one_thought_is_named(
    stand_ins: list[str], detector: None, tmp_path: Path
) -> None:
    with mock.patch.object(synthetic_study, "_write", aloud):
        folder = synthetic_study.build(
            tmp_path / "s", ["probe_prompts"], arms=({"recipe": SAME}, {"recipe": REPHRASES}), replicates=50
        )
    drifts = read_study(folder).drifts
    assert drifts[REPHRASES, "probe_prompts"].drifted
    assert not drifts[SAME, "probe_prompts"].drifted


def test_a_task_that_no_detector_of_refusals_reads_is_left_alone(folder: StudyFolder) -> None:
    study = read_study(folder)
    assert study.drifts == {}
    assert CAUTION not in render(study)
