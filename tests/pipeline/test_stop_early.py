"""An arm may stop as soon as the full run's verdict is certain: at the same place however often it is killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.errors import StoreError, UsageError
from crushtest.files.append_log import AppendLog
from crushtest.gate import run_gate
from crushtest.gate.policy import read_policy
from crushtest.metrics import mean
from crushtest.pipeline import looks
from crushtest.pipeline.looks import APART, asking_order
from crushtest.pipeline.run import recompare, run_study
from crushtest.pipeline.stop_rules import never_settled, not_judged, on_no_task, sharing, why_not_exact
from crushtest.records import Choices, Item
from crushtest.report.against import refusals
from crushtest.report.study_view import read_study
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import StudySpec, build_spec
from crushtest.study.stops import stops_of

LENIENT = """
rules:
  - {task: probe_facts, metric: accuracy, margin: 0.2, min_items: 20}
  - {task: probe_prompts, metric: empty_rate, margin: 0.3, min_items: 20}
"""
STERN = "rules: [{task: probe_facts, metric: accuracy, max_flips: 0.1, min_items: 20}]"
UNTELLABLE = "rules: [{task: probe_facts, metric: accuracy, margin: 0.01, sure: equivalence, min_items: 20}]"


def policy(folder: Path, text: str) -> str:
    (folder / "policy.yaml").write_text(text)
    return str(folder / "policy.yaml")


def spec(rules: str, **more: Any) -> StudySpec:
    content: dict[str, Any] = {
        "model": "fake",
        "engine": "fake",
        "arms": [{"name": "other", "model": "fake", "engine": "fake:seed=1"}],
        "suite": [{"probe_facts": {}}, {"probe_prompts": {}}],
        "stop_early": {"policy": rules},
    }
    return build_spec(content | more, where="test")


def tables(folder: Path) -> dict[str, bytes]:
    files = [*folder.rglob("*.parquet"), folder / "study.yaml"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


def stopped_places(folder: Path) -> set[tuple[str, str]]:
    """Return the arms and tasks that the manifest says stopped."""
    noted = manifest.read(StudyFolder(folder).manifest).get("stops", {})
    return {(arm, task) for arm, tasks in noted.items() for task, facts in tasks.items() if facts["because"] != "open"}


def asked(folder: Path, task: str, kind: Any = "choices") -> int:
    return len(StudyFolder(folder).answers("other", task, kind).read())


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that stopped in both tasks, and its policy."""
    folder = tmp_path_factory.mktemp("lenient")
    run_study(spec(policy(folder, LENIENT)), folder / "s")
    return folder


def test_a_task_stops_when_its_rules_are_settled(lenient: Path) -> None:
    study = StudyFolder(lenient / "s")
    stops = stops_of(study, make_plan(spec(str(lenient / "policy.yaml"))))
    assert {task: stop.because for (_, task), stop in stops.items()} == {
        "probe_facts": "settled",
        "probe_prompts": "settled",
    }
    assert asked(lenient / "s", "probe_facts") < 152 == len(study.answers("dense", "probe_facts", "choices").read())
    assert not run_study(spec(str(lenient / "policy.yaml")), lenient / "s"), "nothing is left to do"


def test_rows_of_a_stopped_arm_say_where_it_stopped(lenient: Path) -> None:
    rows = [
        row for row in StudyFolder(lenient / "s").read_contrasts() if row.metric == "accuracy" and row.group == "all"
    ]
    (row,) = rows
    assert row.look is not None
    assert row.look.items == 152
    assert row.n == asked(lenient / "s", "probe_facts")
    assert row.p is None
    assert row.intervals is not None
    assert row.intervals.method == f"sequence, look {row.look.number} of 10"
    page = (lenient / "s" / "report.html").read_text()
    assert f"stopped at look {row.look.number} of 10" in page
    assert "the full run would say the same (at most 5% error)" in page
    low, high = row.look.low, row.look.high
    assert low is not None
    assert high is not None
    assert row.intervals.at95.low < low < (row.difference or 0) < high < row.intervals.at95.high


def test_the_gate_says_of_a_stopped_arm_what_made_it_stop(lenient: Path) -> None:
    result = run_gate(lenient / "s", str(lenient / "policy.yaml"))
    assert result.outcome == "passed"
    strict = policy(lenient.parent, UNTELLABLE)
    (check,) = run_gate(lenient / "s", strict).checks
    assert (check.outcome, check.open) == ("inconclusive", True), "another policy would have asked on"


def test_a_regression_ends_the_arm(tmp_path: Path) -> None:
    rules = policy(tmp_path, STERN)
    run_study(spec(rules), tmp_path / "s")
    study = StudyFolder(tmp_path / "s")
    (stop,) = stops_of(study, make_plan(spec(rules))).values()
    assert stop.because == "regression"
    assert not study.answers("other", "probe_prompts", "prompts").read()
    assert run_gate(tmp_path / "s", rules).outcome == "regression"
    (check,) = run_gate(tmp_path / "s", policy(tmp_path, LENIENT)).checks[1:]
    assert "not asked" in check.seen
    policy(tmp_path, STERN)
    assert not run_study(spec(rules), tmp_path / "s")


class Killed(BaseException):
    pass


def dying(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int) -> None:
    """Kill the process in place of one call of a function."""
    function: Callable[..., Any] = getattr(owner, name)
    left = calls

    def call(*given: Any, **named: Any) -> Any:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return function(*given, **named)

    monkeypatch.setattr(owner, name, call)


SLOW = pytest.mark.slow
MOMENTS = [
    *((AppendLog, "append", calls) for calls in (322, 341, 375, 530)),
    *((AppendLog, "finish", calls) for calls in (2, 5)),
    *(pytest.param(AppendLog, "append", calls, marks=SLOW) for calls in (323, 329, 330, 359, 361, 385, 536, 700)),
    *(pytest.param(AppendLog, "finish", calls, marks=SLOW) for calls in (3, 4)),
    *(pytest.param(manifest, "update", calls, marks=SLOW) for calls in (7, 9, 11, 13)),
]
"""Moments after dense was asked its 322 items, with the arm's looks between them."""


@pytest.mark.parametrize(("owner", "name", "calls"), MOMENTS)
def test_killed_at_any_moment_it_stops_at_the_same_place(
    owner: Any, name: str, calls: int, lenient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = spec(str(lenient / "policy.yaml"))
    with monkeypatch.context() as patch:
        dying(patch, owner, name, calls)
        with pytest.raises(Killed):
            run_study(rules, tmp_path / "s")
    run_study(rules, tmp_path / "s")
    assert tables(tmp_path / "s") == tables(lenient / "s")


@pytest.fixture(scope="module")
def whole(lenient: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study that was asked in the same order and never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "s"
    run_study(spec("", stop_early={"policy": str(lenient / "policy.yaml"), "finish": True}), folder)
    return folder


def test_finished_it_is_the_run_that_never_stopped(
    lenient: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = str(lenient / "policy.yaml")
    run_study(spec(rules), tmp_path / "s")
    finish = spec("", stop_early={"policy": rules, "finish": True})
    for owner, name, calls in ((AppendLog, "reopen", 1), (AppendLog, "append", 40), (AppendLog, "finish", 1)):
        with monkeypatch.context() as patch:
            dying(patch, owner, name, calls)
            with pytest.raises(Killed):
                run_study(finish, tmp_path / "s")
    run_study(spec(rules), tmp_path / "s")  # what is to be finished stays so
    assert tables(tmp_path / "s") == tables(whole)
    assert all(row.look is None for row in StudyFolder(tmp_path / "s").read_contrasts())
    assert stopped_places(lenient / "s")
    assert not stopped_places(tmp_path / "s")
    assert not run_study(finish, tmp_path / "s"), "nothing is left to do"


def test_the_folder_alone_says_what_is_to_be_finished(lenient: Path, tmp_path: Path) -> None:
    shutil.copytree(lenient / "s", tmp_path / "s")
    result = CliRunner().invoke(app, ["run", "--finish", "--out", str(tmp_path / "s")])
    assert result.exit_code == 0, result.output
    assert asked(tmp_path / "s", "probe_facts") == 152
    assert {path.stem for path in (tmp_path / "s" / "items").iterdir()} == {"probe_facts", "probe_prompts"}
    assert not stopped_places(tmp_path / "s")


def test_what_the_full_run_cannot_show_either_is_settled_late(tmp_path: Path) -> None:
    rules = policy(tmp_path, UNTELLABLE)
    run_study(spec(rules, suite=["probe_facts"]), tmp_path / "s")
    assert 152 / 2 < asked(tmp_path / "s", "probe_facts") < 152
    (check,) = run_gate(tmp_path / "s", rules).checks
    assert (check.outcome, check.open) == ("inconclusive", False)


def test_an_arm_that_answers_as_dense_does_never_stops(tmp_path: Path) -> None:
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=0"}]
    run_study(spec(policy(tmp_path, LENIENT), arms=arms, suite=["probe_facts"]), tmp_path / "s")
    assert asked(tmp_path / "s", "probe_facts") == 152
    assert run_gate(tmp_path / "s", str(tmp_path / "policy.yaml")).outcome == "inconclusive"


def test_another_policy_is_not_mixed_in(lenient: Path, tmp_path: Path) -> None:
    rules = policy(tmp_path, LENIENT)
    with pytest.raises(StoreError, match="the same stop_early"):
        run_study(spec(rules), lenient / "s")
    run_study(spec(rules, suite=["probe_facts"]), tmp_path / "s")
    policy(tmp_path, LENIENT.replace("0.3", "0.2"))
    with pytest.raises(StoreError, match="other rules than when the study began"):
        run_study(spec(rules, suite=["probe_facts"], seed=0, arms=[{"name": "third", "model": "fake"}]), tmp_path / "s")


def test_items_cannot_be_added_to_an_order(lenient: Path, tmp_path: Path) -> None:
    rules = str(lenient / "policy.yaml")
    run_study(spec(rules, suite=["probe_facts"], limit=60), tmp_path / "s")
    with pytest.raises(StoreError, match="cannot grow"):
        run_study(spec(rules, suite=["probe_facts"], limit=80), tmp_path / "s")


def test_rules_on_tasks_that_the_study_lacks_are_named(tmp_path: Path) -> None:
    rules = policy(tmp_path, LENIENT)
    assert on_no_task(make_plan(spec(rules))) == ""
    assert "rule 2 of" in on_no_task(make_plan(spec(rules, suite=["probe_facts"])))


def test_rules_that_need_more_items_than_the_task_has_are_named(tmp_path: Path) -> None:
    rules = policy(
        tmp_path, LENIENT.replace("rules:", "rules:\n  - {metric: accuracy, task: probe_facts, min_items: 60}", 1)
    )
    plan = make_plan(spec(rules, suite=["probe_facts"]))
    items = {"probe_facts": plan.tasks[0].draw()[:59]}
    assert [line for line in not_judged(plan, items) if "rule 1 " in line] == [
        "stop_early: rule 1 needs 60 items of probe_facts, which has 59"
    ]
    assert not any("rule 1 " in line for line in not_judged(plan, {"probe_facts": plan.tasks[0].draw()[:60]}))


def test_a_policy_without_a_rule_on_the_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no rule on any task"):
        run_study(spec(policy(tmp_path, LENIENT), suite=["probe_text"]), tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("group", "shared"), [("all", 1), ("worst", 1), ("subject=*", 1), ("*", 2)])
def test_a_rule_on_all_items_and_on_groups_takes_two_parts_of_the_error(
    tmp_path: Path, group: str, shared: int
) -> None:
    rules = policy(tmp_path, f"rules: [{{task: probe_facts, metric: accuracy, margin: 0.1, group: '{group}'}}]")
    assert sharing(read_policy(rules), make_plan(spec(rules))) == shared


# ---- the order of asking ----------------------------------------------------------------------------


def items_of(contexts: list[str]) -> list[Item]:
    return [Item(f"i/{n}", (), f"c{n % 3}", Choices(context, (" a", " b"))) for n, context in enumerate(contexts)]


def test_items_of_one_context_are_asked_together() -> None:
    planned = make_plan(spec("standard", suite=["probe_facts"])).tasks[0]
    items = items_of([f"context {n // 4}" for n in range(400)])
    order = asking_order(planned, items, 0)
    parts = list(order.parts())
    assert sorted(item.id for part in parts for item in part) == sorted(item.id for item in items)
    for part in parts:
        counts = {item.request.context: 0 for item in part if isinstance(item.request, Choices)}
        for item in part:
            assert isinstance(item.request, Choices)
            counts[item.request.context] += 1
        assert set(counts.values()) == {4}
    assert [item.id for item in order.until(len(parts) - 1)] == [item.id for item in items]
    assert asking_order(planned, items, 1).rank.tolist() != order.rank.tolist()
    assert asking_order(planned, items, 0).rank.tolist() == order.rank.tolist()


@pytest.mark.parametrize(("items", "together"), [(10, 1), (85, 1), (160, 4), (2000, 1), (2000, 4)])
def test_looks_are_a_batch_of_items_apart(items: int, together: int) -> None:
    planned = make_plan(spec("standard", suite=["probe_facts"])).tasks[0]
    order = asking_order(planned, items_of([f"context {n // together}" for n in range(items)]), 0)
    sizes = [len(part) for part in order.parts()]
    assert sum(sizes) == items
    assert all(size >= APART for size in sizes[:-1])
    assert order.looks[-1] == (order.of, items // together)
    assert (len(sizes) > 1) == (items >= 85), "a small task has one look, a larger one more"
    assert all(order.place_of(number) == place for place, (number, _) in enumerate(order.looks))
    with pytest.raises(StoreError, match="look 11, where this version"):
        order.place_of(11)


# ---- what never stops ------------------------------------------------------------------------------


def test_only_a_rule_on_a_formula_over_outcomes_keeps_a_task_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "APART", 1)  # the task has 52 items
    suite = [{"probe_refusal": {"template": "optional"}}]
    on_rate = policy(tmp_path, "rules: [{task: probe_refusal, metric: incoherent_rate, margin: 0.5, min_items: 5}]")
    run_study(spec(on_rate, suite=suite), tmp_path / "s")
    plan = make_plan(spec(on_rate, suite=suite))
    assert stops_of(StudyFolder(tmp_path / "s"), plan)
    assert not never_settled(plan)
    rows = {row.metric: row for row in StudyFolder(tmp_path / "s").read_contrasts() if row.group == "all"}
    assert rows["incoherent_rate"].intervals is not None
    assert rows["refusal_dprime"].intervals is None
    assert rows["refusal_dprime"].p is None
    assert (tmp_path / "s" / "report.html").exists()
    on_formula = policy(tmp_path, "rules: [{task: probe_refusal, metric: refusal_dprime, margin: 0.5, min_items: 5}]")
    plan = make_plan(spec(on_formula, suite=suite))
    assert any("counts of outcomes" in reason for reason in never_settled(plan)["probe_refusal"])
    run_study(spec(on_formula, suite=suite), tmp_path / "t")
    assert not stops_of(StudyFolder(tmp_path / "t"), plan)


def test_metrics_without_exact_bounds_are_named(tmp_path: Path) -> None:
    rules = policy(
        tmp_path,
        "rules: [{task: probe_text, metric: bits_per_byte, margin: 10%}, "
        "{task: probe_facts, metric: accuracy, margin: 1%}]",
    )
    for bounds, named in (("exact", {"probe_text": ["bits_per_byte (no exact bounds)"]}), ("normal", {})):
        stop = {"policy": rules, "bounds": bounds}
        plan = make_plan(spec("", suite=["probe_text", "probe_facts"], stop_early=stop))
        assert never_settled(plan) == named


def test_a_metric_is_named_whose_validity_has_no_exact_bounds() -> None:
    open_ended = mean("shown", lambda item, answer, score: 1.0, better="higher")
    bounded = mean("share", lambda item, answer, score: 1.0, better="higher", bounds=(0.0, 1.0))
    sure = replace(bounded, name="sure", valid_if={"share": 0.1})
    doubtful = replace(bounded, name="doubtful", valid_if={"shown": 0.1})
    metrics = {each.name: each for each in (open_ended, bounded, sure, doubtful)}
    assert why_not_exact(bounded, metrics) == why_not_exact(sure, metrics) == ""
    assert why_not_exact(doubtful, metrics) == "valid only if shown is, which has no exact bounds"


def test_a_rule_about_whole_tasks_keeps_them_running(tmp_path: Path) -> None:
    rules = policy(tmp_path, LENIENT + "  - {never: hidden harm}\n")
    run_study(spec(rules), tmp_path / "s")
    assert not stops_of(StudyFolder(tmp_path / "s"), make_plan(spec(rules)))


def test_arms_that_are_compared_with_each_other_are_asked_everything(tmp_path: Path) -> None:
    rules = policy(tmp_path, LENIENT)
    arms = [
        {"name": "other", "model": "fake", "engine": "fake:seed=1"},
        {"name": "third", "model": "fake", "engine": "fake:seed=2", "against": "other"},
    ]
    run_study(spec(rules, arms=arms), tmp_path / "s")
    assert not stops_of(StudyFolder(tmp_path / "s"), make_plan(spec(rules, arms=arms)))
    rows = StudyFolder(tmp_path / "s").read_contrasts()
    assert {row.against for row in rows if row.arm == "third"} == {"dense", "other"}
    assert not run_study(spec(rules, arms=arms), tmp_path / "s"), "nothing is left to do"
    finish = spec("", arms=arms, stop_early={"policy": rules, "finish": True})
    run_study(finish, tmp_path / "s")
    assert not run_study(finish, tmp_path / "s"), "nothing is left to do"


def test_an_arm_that_stopped_goes_on_when_another_is_compared_with_it(tmp_path: Path) -> None:
    rules = policy(tmp_path, LENIENT)
    other = {"name": "other", "model": "fake", "engine": "fake:seed=1"}
    run_study(spec(rules, arms=[other]), tmp_path / "s")
    assert stopped_places(tmp_path / "s")
    arms = [other, {"name": "third", "model": "fake", "engine": "fake:seed=2", "against": "other"}]
    assert run_study(spec(rules, arms=arms), tmp_path / "s")
    assert asked(tmp_path / "s", "probe_facts") == 152
    rows = StudyFolder(tmp_path / "s").read_contrasts()
    assert {(row.arm, row.against) for row in rows} == {("other", "dense"), ("third", "dense"), ("third", "other")}
    assert not stopped_places(tmp_path / "s")
    assert not run_study(spec(rules, arms=arms), tmp_path / "s"), "nothing is left to do"
    run_study(spec(rules, arms=arms), tmp_path / "at once")
    assert tables(tmp_path / "s") == tables(tmp_path / "at once")


def test_stopped_arms_are_not_compared_with_each_other_before_a_run(tmp_path: Path) -> None:
    rules = policy(tmp_path, LENIENT)
    arms = [{"name": name, "model": "fake", "engine": f"fake:seed={seed}"} for seed, name in enumerate("abc", start=1)]
    run_study(spec(rules, arms=arms), tmp_path / "s")
    study = StudyFolder(tmp_path / "s")
    recompare(study, against="b", arm="a")
    assert {row.against for row in study.read_contrasts()} == {"dense"}
    lines = list(refusals(read_study(study)))
    assert lines == [
        f"a is not compared with b yet: {arm} stopped early; `crushtest run` asks it the rest" for arm in "ab"
    ]
    assert run_study(spec(rules, arms=arms), tmp_path / "s")
    assert {row.arm for row in study.read_contrasts() if row.against == "b"} == {"a"}
    assert not list(refusals(read_study(study)))
    assert not run_study(spec(rules, arms=arms), tmp_path / "s"), "nothing is left to do"


def test_a_stopped_arm_beside_a_pair_leaves_nothing_to_do(tmp_path: Path) -> None:
    rules = policy(tmp_path, LENIENT)
    arms = [
        {"name": "other", "model": "fake", "engine": "fake:seed=1"},
        {"name": "third", "model": "fake", "engine": "fake:seed=2", "against": "other"},
        {"name": "alone", "model": "fake", "engine": "fake:seed=1"},
    ]
    run_study(spec(rules, arms=arms), tmp_path / "s")
    assert {arm for arm, _ in stops_of(StudyFolder(tmp_path / "s"), make_plan(spec(rules, arms=arms)))} == {"alone"}
    assert not run_study(spec(rules, arms=arms), tmp_path / "s")
    finish = spec("", arms=arms, stop_early={"policy": rules, "finish": True})
    assert run_study(finish, tmp_path / "s")
    assert not run_study(finish, tmp_path / "s")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"noise_floor": 1}, "noise_floor"),
        ({"arms": [{"recipe": "wanda:sparsity=0.5", "replicates": 2}], "model": "demo", "engine": "hf"}, "replicates"),
    ],
)
def test_what_looks_do_not_know_of_is_refused_beside_stopping(tmp_path: Path, more: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        make_plan(spec(policy(tmp_path, LENIENT), **more))
