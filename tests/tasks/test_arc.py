"""ARC: both forms of file give the same question, and a missing file says where to get it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from crushtest.errors import DataError
from crushtest.records import Choices
from crushtest.tasks.arc import arc

HUB = {
    "id": "Mercury_1",
    "question": "What melts ice?",
    "choices": {"text": ["heat", "cold", "dark"], "label": ["1", "2", "3"]},
    "answerKey": "1",
}
AUTHORS = {
    "id": "Mercury_1",
    "question": {
        "stem": "What melts ice?",
        "choices": [{"text": "heat", "label": "1"}, {"text": "cold", "label": "2"}, {"text": "dark", "label": "3"}],
    },
    "answerKey": "1",
}


def test_files_of_the_hub_and_of_the_authors_give_the_same_item(tmp_path: Path) -> None:
    hub = tmp_path / "ARC-Easy" / "test-00000-of-00001.parquet"
    hub.parent.mkdir()
    pl.DataFrame([HUB]).write_parquet(hub)
    authors = tmp_path / "mine.jsonl"
    authors.write_text(json.dumps(AUTHORS) + "\n")
    from_hub, from_authors = arc(part="Easy", path=str(tmp_path)).items(), arc(path=str(authors)).items()
    assert list(from_hub) == list(from_authors)
    assert from_hub[0].request == Choices("Question: What melts ice?\nAnswer:", (" heat", " cold", " dark"))
    assert from_hub[0].gold == 0


def test_without_a_path_the_error_says_how_to_get_one() -> None:
    with pytest.raises(DataError, match=r"path=FILE.*huggingface.co/datasets/allenai/ai2_arc"):
        arc().items()


def test_a_folder_without_the_file_names_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds none of ARC-Challenge/test"):
        arc(path=str(tmp_path)).items()


def test_a_key_that_is_no_option_is_named(tmp_path: Path) -> None:
    file = tmp_path / "arc.jsonl"
    file.write_text(json.dumps(AUTHORS) + "\n" + json.dumps({**AUTHORS, "answerKey": "D"}) + "\n")
    with pytest.raises(DataError, match=r"arc.jsonl, (row|line) 2: not an ARC question"):
        arc(path=str(file)).items()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"choices": {"text": ["heat"], "label": ["1"]}}, "needs two options or more, each with a label of its own"),
        ({"choices": {"text": [], "label": []}}, "not an ARC question"),
        ({"choices": {"text": ["heat", "cold"], "label": ["1", "2", "3"]}}, "each with a label of its own"),
        ({"choices": {"text": ["heat", "cold"], "label": ["1", "1"]}}, "each with a label of its own"),
        ({"choices": {"text": ["heat", None], "label": ["1", "2"]}}, r"an option must be a text \(got None\)"),
        ({"choices": {"text": ["heat", " "], "label": ["1", "2"]}}, "an option is blank"),
        ({"question": ""}, "the question is blank"),
        ({"question": "What \ud800?"}, "half a character"),
    ],
)
def test_a_question_that_cannot_be_asked_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    file = tmp_path / "arc.jsonl"
    file.write_text(json.dumps(HUB) + "\n" + json.dumps({**HUB, "id": "2", **change}) + "\n")
    with pytest.raises(DataError, match=rf"arc\.jsonl, (row|line) 2: .*{said}"):
        arc(path=str(file)).items()


def test_an_id_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "arc.jsonl"
    file.write_text(2 * (json.dumps(HUB) + "\n"))
    with pytest.raises(DataError, match=r"arc\.jsonl, (row|line) 2: the id 'Mercury_1'"):
        arc(path=str(file)).items()
