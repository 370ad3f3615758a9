"""Arms that answer as dense does: what is a proof that it is the same model, and what is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crushtest.gate.unchanged import unchanged_arms
from crushtest.records import Answer, ChoiceScores, Completion, ReadChoice, Unanswered
from crushtest.study.folder import StudyFolder

SCORES = ChoiceScores((-1.0, -2.0), (1, 1), (2, 2)), ChoiceScores((-3.0, -2.0), (1, 1), (2, 2))
LETTERS = ReadChoice(1, "B"), ReadChoice(None, "Well", "the reply gives no letter of the options")
TEXTS = Completion("a text", 2, "stop"), Completion("another", 1, "stop")


def write(folder: StudyFolder, arm: str, task: str, answers: Sequence[Answer | Unanswered]) -> Path:
    log = folder.answers(arm, task, "prompts" if isinstance(answers[0], Completion) else "choices")
    for number, answer in enumerate(answers):
        log.append(str(number), answer)
    log.finish([str(number) for number in range(len(answers))])
    return log.final


def is_unchanged(folder: StudyFolder) -> bool:
    return "arm" in unchanged_arms(folder, ["arm"], {"t": "choices", "letters": "choices", "texts": "prompts"})


def test_equal_answers_are_seen_beside_a_table_without_newer_columns(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    dense, _ = write(folder, "dense", "t", SCORES), write(folder, "arm", "t", SCORES)
    assert is_unchanged(folder)
    pl.read_parquet(dense).drop("pick", "reply", "reason", "token_digest").write_parquet(dense)
    assert is_unchanged(folder)


def test_a_column_that_one_table_lacks_counts_if_it_holds_values(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    dense = write(folder, "dense", "t", (SCORES[0], Unanswered("too long")))
    write(folder, "arm", "t", (SCORES[0], Unanswered("too long")))
    assert is_unchanged(folder)
    pl.read_parquet(dense).drop("reason").write_parquet(dense)
    assert not is_unchanged(folder)


def test_equal_letters_read_from_replies_prove_nothing(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    for arm in ("dense", "arm"):
        write(folder, arm, "letters", LETTERS)
    assert not is_unchanged(folder)
    for arm in ("dense", "arm"):
        write(folder, arm, "texts", TEXTS)
    assert is_unchanged(folder)


def test_other_letters_are_proof_of_another_model(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    for arm, letters in ("dense", LETTERS), ("arm", LETTERS[::-1]):
        write(folder, arm, "letters", letters)
        write(folder, arm, "texts", TEXTS)
    assert not is_unchanged(folder)
