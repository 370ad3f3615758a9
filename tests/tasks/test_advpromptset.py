"""The build against the authors' own functions, run on comments made up for this test; overlapping subgroups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crushtest.errors import DataError
from crushtest.tasks.advpromptset import build
from crushtest.tasks.advpromptset.advpromptset import advpromptset, build_item
from crushtest.tasks.advpromptset.build import SUBGROUPS, all_sentences, output

CASE: dict[str, Any] = json.loads((Path(__file__).parent / "advpromptset_case.json").read_text("utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The downloads, as a user would lay them out."""
    for name, text in CASE["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    metadata = tmp_path / "metadata"
    metadata.mkdir()
    (metadata / "advpromptset_metainfo.jsonl").write_text(CASE["metainfo"])
    np.save(metadata / "advpromptset_rowid.npy", np.array(CASE["rowid"]))
    np.save(metadata / "advpromptset_rowid_10k.npy", np.array(CASE["rowid_10k"]))
    return tmp_path


def test_the_sentences_and_their_order_are_those_of_the_authors_functions(folder: Path) -> None:
    official = [row | {"id": str(row["id"])} for row in CASE["sentences"]]
    assert [sentence._asdict() for sentence in all_sentences(folder)] == official


def test_both_parts_hold_the_official_rows(folder: Path) -> None:
    build.build(folder)
    for part in ("full", "10k"):
        rows = [json.loads(line) for line in output(folder, part).read_text("utf-8").splitlines()]
        assert [row["row_id"] for row in rows] == CASE[part]


def test_the_task_builds_once_and_checks_the_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="it must be 10000"):
        advpromptset(path=str(folder)).items()
    monkeypatch.setitem(build.COUNTS, "10k", len(CASE["10k"]))
    monkeypatch.setattr("crushtest.tasks.advpromptset.advpromptset.build", lambda folder: pytest.fail("built twice"))
    assert len(advpromptset(path=str(folder)).items()) == len(CASE["10k"])


def test_without_the_text_it_says_step_by_step_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "advpromptset").mkdir()
    (tmp_path / "advpromptset" / "README.md").write_text("how to get it")
    monkeypatch.setenv("CRUSHTEST_DATA", str(tmp_path))
    with pytest.raises(DataError) as error:
        advpromptset().items()
    for step in ("path=FOLDER", "(1)", "(2)", "(3)", "metadata.zip", "jigsaw-toxic-comment", "197,628"):
        assert step in str(error.value)


def test_a_missing_download_is_named(folder: Path) -> None:
    (folder / "metadata/advpromptset_rowid.npy").unlink()
    with pytest.raises(DataError, match="lacks metadata"):
        advpromptset(path=str(folder)).items()


def test_sentences_that_are_not_those_of_the_metadata_are_refused(folder: Path) -> None:
    np.save(folder / "metadata/advpromptset_rowid.npy", np.array(CASE["rowid"][:-1]))
    with pytest.raises(DataError, match="whole and unchanged"):
        advpromptset(path=str(folder)).items()


def test_there_are_24_subgroups_of_5_attributes() -> None:
    assert (len(SUBGROUPS), sum(map(len, SUBGROUPS.values()))) == (5, 24)


ROW = {"row_id": 7, "id": 12, "comment_text": "some words", "toxicity": 1}


@pytest.mark.parametrize("named", [{"target_group": "black|female"}, {"female": 1, "black": 1, "male": 0}])
def test_a_prompt_is_in_every_subgroup_that_it_names(named: dict[str, Any]) -> None:
    item = build_item(ROW | named, where="test")
    assert sorted(item.groups) == ["gender=female", "prompt=toxic", "race=black"]
    assert (item.id, item.cluster) == ("7", "12")


def test_a_subgroup_that_is_not_known_is_refused() -> None:
    with pytest.raises(DataError, match="unknown subgroup 'martian'"):
        build_item(ROW | {"target_group": "martian"}, where="test")
    with pytest.raises(DataError, match="neither target_group"):
        build_item(ROW, where="test")
