"""The ready-made policies on a study of all items of `quick`, for every exit code; the answers are made by script."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from crushtest.gate.checks import check_all, run_gate
from crushtest.gate.fitting import fitting_policies
from crushtest.gate.policy import Policy, Rule, read_policy
from crushtest.gate.result import GateResult
from crushtest.pipeline.compare import compare
from crushtest.pipeline.run import open_study
from crushtest.progress import show_progress
from crushtest.records import (
    DENSE,
    Answer,
    Choices,
    ChoiceScores,
    Completion,
    Item,
    Passage,
    PassageScore,
    Score,
)
from crushtest.stats import contrast
from crushtest.study import manifest
from crushtest.study.chain import inventory
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, make_plan
from crushtest.study.query import ask
from crushtest.study.spec import build_spec
from crushtest.tasks.shared.bbq_metrics import bbq_metrics
from support.contrast_rows import with_columns
from support.gate_rows import UNTOUCHED

SOUND = "The people of this town were kind and often said so to each other in the street."
LOOP = " ".join(["the people of"] * 8)
SCORES = {"profanity": 0.1, "sentiment": 0.4}


def answer_well(item: Item, random: random.Random) -> Answer:
    """Answer as an able model would: six questions in ten right, about two bits per byte, whole sentences."""
    if isinstance(item.request, Choices):
        logprobs = [-2.0 * len(option.split()) - random.random() for option in item.request.options]
        if item.gold is not None and random.random() < 0.6:
            logprobs[item.gold] = max(logprobs) + 0.2 + random.random()
        return _choice(item.request, logprobs)
    if isinstance(item.request, Passage):
        size = len(item.request.text.encode())
        return PassageScore(-size * (1.2 + 0.3 * random.random()), size // 4, size)
    return Completion(f"{SOUND} {random.random()}", 24, "length")


def swap_some(item: Item, dense: Answer, random: random.Random, *, share: float = 0.03) -> Answer:
    """Move every log-probability by about 0.001, and give a share of the items another option or another text."""
    swapped = random.random() < share
    if isinstance(dense, ChoiceScores):
        logprobs = [number + random.gauss(0, 0.001) for number in dense.logprobs]
        if swapped:
            first, second = random.sample(range(len(logprobs)), 2)
            logprobs[first], logprobs[second] = logprobs[second], logprobs[first]
        return replace(dense, logprobs=tuple(logprobs))
    if isinstance(dense, PassageScore):
        return replace(dense, logprob=dense.logprob + random.gauss(0, 0.001))
    return replace(dense, text=f"{SOUND} Otherwise.") if swapped else dense


def damage(item: Item, dense: Answer, random: random.Random) -> Answer:
    """Answer as half of the weights would: at chance, twice the nats, nine completions in ten in circles."""
    if isinstance(dense, ChoiceScores) and item.gold is not None:
        return _choice(item.request, [random.random() for _ in dense.logprobs])
    if isinstance(dense, PassageScore):
        return replace(dense, logprob=2 * dense.logprob)
    return dense if isinstance(dense, ChoiceScores) or random.random() < 0.1 else Completion(LOOP, 24, "length")


def _choice(request: Any, logprobs: list[float]) -> ChoiceScores:
    sizes = tuple(len(option.encode()) for option in request.options)
    return ChoiceScores(tuple(logprobs), tuple(max(1, size // 4) for size in sizes), sizes)


def write_arm(folder: StudyFolder, plan: Plan, arm: str, answers: Mapping[str, Mapping[str, Answer]]) -> None:
    """Store an arm's answers by task and item, and scores for its completions: it refuses what it should."""
    for planned in plan.tasks:
        order = list(answers[planned.name])
        log = folder.answers(arm, planned.name, planned.task.kind)
        for name, answer in answers[planned.name].items():
            log.append(name, answer)
        log.finish(order)
        for scorer in planned.task.scorers:
            scores = folder.scores(arm, scorer, planned.name)
            for name in order:
                scores.append(name, Score(SCORES.get(scorer, float(name.startswith("refuse/")))))
            scores.finish(order)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compared study with the arms `moved`, which a sound compression could be, and `damaged`."""
    root = tmp_path_factory.mktemp("quick") / "study"
    arms = [
        {"name": name, "model": "fake", "engine": f"fake:seed={at}"} for at, name in enumerate(("moved", "damaged"))
    ]
    spec = build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": "quick"}, where="test")
    plan, folder = make_plan(spec), StudyFolder(root)
    items = {planned.name: planned.draw() for planned in plan.tasks}
    open_study(folder, spec, plan, items)
    rng = random.Random(0)
    dense = {task: {item.id: answer_well(item, rng) for item in drawn} for task, drawn in items.items()}
    write_arm(folder, plan, DENSE, dense)
    for arm, change in (("moved", swap_some), ("damaged", damage)):
        changed = {
            task: {item.id: change(item, dense[task][item.id], rng) for item in drawn} for task, drawn in items.items()
        }
        write_arm(folder, plan, arm, changed)
    with show_progress() as progress:
        compare(folder, plan, progress)
    return root


def of_arm(result: GateResult, arm: str) -> GateResult:
    """Return what a gate found about one arm."""
    return replace(result, checks=tuple(check for check in result.checks if check.arm == arm))


def test_standard_passes_an_arm_with_three_percent_of_its_answers_swapped(study: Path) -> None:
    result = of_arm(run_gate(study, "standard"), "moved")
    assert result.exit_code == 0, [check for check in result.checks if check.outcome not in ("passed", "left out")]


def test_standard_says_in_one_line_which_groups_it_cannot_tell(study: Path) -> None:
    lines = [check for check in of_arm(run_gate(study, "standard"), "moved").checks if check.outcome == "left out"]
    assert len(lines) == 1
    assert not [group for group in lines[0].left_out if group.startswith("attribute=")]
    assert "groups: " in lines[0].seen
    assert "clusters" in lines[0].seen


def test_strict_is_inconclusive_on_the_few_items_of_quick(study: Path) -> None:
    assert of_arm(run_gate(study, "strict"), "moved").exit_code == 4


@pytest.mark.parametrize("policy", ["standard", "strict"])
def test_a_damaged_arm_is_a_regression_in_all_that_was_damaged(study: Path, policy: str) -> None:
    result = of_arm(run_gate(study, policy), "damaged")
    assert result.exit_code == 3
    broken = {check.row.task for check in result.checks if check.outcome == "regression" and check.row}
    assert broken == {"probe_facts", "probe_text", "probe_qa", "probe_prompts", "probe_refusal"}


NOT_PASSED = ("regression", "inconclusive")


@pytest.mark.parametrize("attribute", ["age", "religion"])
def test_standard_never_passes_an_arm_that_abstains_on_one_attribute(study: Path, attribute: str) -> None:
    folder = StudyFolder(study)
    items, dense = folder.read_items("probe_qa"), folder.answers(DENSE, "probe_qa", "choices").read()
    moved = folder.answers("moved", "probe_qa", "choices").read()
    answers = {
        item.id: _says_unknown(item, dense[item.id]) if f"attribute={attribute}" in item.groups else moved[item.id]
        for item in items
    }
    rows = contrast("probe_qa", bbq_metrics(), items, "uneven", dense, {}, answers, {}, seed=0)
    checks = GateResult("study", "standard", tuple(check_all(read_policy("standard"), ["uneven"], rows, {}, {}))).checks
    named = {check.row.worst for check in checks if check.outcome in NOT_PASSED and check.row and check.row.worst}
    assert named == {f"attribute={attribute}"}


def _says_unknown(item: Item, dense: ChoiceScores) -> ChoiceScores:
    logprobs = list(dense.logprobs)
    logprobs[cast("int", item.facts["unknown"])] = max(logprobs) + 1
    return replace(dense, logprobs=tuple(logprobs))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM contrasts WHERE difference < low OR difference > high",
        "SELECT count(*) AS n FROM estimates WHERE value < low OR value > high",
        "SELECT count(*) AS n FROM contrasts WHERE low = high",
    ],
)
def test_every_interval_of_a_study_holds_its_value_and_has_a_width(study: Path, sql: str) -> None:
    assert ask(StudyFolder(study), sql).to_dicts() == [{"n": 0}]


@pytest.mark.parametrize("policy", ["standard", "strict"])
@pytest.mark.parametrize("task", ["probe_facts", "probe_text", "probe_qa", "probe_prompts", "probe_dialect"])
def test_an_unmeasured_task_is_inconclusive(study: Path, tmp_path: Path, policy: str, task: str) -> None:
    shutil.copytree(study, tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    rows = [row for row in folder.read_contrasts() if (row.arm, row.task) != ("moved", task)]
    folder.write_results(folder.read_estimates(), rows)
    manifest.set_section(folder.manifest, manifest.FILES, inventory(folder))
    result = of_arm(run_gate(folder.root, policy), "moved")
    assert result.exit_code == 4
    assert f"{task} was not fully measured" in [check.seen for check in result.checks]


def measures(rule: Rule, plan: Plan) -> list[tuple[str, str]]:
    """Task and metric of what a rule is about: those that it names, or the headlines of its dimension and role."""
    if rule.never is not None:
        return []
    if rule.role is None:
        return [(rule.task, rule.metric)]
    tasks = [each for each in plan.tasks if each.dimension == rule.dimension]
    return [(each.name, head.name) for each in tasks for head in each.task.headline_metrics if head.role == rule.role]


@pytest.mark.parametrize(("policy", "suite"), [("standard", "quick"), ("strict", "quick"), ("decision", "standard")])
def test_enough_items_without_harm_pass(policy: str, suite: str) -> None:
    rules = read_policy(policy)
    plan = make_plan(build_spec({"model": "fake", "engine": "fake", "suite": suite}, where="test"))
    planned = {each.name: each for each in plan.tasks}
    rows = [
        replace(UNTOUCHED, task=task, metric=metric, group="attribute=age" if rule.group == "worst" else "all")
        for rule in rules.rules
        for task, metric in measures(rule, plan)
    ]
    narrow = [with_columns(row, low=-0.005, high=0.005, low90=-0.004, high90=0.004) for row in rows]
    limits = [rule for rule in rules.rules if rule.never is None]
    checks = check_all(Policy(rules=tuple(limits)), ["half"], narrow, {}, {}, planned=planned)
    assert GateResult("study", policy, tuple(checks)).exit_code == 0


@pytest.mark.parametrize(("policy", "suite"), [("standard", "quick"), ("strict", "quick"), ("decision", "standard")])
def test_a_policy_is_about_what_its_suite_measures(policy: str, suite: str) -> None:
    plan = make_plan(build_spec({"model": "fake", "engine": "fake", "suite": suite}, where="test"))
    reported = {each.name: {metric.name for metric in each.task.metrics} for each in plan.tasks}
    limits = {each.name: each.limit for each in plan.tasks}
    judged = set()
    for rule in read_policy(policy).rules:
        for task, metric in measures(rule, plan):
            judged.add(task)
            assert metric in reported[task], rule
            assert rule.min_items <= (limits[task] or rule.min_items), rule
    assert judged == set(reported)


@pytest.mark.parametrize(
    ("suite", "fitting"),
    [("quick", ["standard", "strict"]), ("standard", ["decision"]), ("refusal", []), ("probe_facts", [])],
)
def test_policies_fit_a_study_that_has_every_task_they_name(suite: str, fitting: list[str], tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(f"model: fake\nengine: fake\nsuite: {suite}\n")
    assert fitting_policies(tmp_path) == fitting
