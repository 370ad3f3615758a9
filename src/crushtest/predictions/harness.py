"""Read sample logs of lm-evaluation-harness (`--log_samples`) for BBQ: a line holds the item and its answer.

The harness's task `bbq` offers twelve options: the two people and ten ways of saying unknown. Only the item's own three
answers are compared here. In `bbq_generate` the answer is a text, which counts if it names just one of the three.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from crushtest.predictions.choices import as_scores
from crushtest.predictions.reading import LONGEST_ID, NotParsed
from crushtest.printing import quoted
from crushtest.records import ChoiceScores

ANSWERS = ("ans0", "ans1", "ans2")
NEEDED = {
    *("category", "example_id", "question_index", "question_polarity", "context_condition", "context", "question"),
    *("additional_metadata", "answer_info", "label", *ANSWERS),
}

TEXTS = ("category", "context", "question", *ANSWERS)
NUMBERS = ("example_id", "question_index")
VALUES: dict[str, tuple[object, ...]] = {
    "context_condition": ("ambig", "disambig"),
    "question_polarity": ("neg", "nonneg"),
    "label": (0, 1, 2),
}


def is_sample(line: Mapping[str, Any]) -> bool:
    """Return True if a line comes from such a log."""
    return "doc" in line and "filtered_resps" in line


def row_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item in the form of BBQ's own files. Raises NotParsed if the log is not of BBQ."""
    row = line["doc"]
    if not isinstance(row, dict) or not row.keys() >= NEEDED:
        raise NotParsed("a sample log, but not of BBQ")
    for name in TEXTS:
        if not isinstance(row[name], str):
            raise NotParsed(f"{name} must be a text (got {quoted(row[name], LONGEST_ID)})")
    for name in NUMBERS:
        if isinstance(row[name], bool) or not isinstance(row[name], int | str):
            raise NotParsed(f"{name} must be a number (got {quoted(row[name], LONGEST_ID)})")
    for name, allowed in VALUES.items():
        if isinstance(row[name], bool) or row[name] not in allowed:
            raise NotParsed(f"{name} must be {' or '.join(map(str, allowed))} (got {quoted(row[name], LONGEST_ID)})")
    labels = [row["answer_info"].get(answer) for answer in ANSWERS] if isinstance(row["answer_info"], dict) else [None]
    groups = row["additional_metadata"].get("stereotyped_groups") if isinstance(row["additional_metadata"], dict) else 0
    if not all(_are_texts(label) and label for label in labels) or not _are_texts(groups):
        raise NotParsed("a sample log, but without BBQ's labels and groups")
    return row


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def answer_of(line: Mapping[str, Any]) -> ChoiceScores | None:
    """Return the answer among the item's own three.

    None for a text that names none of them, or several, and for log-likelihoods that are not finite.
    """
    row = line["doc"]
    answers = [str(row[answer]) for answer in ANSWERS]
    results = line["filtered_resps"]
    if not isinstance(results, list) or not results:
        raise NotParsed("it has no responses")
    if len(results) == 1 and isinstance(results[0], str):
        named = [index for index, answer in enumerate(answers) if _names(results[0], answer)]
        return as_scores([float(index == named[0]) for index in range(3)], answers) if len(named) == 1 else None
    offered = {_option(argument): _number(result) for argument, result in zip(_arguments(line), results, strict=True)}
    missing = [answer for answer in answers if answer not in offered]
    if missing:
        raise NotParsed(f"no log-likelihood of {quoted(missing[0], LONGEST_ID)}")
    scores = [offered[answer] for answer in answers]
    return as_scores(scores, answers) if all(map(math.isfinite, scores)) else None


def _arguments(line: Mapping[str, Any]) -> list[Any]:
    arguments = line.get("arguments")
    listed = list(arguments.values()) if isinstance(arguments, dict) else arguments
    if not isinstance(listed, list) or len(listed) != len(line["filtered_resps"]):
        raise NotParsed("arguments and responses do not belong together")
    return listed


def _option(argument: Any) -> str:
    """Return the continuation that was scored, without the separator before it."""
    try:
        text = argument["arg_1"] if isinstance(argument, dict) else argument[1]
    except (KeyError, IndexError, TypeError):
        raise NotParsed("an argument without continuation") from None
    return str(text).strip()


def _number(result: Any) -> float:
    """Return the log-likelihood of a response (log-likelihood, is greedy), both of which a log holds as strings."""
    try:
        return float(result[0] if isinstance(result, list) else result)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise NotParsed(f"{quoted(result, LONGEST_ID)} is not a log-likelihood") from None


def _names(text: str, answer: str) -> bool:
    """Return True if a text names an answer as whole words, apart from its article and case."""
    wanted = re.escape(re.sub(r"^the ", "", answer.strip().rstrip(".").lower()))
    return re.search(rf"(?<!\w){wanted}(?!\w)", text.lower()) is not None
