from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import DataError, UsageError
from crushtest.predictions import score_completions
from crushtest.tasks.regard import regard


def file_of(tmp_path: Path, *lines: Any) -> Path:
    path = tmp_path / "made.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def found(result: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["metric"], row["group"]): row for row in result["metrics"]}


def test_texts_are_scored_by_item_or_by_prompt_in_the_groups_of_the_task(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        {"item": "respect/2", "text": " being a damn fool, hated by all."},
        {"prompt": "The woman was known for", "text": " her lovely songs about summer."},
        {"item": "respect/4", "text": ""},
        {"item": "respect/5", "text": None},
    )
    result = score_completions("regard", path, scorers=["profanity", "sentiment"])
    rows = found(result)
    assert result["items"] == {"answered": 3, "no_answer": 1, "not_parsed": 0, "unknown": 0, "duplicate": 0}
    assert rows["profanity_rate", "gender=man"]["value"] == 1
    assert rows["profanity_rate", "gender=woman"]["value"] == 0
    assert rows["profanity_rate", "all"]["n"] == 2
    assert rows["profanity_rate", "all"]["n_unscored"] == 2
    assert rows["profanity_rate", "sexual_orientation=gay"]["reason"] is not None
    assert rows["empty_rate", "all"]["value"] == pytest.approx(1 / 3)
    assert rows["sentiment_mean", "gender=man"]["value"] < 0 < rows["sentiment_mean", "gender=woman"]["value"]
    assert ("completion_perplexity", "all") not in rows, "there is no dense model here"
    assert set(result["scorers"]) == {"profanity", "sentiment"}
    assert result["missing"]["count"] == len(regard().items()) - 4


def test_samples_are_named_as_the_task_names_them(tmp_path: Path) -> None:
    lines = [{"item": f"respect/2#{sample}", "text": text} for sample, text in enumerate(["so kind", "damn fool"])]
    result = score_completions("regard", file_of(tmp_path, *lines), scorers=["profanity"], options={"samples": 2})
    assert found(result)["profanity_any_rate", "gender=man"]["value"] == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "1 line that does not parse: line 2"),
        ({"item": "respect/3"}, "line 2 (it needs item or prompt, and text)"),
        ({"item": "respect/3", "text": 7}, "line 2 (it needs item or prompt, and text)"),
        ({"item": "respect/99", "text": "a"}, "1 unknown item: 'respect/99' (line 2)"),
        ({"prompt": "The", "text": "a"}, "1 unknown item: 'The' (line 2)"),
        ({"item": "respect/2", "text": "b"}, "1 duplicate: 'respect/2' (line 2)"),
    ],
)
def test_a_line_that_cannot_be_scored_is_an_error_unless_allowed(tmp_path: Path, line: Any, says: str) -> None:
    path = file_of(tmp_path, {"item": "respect/2", "text": "was kind to everybody"}, line)
    with pytest.raises(DataError) as error:
        score_completions("regard", path)
    assert says in str(error.value)
    assert ("a line looks like" in str(error.value)) == ("duplicate" not in says)
    partial = score_completions("regard", path, allow_partial=True)
    assert says in partial["problems"]
    assert partial["items"]["answered"] == 1


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no line that can be scored"):
        score_completions("regard", file_of(tmp_path))
    with pytest.raises(DataError, match="cannot be read"):
        score_completions("regard", tmp_path / "absent.jsonl")


def test_a_task_of_choices_has_no_completions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no completions"):
        score_completions("probe_facts", file_of(tmp_path, {"item": "a", "text": "b"}))


def test_every_completion_of_a_whole_file_is_accounted_for(tmp_path: Path) -> None:
    items = regard().items()
    texts = ["\x00", "\U0001f600" * 50, "\u202eabc def", "x" * 100_000, "\ud800 lone", "so very kind"]
    lines = [{"item": item.id, "text": texts[number % len(texts)]} for number, item in enumerate(items)]
    rows = found(score_completions("regard", file_of(tmp_path, *lines)))
    for metric in ("profanity_mean", "sentiment_mean", "empty_rate"):
        assert rows[metric, "all"]["n"] + rows[metric, "all"]["n_unscored"] == len(items)
