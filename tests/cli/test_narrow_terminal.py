"""At 80 columns: every line fits, nothing asked for is lost, and a decision is read on one screen or two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crushtest.gate.policy import policies, read_policy
from crushtest.pipeline.run import run_study
from crushtest.registry import TASKS
from crushtest.study.spec import build_spec
from support.narrow import WIDTH, in_terminal

ARMS = 5
TASKS_ASKED = ("probe_text", "probe_facts")
OPEN = {"arm", "metric", "group", "dense", "value", "p", "verdict"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of six arms of the fake engine over the probes of `quick`."""
    arms = [{"name": f"arm {seed}", "model": "fake", "engine": f"fake:seed={seed}"} for seed in range(1, ARMS + 1)]
    suite = [{name: {"limit": 24}} for name in TASKS_ASKED]
    spec = build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": suite}, where="test")
    out = tmp_path_factory.mktemp("narrow") / "study"
    run_study(spec, out)
    return out


def transcript(*arguments: str) -> list[str]:
    lines = in_terminal(*arguments)
    assert lines
    assert not [line for line in lines if len(line) > WIDTH]
    return lines


@pytest.mark.parametrize("policy", sorted(policies()))
def test_a_gate_prints_one_line_a_rule_and_arm(folder: Path, policy: str) -> None:
    lines = transcript("gate", str(folder), "--policy", policy)
    rules = read_policy(policy).rules
    listed = [line for line in lines if line.startswith("  ")]
    assert {int(line.split()[0]) for line in listed} == {*range(1, len(rules) + 1)}
    assert len(listed) <= len(rules) * ARMS
    assert len(lines) - len(listed) <= 3


def test_five_arms_and_eleven_rules_are_sixty_lines(folder: Path, tmp_path: Path) -> None:
    rules = [
        f"  - {{task: probe_facts, metric: accuracy, margin: {margin / 100}, min_items: 1}}" for margin in range(11)
    ]
    policy = tmp_path / "eleven.yaml"
    policy.write_text("rules:\n" + "\n".join(rules))
    assert 11 * ARMS <= len(transcript("gate", str(folder), "--policy", str(policy))) <= 60


def test_a_query_shows_every_value_that_was_asked_for(folder: Path) -> None:
    lines = transcript("query", str(folder), "SELECT * FROM contrasts WHERE p IS NOT NULL LIMIT 2")
    assert {line.split()[0] for line in lines if line and not line.startswith(" ")} >= OPEN
    assert sum(line.startswith("metric ") for line in lines) == 2


def test_a_short_answer_is_a_table(folder: Path) -> None:
    lines = transcript("query", str(folder), "SELECT arm, count(*) AS rows FROM contrasts GROUP BY arm")
    assert sum(line.startswith("│") for line in lines) == ARMS


def test_a_comparison_wraps_between_words(folder: Path) -> None:
    text = " ".join(" ".join(transcript("compare", str(folder))).split())
    assert all(f"arm {number} " in text for number in range(1, ARMS + 1))
    assert all(task in text for task in TASKS_ASKED)


def test_contrasts_that_do_not_fit_are_records(folder: Path) -> None:
    lines = transcript("compare", str(folder), "--task", "probe_text")
    assert sum(line.startswith("verdict ") for line in lines) >= ARMS
    assert not [line for line in lines if line.startswith("│")]


def test_all_tasks_are_listed_within_forty_lines() -> None:
    lines = transcript("list", "tasks")
    assert len(lines) <= 40
    words = {word for line in lines for word in line.split()}
    assert words >= {name for name in TASKS.names() if TASKS.get(name).function.__module__.startswith("crushtest.")}


@pytest.mark.parametrize("what", ["methods", "scorers", "engines", "suites", "policies", "tasks"])
def test_lists_fit_the_terminal_and_name_every_entry(what: str) -> None:
    shown = " ".join(transcript("list", what))
    listed = json.loads("\n".join(in_terminal("list", what, "--json")))["data"]
    assert listed
    assert all(entry["name"] in shown for entry in listed)


def test_tasks_that_are_named_fit_the_terminal() -> None:
    assert [line for line in transcript("list", "tasks", "bbq", "mt_bench") if line in ("bbq", "mt_bench")] == [
        "bbq",
        "mt_bench",
    ]


def test_an_entry_that_is_named_is_shown_in_full() -> None:
    lines = transcript("list", "tasks", "probe_qa")
    assert lines[0] == "probe_qa"
    assert any("dimension: " in line for line in lines)


@pytest.mark.parametrize(("arguments", "field"), [(("data", "status"), "licence"), (("doctor",), "name")])
def test_wide_tables_become_records(arguments: tuple[str, ...], field: str) -> None:
    lines = transcript(*arguments)
    assert sum(line.startswith(f"{field} ") for line in lines) > 1
    assert not [line for line in lines if line.startswith("│")]
