"""Scoring answers made elsewhere: oracles as files, and lines that cannot be scored."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import DataError, UnknownName, UsageError
from crushtest.predictions import score_predictions
from crushtest.records import Item
from crushtest.registry import TASKS
from crushtest.tasks.bbq.bbq import CATEGORIES, Category, bbq


@pytest.fixture(autouse=True)
def _needs_data(data: Path, substitutes: None) -> None:
    """Skips where there is no mirror."""


def write(folder: Path, lines: Iterable[object]) -> Path:
    path = folder / "predictions.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def table(result: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    rows = {(row["metric"], row["group"]): row for row in result["metrics"]}
    assert len(rows) == len(result["metrics"])
    return rows


def answers(category: Category, respond: Callable[[Item], int | None]) -> list[dict[str, Any]]:
    return [{"item": item.id, "answer": respond(item)} for item in bbq(categories=(category,)).items()]


def fact(name: str) -> Callable[[Item], int | None]:
    return lambda item: item.facts[name]  # type: ignore[return-value]


def test_a_stereotyping_respondent_scores_1_in_every_category(tmp_path: Path) -> None:
    lines = [line for category in CATEGORIES for line in answers(category, fact("biased"))[:200]]
    rows = table(score_predictions("bbq", write(tmp_path, lines)))
    for group in ("all", *CATEGORIES):
        assert rows["bias_ambiguous", group]["value"] == 1
        assert rows["bias_disambiguated", group]["value"] == 1
        assert rows["accuracy_ambiguous", group]["value"] == 0
    assert {group for _, group in rows} == {"all", *CATEGORIES}


def test_unknown_everywhere_has_no_bias_score_and_says_why(tmp_path: Path) -> None:
    result = score_predictions("bbq", write(tmp_path, answers("Religion", fact("unknown"))))
    row = table(result)["bias_ambiguous", "Religion"]
    assert row["value"] is None
    assert row["reason"]
    assert row["n"] == 600
    assert table(result)["accuracy_ambiguous", "all"]["value"] == 1


def test_scores_and_answers_are_two_ways_to_say_the_same(tmp_path: Path) -> None:
    by_index = answers("Age", lambda item: item.gold)
    by_score = [
        {"item": line["item"], "scores": [-1.5 if at == line["answer"] else -7 for at in range(3)]} for line in by_index
    ]
    assert (
        score_predictions("bbq", write(tmp_path, by_index))["metrics"]
        == (score_predictions("bbq", write(tmp_path, by_score))["metrics"])
    )


def test_null_is_no_answer_and_counts_as_unscored(tmp_path: Path) -> None:
    lines = answers("Age", lambda item: item.gold)
    for line in lines[::3]:
        line["answer"] = None
    result = score_predictions("bbq", write(tmp_path, lines))
    row = table(result)["accuracy_ambiguous", "Age"]
    assert (row["value"], row["n"] + row["n_unscored"]) == (1, 1840)
    assert result["items"]["no_answer"] == 1227
    nothing = score_predictions("bbq", write(tmp_path, answers("Age", lambda item: None)))
    assert all(row["value"] is None and row["reason"] and row["n"] == 0 for row in nothing["metrics"])


BAD = [
    ("{", "not_parsed"),
    ("[]", "not_parsed"),
    ({"answer": 1}, "not_parsed"),
    ({"item": "Age/4"}, "not_parsed"),
    ({"item": "Age/4", "answer": 3}, "not_parsed"),
    ({"item": "Age/4", "answer": True}, "not_parsed"),
    ({"item": "Age/4", "answer": "B"}, "not_parsed"),
    ({"item": "Age/4", "scores": [1, 2]}, "not_parsed"),
    ('{"item": "Age/4", "scores": [1, 2, NaN]}', "not_parsed"),
    ({"item": "Age/99999", "answer": 0}, "unknown"),
    ({"item": "Ages/0", "answer": 0}, "unknown"),
    ({"item": "Age/0", "answer": 0}, "duplicate"),
]


@pytest.mark.parametrize(("line", "kind"), BAD)
def test_a_line_that_cannot_be_scored_is_counted_and_named(line: object, kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, [{"item": "Age/0", "answer": 2}, line])
    with pytest.raises(DataError, match=r"line 2.*--allow-partial"):
        score_predictions("bbq", path)
    result = score_predictions("bbq", path, allow_partial=True)
    assert {name: count for name, count in result["items"].items() if count} == {"answered": 1, kind: 1}
    assert "line 2" in result["problems"]
    assert table(result)["accuracy_ambiguous", "all"]["value"] == 1


def test_a_file_that_is_missing_empty_or_no_text_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere", "empty", "binary"):
        with pytest.raises(DataError, match=name) as raised:
            score_predictions("bbq", tmp_path / name)
        assert "\n" not in str(raised.value)


def test_tasks_without_predictions_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, [{"item": "x", "answer": 0}])
    with pytest.raises(UnknownName, match="did you mean 'bbq'"):
        score_predictions("bbqq", path)
    with pytest.raises(UsageError, match="choices only"):
        score_predictions("probe_prompts", path)


def test_other_tasks_of_choices_are_scored_by_their_item_ids(tmp_path: Path) -> None:
    task = TASKS.get("probe_facts").function()
    lines = [{"item": item.id, "answer": item.gold} for item in task.items()]
    assert table(score_predictions("probe_facts", write(tmp_path, lines)))["accuracy", "all"]["value"] == 1


@pytest.mark.parametrize(
    ("task", "metric", "scores_of"),
    [
        ("hellaswag", "accuracy_normalised", lambda lengths: [-1.0] * len(lengths)),
        ("hellaswag", "accuracy_normalised", lambda lengths: [-float(length) for length in lengths]),
        ("crows_pairs", "stereotype_bias", lambda lengths: [-1.0] * len(lengths)),
    ],
)
def test_a_tie_is_one_by_the_rule_of_the_headline_metric(
    task: str, metric: str, scores_of: Callable[[list[int]], list[float]], tmp_path: Path
) -> None:
    items = TASKS.get(task).function().items()[:50]
    lengths = [[len(option.removeprefix(" ")) for option in item.request.options] for item in items]
    lines = [{"item": item.id, "scores": scores_of(each)} for item, each in zip(items, lengths, strict=True)]
    result = score_predictions(task, write(tmp_path, lines), allow_partial=True)
    row = table(result)[metric, "all"]
    assert (result["items"]["answered"], result["items"]["tied"]) == (row["n"], 50 - row["n"])


def test_items_without_a_line_are_named_and_never_dropped_in_silence(tmp_path: Path) -> None:
    items = TASKS.get("probe_facts").function().items()
    path = write(tmp_path, [{"item": item.id, "answer": item.gold} for item in items[:20]])
    lacking = len(items) - 20
    with pytest.raises(DataError, match=rf"{lacking} of {len(items)} items have no line: '{items[20].id}'.*partial"):
        score_predictions("probe_facts", path)
    result = score_predictions("probe_facts", path, allow_partial=True)
    row = table(result)["accuracy", "all"]
    assert (row["value"], row["n"], row["n_unscored"]) == (1, 20, lacking)
    assert result["missing"] == {"count": lacking, "of": len(items), "first": [item.id for item in items[20:25]]}
    assert result["items"]["no_answer"] == 0


def test_a_category_of_bbq_is_scored_alone_and_lacks_only_its_own_items(tmp_path: Path) -> None:
    lines = answers("Age", lambda item: item.gold)
    result = score_predictions("bbq", write(tmp_path, lines))
    assert result["missing"] is None
    part = score_predictions("bbq", write(tmp_path, lines[100:]))
    assert part["missing"] == {"count": 100, "of": len(lines), "first": [line["item"] for line in lines[:5]]}
    row = table(part)["accuracy_ambiguous", "Age"]
    assert (row["value"], row["n"] + row["n_unscored"]) == (1, 1840)
    assert row["n_unscored"] > 0


@pytest.mark.parametrize("line", ["nonsense", {"item": "no such item", "answer": 0}, {"item": "Age/0"}])
def test_a_file_of_another_form_is_told_what_a_line_looks_like(line: object, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'a line looks like \{"item": "Age/0", "answer": 0\}'):
        score_predictions("bbq", write(tmp_path, [line]))
    with pytest.raises(DataError, match=r'a line looks like \{"item": "[^"]+", "answer": 0\}') as raised:
        score_predictions("probe_facts", write(tmp_path, [line]))
    assert "Age" not in str(raised.value).partition("looks like")[2]


def reference_lines(reference: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    content = json.loads(gzip.decompress((reference / "unqover_religion.json.gz").read_bytes()))
    lines = [
        {"item": key, **{name: [answer["ans0"], answer["ans1"]] for name, answer in found.items()}}
        for key, found in content["predictions"].items()
    ]
    return lines, content["expected"]


def test_unqover_equals_the_official_analysis(tmp_path: Path, reference: Path) -> None:
    lines, expected = reference_lines(reference)
    rows = table(score_predictions("unqover", write(tmp_path, lines)))
    for group in ("all", "religion"):
        assert rows["mu", group]["value"] == pytest.approx(expected["mu"], abs=1e-12)
        assert rows["eta", group]["value"] == pytest.approx(expected["eta"], abs=1e-12)
        assert round(rows["delta", group]["value"], 4) == expected["positional_error"]
        assert round(rows["epsilon", group]["value"], 4) == expected["attributive_error"]
    named = {group.lower(): group for _, group in rows}
    for subject, numbers in expected["subjects"].items():
        assert rows["gamma", named[subject]]["value"] == pytest.approx(numbers["gamma"], abs=1e-12)
        assert rows["eta", named[subject]]["value"] == pytest.approx(numbers["eta"], abs=1e-12)
        assert rows["gamma", named[subject]]["n"] == numbers["n"]


def test_unqover_needs_both_orders_of_a_pair(tmp_path: Path, reference: Path) -> None:
    lines, expected = reference_lines(reference)
    rows = table(score_predictions("unqover", write(tmp_path, lines[1:])))
    row = rows["mu", "all"]
    assert (row["n"], row["n_unscored"]) == (2 * expected["n_pairs"] - 2, 1)


@pytest.mark.parametrize(
    "line",
    [
        {"q0": [0.5, 0.5]},
        {"q0": [0.5, 0.5], "q1": [0.5]},
        {"q0": [0.5, 0.5], "q1": [0.5, 1.5]},
        {"q0": [-3.5, -4.5], "q1": [-3.5, -4.5]},
        {"q0": "yes", "q1": "no"},
    ],
)
def test_unqover_lines_without_two_pairs_of_probabilities_do_not_parse(
    line: dict[str, Any], tmp_path: Path, reference: Path
) -> None:
    lines, _ = reference_lines(reference)
    with pytest.raises(DataError, match="1 line that does not parse: line 3"):
        score_predictions("unqover", write(tmp_path, [*lines[:2], {"item": lines[2]["item"], **line}]))


def test_an_unqover_key_of_no_category_is_unknown(tmp_path: Path, reference: Path) -> None:
    line = reference_lines(reference)[0][0] | {"item": "None|None|Christian|Pastafarian|0|rude|x|x"}
    with pytest.raises(DataError, match=r"1 unknown item: .*Pastafarian"):
        score_predictions("unqover", write(tmp_path, [line]))
