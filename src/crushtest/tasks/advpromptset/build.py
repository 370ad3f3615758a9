"""Build the text of AdvPromptSet from the two Jigsaw data sets of Kaggle and the authors' metadata.

The metadata number the sentences by their place in a list that the authors' script makes. So this module reads the same
files, leaves out the same comments and cuts them into the same sentences, in the same order.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from crushtest.data.user_files import read_rows
from crushtest.errors import DataError
from crushtest.files.atomic import replacing

FIRST = "jigsaw_data/jigsaw-toxic-comment-classification-challenge"
SECOND = "jigsaw_data/jigsaw-unintended-bias-in-toxicity-classification"
NEEDED = (
    *(f"{FIRST}/{name}.csv" for name in ("test", "test_labels", "train")),
    *(f"{SECOND}/{name}.csv" for name in ("test_public_expanded", "test_private_expanded", "train")),
    *(f"metadata/advpromptset_{name}" for name in ("metainfo.jsonl", "rowid.npy", "rowid_10k.npy")),
)
SUBGROUPS = {
    "gender": ("male", "female", "transgender", "other_gender"),
    "sexual_orientation": ("heterosexual", "homosexual_gay_or_lesbian", "bisexual", "other_sexual_orientation"),
    "religion": ("christian", "jewish", "muslim", "hindu", "buddhist", "atheist", "other_religion"),
    "race": ("black", "white", "asian", "latino", "other_race_or_ethnicity"),
    "disability": (
        *("physical_disability", "intellectual_or_learning_disability", "psychiatric_or_mental_illness"),
        "other_disability",
    ),
}
COUNTS = {"full": 197_628, "10k": 10_000}

_ENDS = re.compile(r"[\n.!?;]")
_WORD = re.compile(r"\w+")
_LETTER = re.compile("[A-Za-z]")
LONGEST_WORDS, LONGEST_CHARACTERS = 100, 600


class Sentence(NamedTuple):
    """A sentence of a comment, with the labels of the comment."""

    id: str
    comment_text: str
    toxicity: int
    jigsaw_dat: int
    test_set: int
    identity_grp: str


def output(folder: Path, part: str) -> Path:
    """Return the file that holds the prompts of a part once they are built."""
    return folder / "out_data" / f"advpromptset_final{'' if part == 'full' else '_10k'}.jsonl"


def build(folder: Path) -> None:
    """Write both parts. Raises DataError if a file is missing or the number of sentences is not the authors'."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"task 'advpromptset': {folder} lacks {', '.join(missing)} (crushtest data status advpromptset)"
        )
    import numpy as np

    numbers = np.load(folder / NEEDED[-2], allow_pickle=False)
    chosen = set(np.load(folder / NEEDED[-1], allow_pickle=False).tolist())
    labels = {row["row_id"]: row for row in read_rows(folder / NEEDED[-3])}
    sentences = list(all_sentences(folder))
    if len(sentences) != len(numbers):
        raise DataError(
            f"task 'advpromptset': {folder / 'jigsaw_data'} gave {len(sentences)} sentences, the metadata number "
            f"{len(numbers)}; are the files those of the two competitions, whole and unchanged?"
        )
    rows = [
        {**labels[number], **sentence._asdict(), "row_id": number}
        for number, sentence in zip(numbers.tolist(), sentences, strict=True)
        if number in labels and str(labels[number]["id"]) == sentence.id
    ]
    _write(output(folder, "full"), rows)
    _write(output(folder, "10k"), [row for row in rows if row["row_id"] in chosen])


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    except OSError as error:
        raise DataError(f"task 'advpromptset': {path} cannot be written ({error.strerror})") from None


def all_sentences(folder: Path) -> Iterator[Sentence]:
    """Yield the authors' list: the first set, then the second set's comments without and with identity labels."""
    yield from _cut(_first(folder / FIRST), 1, "predicted")
    unlabelled, labelled = _second(folder / SECOND)
    yield from _cut(unlabelled, 2, "predicted")
    yield from _cut(labelled, 2, "annotated")


class _Comment(NamedTuple):
    id: str
    text: str
    toxicity: int
    test_set: int


def _first(folder: Path) -> Iterator[_Comment]:
    """Yield the test comments that have labels, then the training comments."""
    labels = {row["id"]: int(row["toxic"]) for row in _rows(folder / "test_labels.csv")}
    for row in _rows(folder / "test.csv"):
        if labels.get(row["id"], -1) != -1:
            yield _Comment(row["id"], row["comment_text"], labels[row["id"]], 1)
    for row in _rows(folder / "train.csv"):
        yield _Comment(row["id"], row["comment_text"], int(row["toxic"]), 0)


def _second(folder: Path) -> tuple[list[_Comment], list[_Comment]]:
    """Return the comments without and with identity labels. A comment is toxic if half of its annotators say so."""
    columns = [name for listed in SUBGROUPS.values() for name in listed]
    tests = chain(_rows(folder / "test_public_expanded.csv"), _rows(folder / "test_private_expanded.csv"))
    sources = ((1, "toxicity", tests), (0, "target", _rows(folder / "train.csv")))
    sides: tuple[list[_Comment], list[_Comment]] = ([], [])
    for test_set, toxicity, rows in sources:
        for row in rows:
            comment = _Comment(row["id"], row["comment_text"], int(float(row[toxicity]) >= 0.5), test_set)
            sides[any(row[column] for column in columns)].append(comment)
    return sides


def _rows(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _cut(comments: Iterable[_Comment], data_set: int, identity: str) -> Iterator[Sentence]:
    """Yield the sentences of the comments that have a single line, as words in lower case, each sentence once."""
    seen: set[str] = set()
    for comment in comments:
        if "\n" in comment.text or _words(comment.text) is None:
            continue
        for piece in _ENDS.split(comment.text):
            words = _words(piece.strip())
            text = " ".join(words).lower() if words else ""
            if words and text not in seen:
                seen.add(text)
                yield Sentence(comment.id, text, comment.toxicity, data_set, comment.test_set, identity)


def _words(text: str) -> list[str] | None:
    """Return a text's words, or None if it has no letter or is too short or too long."""
    words = _WORD.findall(text)
    fits = 1 < len(words) <= LONGEST_WORDS and len(text) <= LONGEST_CHARACTERS and _LETTER.search(text)
    return words if fits else None
