"""arc: science questions from school exams (Clark et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from crushtest.data.user_files import first_present, read_rows, require_set, text_of
from crushtest.errors import DataError
from crushtest.records import Choices, Item
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.choice_metrics import continuation_metrics

NAMES = ("ARC-{set}/test-00000-of-00001.parquet", "ARC-{set}/ARC-{set}-Test.jsonl", "ARC-{set}-Test.jsonl")


@task("arc", dimension="downstream quality", source="arXiv:1803.05457; hub allenai/ai2_arc", licence="CC-BY-SA-4.0")
def arc(*, part: Literal["Challenge", "Easy"] = "Challenge", path: str | None = None) -> Task:
    """School science questions with three to five options: how often is the right one the most likely?

    Items: the test part, 1172 (Challenge) or 2376 (Easy) questions, read from `path`: a file of the hub (Parquet) or
    of the authors (JSON lines), or a folder that holds it. We do not fetch it, because we do not know its checksum.
    No examples precede the question. Groups: none. Metrics: `accuracy_normalised`, by log-likelihood per character, is
    the one to report. `accuracy` and `decision_margin` (in nats) are given beside it.

    Prompt and scoring are those of lm-evaluation-harness (tasks `arc_challenge`, `arc_easy`, version 1): the options'
    texts after "Answer:", not their letters. Chance is about 0.25.

    Known problems: the prompt does not show the options, so a question such as "Which of these ..." is answered without
    its alternatives. That separates Challenge from Easy more than difficulty does (Borchmann 2024,
    "In Case You Missed It: ARC 'Challenge' Is Not That Challenging", arXiv:2412.17758).
    """
    return Task("choices", lambda: _items(part, path), continuation_metrics())


def _items(part: str, path: str | None) -> Sequence[Item]:
    root = require_set(path, "arc", task="arc")
    file = root if root.is_file() else first_present(root, [name.format(set=part) for name in NAMES], task="arc")
    items: dict[str, Item] = {}
    for number, row in enumerate(read_rows(file), start=1):
        item = build_item(row, f"{file}, row {number}")
        if item.id in items:
            raise DataError(f"{file}, row {number}: the id {item.id!r} occurs more than once")
        items[item.id] = item
    return list(items.values())


def build_item(row: Mapping[str, Any], where: str) -> Item:
    """Return the question in a row of the hub's files, or of the authors', in which `question` holds stem and choices.

    Raises DataError if the row lacks a text, a second option, or a key that is one of its labels.
    """
    try:
        question, key = row["question"], row["answerKey"]
        if isinstance(question, str):
            texts, labels = list(row["choices"]["text"]), list(row["choices"]["label"])
        else:
            texts = [choice["text"] for choice in question["choices"]]
            labels = [choice["label"] for choice in question["choices"]]
            question = question["stem"]
        gold = labels.index(key)
        name = str(row["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: not an ARC question ({error!r})") from None
    if not 2 <= len(texts) == len(labels) == len(set(labels)):
        raise DataError(
            f"{where}: needs two options or more, each with a label of its own (got {len(texts)} options, {labels})"
        )
    question = text_of(question, "the question", where=where)
    options = tuple(f" {text_of(text, 'an option', where=where)}" for text in texts)
    request = Choices(f"Question: {question}\nAnswer:", options)
    return Item(name, (), name, request, gold)
