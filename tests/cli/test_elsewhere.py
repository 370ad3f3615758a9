"""From two files of answers to intervals, page and gate, without a model and without torch."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import CrushtestError, DataError, StoreError, UsageError
from crushtest.pipeline.added import Form, add_answers
from crushtest.pipeline.run import recompare, run_study
from crushtest.predictions import score_completions, score_predictions
from crushtest.predictions.as_answers import NO_LINE
from crushtest.predictions.export import item_line
from crushtest.records import ReadChoice, Unanswered
from crushtest.registry import TASKS
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec
from crushtest.tasks.task_text import parse_task
from support.without_torch import without_torch

CHOICES, TEXTS, LIMIT = "probe_facts", "probe_prompts", 40


def items_of(task: str, limit: int | None = LIMIT) -> list[dict[str, Any]]:
    entry = TASKS.get(task)
    return [item_line(item) for item in entry.function(**entry.bind({})).sample_items(limit, 0)]


def picks(items: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [{"item": item["item"], "answer": draw.randrange(len(item["options"]))} for item in items]


def scores(items: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [{"item": item["item"], "scores": [-5 * draw.random() for _ in item["options"]]} for item in items]


def texts(items: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [{"item": item["item"], "text": draw.choice((" damn fool", " a lovely day", ""))} for item in items]


def written(path: Path, lines: Sequence[object]) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def add(root: Path, arm: str, task: str, path: Path, form: Form = "predictions", **more: Any) -> Any:
    options = {"limit": LIMIT, **more.pop("options", {})}
    return add_answers(root, arm, task, path, form=form, options=options, **more)


def test_two_files_become_a_study_with_page_and_gate(tmp_path: Path) -> None:
    task = f"{CHOICES}:limit={LIMIT}"
    [written_items] = without_torch(tmp_path, ["items", CHOICES, "--limit", str(LIMIT), "-o", "items.jsonl"])
    assert f"--task {task}`" in written_items.stdout
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert len(items) == LIMIT
    assert all({"item", "kind", "prompt", "options", "groups"} <= item.keys() for item in items)
    arms = {"dense": 0, "w4": 1}
    for arm, seed in arms.items():
        written(tmp_path / f"{arm}.jsonl", scores(items, seed))
    written(tmp_path / "policy.yaml", [f"rules: [{{task: {CHOICES}, metric: accuracy, margin: 1, min_items: 10}}]"])
    *done, gated = without_torch(
        tmp_path,
        *(["add", "study", "--arm", arm, "--task", task, "--predictions", f"{arm}.jsonl"] for arm in arms),
        *([command, "study"] for command in ("compare", "verify", "report", "card")),
        ["gate", "study", "--policy", "policy.yaml"],
    )
    for each in done:
        assert each.returncode == 0, (each.args, each.stderr)
    assert gated.returncode in (0, 4), gated.stderr
    folder = StudyFolder(tmp_path / "study")
    rows = [row for row in folder.read_contrasts() if row.group == "all"]
    assert {row.arm for row in rows} == {"w4"}
    assert all(row.intervals is not None for row in rows if row.metric == "accuracy")
    assert "w4" in folder.report.read_text(encoding="utf-8")


def test_a_study_of_files_gives_the_numbers_of_score(tmp_path: Path) -> None:
    path = written(tmp_path / "answers.jsonl", scores(items_of(CHOICES, None), 3))
    add(tmp_path / "s", "dense", CHOICES, path, options={"limit": None})
    scored = {(row["metric"], row["group"]): row["value"] for row in score_predictions(CHOICES, path)["metrics"]}
    stored = {
        (row.metric, row.group.partition("=")[2] or row.group): row.value
        for row in StudyFolder(tmp_path / "s").read_estimates()
    }
    assert scored.items() <= stored.items() or {key: stored.get(key) for key in scored} == pytest.approx(scored)


def test_completions_become_an_arm_and_are_scored(tmp_path: Path) -> None:
    items = items_of(TEXTS)
    for arm, seed in (("dense", 0), ("w4", 1)):
        path = written(tmp_path / f"{arm}.jsonl", texts(items, seed))
        add(tmp_path / "s", arm, TEXTS, path, form="completions")
    stored = {
        row.metric: row.value
        for row in StudyFolder(tmp_path / "s").read_estimates()
        if (row.arm, row.group) == ("w4", "all")
    }
    scored = score_completions(TEXTS, tmp_path / "w4.jsonl")["metrics"]
    pooled = {row["metric"]: row["value"] for row in scored if row["group"] == "all" and row["value"] is not None}
    assert pooled
    assert {metric: stored.get(metric) for metric in pooled} == pytest.approx(pooled)


def test_missing_items_and_null_count_as_unanswered_with_their_reason(tmp_path: Path) -> None:
    items = items_of(CHOICES)
    for form, unanswered in ((picks, ReadChoice), (scores, Unanswered)):
        lines = form(items, 0)[3:]
        lines[0] = {"item": lines[0]["item"], **{key: None for key in lines[0] if key != "item"}}
        root = tmp_path / form.__name__
        added = add(root, "dense", CHOICES, written(tmp_path / "some.jsonl", lines))
        assert len(added.given.missing.items) == 3
        assert added.given.are_picks is (form is picks)
        answers = StudyFolder(root).answers("dense", CHOICES, "choices").read()
        assert len(answers) == LIMIT
        without = [answer for answer in answers.values() if getattr(answer, "reason", None)]
        assert all(isinstance(answer, unanswered) for answer in without)
        assert sorted(answer.reason == NO_LINE for answer in without) == [False, True, True, True]
        unscored = {row.n_unscored for row in StudyFolder(root).read_estimates() if row.group == "all" and row.n}
        assert unscored <= {4, 0}
        assert 4 in unscored


BAD = {
    "unknown": {"item": "nowhere/1", "answer": 0},
    "no item": {"answer": 0},
    "out of range": {"item": "FIRST", "answer": 99},
    "text": {"item": "FIRST", "answer": "b"},
    "too few scores": {"item": "FIRST", "scores": [0.0]},
    "not finite": '{"item": "FIRST", "scores": [NaN, 0, 0, 0]}',
    "no object": [1],
    "no JSON": "{",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_one_clear_line_and_changes_nothing(tmp_path: Path, kind: str) -> None:
    items = items_of(CHOICES)
    first, *rest = picks(items, 0)
    bad = BAD[kind]
    text = (bad if isinstance(bad, str) else json.dumps(bad)).replace("FIRST", first["item"])
    path = written(tmp_path / "bad.jsonl", [*rest, text])
    with pytest.raises(DataError, match=f"line {LIMIT}") as refused:
        add(tmp_path / "s", "dense", CHOICES, path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "s").exists()
    assert len(add(tmp_path / "s", "dense", CHOICES, path, allow_partial=True).given.missing.items) == 1


def test_a_repeated_item_is_refused(tmp_path: Path) -> None:
    lines = picks(items_of(CHOICES), 0)
    with pytest.raises(DataError, match=r"duplicate.*line 41"):
        add(tmp_path / "s", "dense", CHOICES, written(tmp_path / "twice.jsonl", [*lines, lines[0]]))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that an engine made, of a task of choices and a task of texts."""
    suite = [{CHOICES: {"limit": LIMIT}}, {"probe_text": {"limit": 4}}]
    out = tmp_path_factory.mktemp("measured") / "study"
    run_study(build_spec({"model": "fake", "engine": "fake", "suite": suite}, where="test"), out)
    return out


def test_a_measured_study_gains_an_arm_from_a_file(measured: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "w4.jsonl", scores(items_of(CHOICES), 1))
    added = add_answers(measured, "w4", CHOICES, path, form="predictions", options={})
    assert added.compared == ("w4",)
    assert {row.task for row in StudyFolder(measured).read_contrasts() if row.arm == "w4"} == {CHOICES}
    recompare(StudyFolder(measured))
    with pytest.raises(StoreError, match="already"):
        add_answers(measured, "w4", CHOICES, path, form="predictions", options={})
    with pytest.raises(UsageError, match="measured by its model"):
        add_answers(measured, "dense", CHOICES, path, form="predictions", options={})
    with pytest.raises(UsageError, match="asks its dense model"):
        add_answers(measured, "w4", "probe_qa", path, form="predictions", options={})
    with pytest.raises(StoreError, match="limit"):
        add_answers(measured, "w8", CHOICES, path, form="predictions", options={"limit": 3})


def test_what_cannot_be_an_arm_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = written(tmp_path / "some.jsonl", picks(items_of(CHOICES), 0))
    mixed = written(tmp_path / "mixed.jsonl", [*picks(items_of(CHOICES), 0)[1:], scores(items_of(CHOICES), 0)[0]])
    refused: list[tuple[str, str, Path, Form, type[CrushtestError]]] = [
        ("w4", CHOICES, path, "predictions", UsageError),
        ("dense", CHOICES, path, "completions", UsageError),
        ("dense", TEXTS, path, "predictions", UsageError),
        ("dense", "probe_text", path, "predictions", UsageError),
        ("dense", "probe_dialect", path, "predictions", CrushtestError),
        ("dense", CHOICES, mixed, "predictions", UsageError),
        ("dense", CHOICES, tmp_path / "nowhere.jsonl", "predictions", DataError),
    ]
    for arm, task, file, form, error in refused:
        with pytest.raises(error) as wrong:
            add_answers(tmp_path / "s", arm, task, file, form=form, options={})
        assert "\n" not in str(wrong.value)
        assert not (tmp_path / "s").exists()


def test_options_of_a_task_are_read_as_in_a_study_file() -> None:
    assert parse_task("bbq:categories=[Age, Religion],scoring=token") == (
        "bbq",
        {"categories": ["Age", "Religion"], "scoring": "token"},
    )
    assert parse_task("probe_qa") == ("probe_qa", {})
    for wrong in ("bqb", "bbq:Age", "bbq:scoring=sum,scoring=sum", "bbq:categories=[Age"):
        with pytest.raises(UsageError):
            parse_task(wrong)
