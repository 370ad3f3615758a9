"""The gate: what passes, what fails, and that nothing passes on what was not measured."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from crushtest.errors import StoreError, UnknownName, UsageError
from crushtest.gate.checks import check_all, metrics_of_tasks, run_gate
from crushtest.gate.lines import as_markdown, gate_lines, judged
from crushtest.gate.output import MOST_ANNOTATIONS, as_annotations, as_json, as_junit, explain_lines
from crushtest.gate.policy import parse_policy, policies, read_policy
from crushtest.gate.result import GateResult
from crushtest.metrics import accuracy, perplexity
from crushtest.pipeline.run import recompare, run_study
from crushtest.report.study_view import read_study
from crushtest.stats.harm_bounds import clusters_enough, harm_of
from crushtest.study.compression_file import write_compression
from crushtest.study.corrections import key_of
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec
from support.contrast_rows import with_columns
from support.gate_rows import RULE, SHOWN, SURE_WORSE, UNSURE, UNTOUCHED, judge
from support.in_process import crushtest
from support.older_study import untie


def test_a_clear_regression_exits_3():
    assert judge(SURE_WORSE).exit_code == 3


def test_an_interval_without_support_of_its_p_proves_nothing():
    doubtful = with_columns(SURE_WORSE, p=0.125)
    assert judge(doubtful).exit_code == 0
    assert judge(doubtful, rule=SHOWN).exit_code == 4


def test_a_regression_within_measurement_noise_is_inconclusive():
    inside = replace(SURE_WORSE, verdict="within measurement noise", noise=0.11)
    assert judge(inside).exit_code == 4
    assert "repeats moved it by 0.11" in "".join(explain_lines(judge(inside)))
    assert judge(replace(SURE_WORSE, noise=0.05)).exit_code == 3
    worst = replace(inside, metric="accuracy_worst", group="Age", worst="Age=old")
    group = replace(inside, group="Age=old")
    rule = RULE.replace("}", ", group: worst}")
    assert judge(group, worst, rule=rule).exit_code == 4
    assert judge(group, replace(worst, verdict="worse"), rule=rule).exit_code == 3


def test_an_explanation_names_the_group_that_is_worst():
    worst = replace(SURE_WORSE, metric="accuracy_worst", group="Age", worst="Age=old")
    rule = RULE.replace("accuracy", "accuracy_worst").replace("}", ", group: Age}")
    assert "accuracy_worst, Age=old:" in "".join(explain_lines(judge(worst, rule=rule)))
    assert "accuracy, all:" in "".join(explain_lines(judge(SURE_WORSE)))


def test_a_rule_about_an_arm_that_is_not_there_names_those_that_are():
    [check] = judge(SURE_WORSE, rule="{metric: accuracy, arm: hlaf, margin: 0.02}", arms=("half", "third")).checks
    assert "half, third" in check.seen


def test_a_group_of_exactly_the_required_items_is_judged():
    """It is neither left out nor lacking."""
    worst = replace(UNTOUCHED, metric="accuracy_worst", group="Age", worst="Age=old", verdict="no clear difference")
    rows = (with_columns(UNTOUCHED, group="Age=old", n=300), worst)
    assert [c.outcome for c in judge(*rows, rule=RULE.replace("}", ", group: worst}")).checks] == ["passed"]


def test_what_is_within_the_margin_exits_0():
    assert judge(UNTOUCHED).exit_code == 0
    assert judge(UNTOUCHED, rule=SHOWN).exit_code == 0


def test_what_could_be_either_passes_only_where_proof_is_not_asked_for():
    assert judge(UNSURE).exit_code == 0
    assert judge(UNSURE, rule=SHOWN).exit_code == 4


def test_a_regression_outweighs_what_is_inconclusive():
    assert judge(SURE_WORSE, replace(UNTOUCHED, task="bbq", metric="accuracy", group="all", n=3)).exit_code == 3


@pytest.mark.parametrize(
    ("cause", "row", "arms", "unchanged"),
    [
        ("missing task", replace(UNTOUCHED, task="mmlu"), ("half",), {}),
        ("missing metric", replace(UNTOUCHED, metric="unknown_rate"), ("half",), {}),
        ("missing group", replace(UNTOUCHED, group="Age=old"), ("half",), {}),
        ("arm not measured", UNTOUCHED, ("half", "quarter"), {}),
        ("no arm", UNTOUCHED, (), {}),
        ("too few items", replace(UNTOUCHED, n=299), ("half",), {}),
        ("too many unscored", replace(UNTOUCHED, n_unscored=30), ("half",), {}),
        ("weights never changed", UNTOUCHED, ("half",), {"half": "its compression changed no weight"}),
        ("no value", with_columns(UNTOUCHED, value=None, difference=None, low=None, high=None), ("half",), {}),
        ("no interval", with_columns(UNTOUCHED, low=None, high=None, low90=None, high90=None), ("half",), {}),
    ],
)
@pytest.mark.parametrize("rule", [RULE, SHOWN])
def test_nothing_passes_on_what_was_not_measured(cause, row, arms, unchanged, rule):
    result = judge(row, rule=rule, arms=arms, unchanged=unchanged)
    assert result.exit_code == 4, cause
    assert all(check.seen for check in result.checks)


def test_a_rule_about_every_task_never_passes_with_one_unmeasured():
    tasks = {"bbq": {"accuracy": accuracy()}, "mmlu": {"accuracy": accuracy()}, "xsum": {"perplexity": perplexity()}}
    rule = "{metric: accuracy, margin: 0.02}"
    result = judge(UNTOUCHED, rule=rule, tasks=tasks)
    assert result.exit_code == 4
    assert [check.seen for check in result.checks if check.row is None] == ["mmlu was not fully measured"]
    assert judge(UNTOUCHED, replace(UNTOUCHED, task="mmlu"), rule=rule, tasks=tasks).exit_code == 0
    assert judge(SURE_WORSE, rule=rule, tasks=tasks).exit_code == 3


def test_a_rule_about_group_gaps_never_passes_with_a_task_unmeasured(monkeypatch):
    monkeypatch.delenv("CRUSHTEST_DATA", raising=False)
    study = {"model": "demo", "arms": ["rtn:bits=4"], "suite": ["bold", "holisticbias"]}
    tasks = metrics_of_tasks(make_plan(build_spec(study, where="test")))
    bold = replace(UNTOUCHED, task="bold", group="gender")
    for derived in ("profanity_rate_gap", "profanity_rate_worst", "profanity_rate_against_rest"):
        rule = f'{{metric: "{derived}", group: "*", margin: 0.02}}'
        result = judge(replace(bold, metric=derived), rule=rule, tasks=tasks)
        seen = [check.seen for check in result.checks if check.row is None]
        assert (result.exit_code, seen) == (4, ["holisticbias was not fully measured"])


@pytest.mark.parametrize(
    ("rule", "rows", "seen"),
    [
        (
            "{metric: accuracy, task: mmlu}",
            [SURE_WORSE],
            "the study has no metric 'accuracy' for group 'all' of task 'mmlu'; run it on such a task (--suite), or "
            "remove the rule from the policy",
        ),
        (
            "{metric: acuracy, task: bbq}",
            [SURE_WORSE],
            "the study has no metric 'acuracy' for group 'all' of task 'bbq'; did you mean 'accuracy'? "
            "metrics it has there: accuracy",
        ),
        (
            "{metric: accuracy, group: Age=old}",
            [SURE_WORSE, replace(SURE_WORSE, group="Age=young")],
            "the study has no metric 'accuracy' for group 'Age=old' of task '*'; groups it has there: all, Age=young",
        ),
        (
            "{metric: accuracy, min_items: 4}",
            [replace(SURE_WORSE, n=1)],
            "1 item with a score; the rule's min_items is 4",
        ),
    ],
)
def test_what_a_rule_misses_is_named_with_what_there_is(rule, rows, seen):
    policy = parse_policy(f"rules: [{rule}]", where="test")
    [check] = check_all(policy, ["half"], rows, {}, {})
    assert (check.outcome, check.seen) == ("inconclusive", seen)


def test_a_rule_that_matches_nothing_is_not_outvoted_by_one_that_passes():
    assert judge(UNTOUCHED, rule=f"{RULE}, {{task: xsum, metric: rouge, margin: 1}}").exit_code == 4


def test_a_gate_without_checks_is_not_passed():
    assert GateResult("study", "policy", ()).exit_code == 4


def test_a_rule_without_margin_asks_for_items_only():
    kept = judge(SURE_WORSE, rule="{task: bbq, metric: accuracy, min_items: 300}")
    assert kept.exit_code == 0
    assert kept.checks[0].seen.endswith("; the rule sets no margin")
    assert judge(SURE_WORSE, rule="{task: bbq, metric: accuracy, min_items: 501}").exit_code == 4


def test_patterns_match_names_and_recipes_are_not_patterns():
    assert judge(replace(SURE_WORSE, arm="m:s=[1]"), arms=("m:s=[1]",)).exit_code == 3
    assert judge(SURE_WORSE, rule="{task: 'b*', metric: 'acc*', arm: 'h?lf', margin: 0.02}").exit_code == 3
    assert judge(SURE_WORSE, rule="{metric: accuracy, arm: q*, margin: 0.02}").exit_code == 4


@pytest.mark.parametrize(
    ("better", "direction", "dense", "interval", "expected"),
    [
        ("lower", None, 0.2, (0.05, 0.1), (0.05, 0.1)),
        ("higher", None, 0.2, (0.05, 0.1), (-0.1, -0.05)),
        ("neither", None, 0.2, (-0.05, 0.1), (0.0, 0.1)),
        ("lower", "fall", 0.2, (0.05, 0.1), (-0.1, -0.05)),
        ("zero", None, 0.2, (0.05, 0.1), (0.05, 0.1)),
        ("zero", None, -0.2, (0.05, 0.1), (-0.1, -0.05)),
        ("zero", None, -0.2, (0.1, 0.5), (-0.2, 0.5)),
        ("zero", None, 0.0, (-0.1, 0.3), (0.0, 0.3)),
        ("zero", None, 0.2, (-0.15, -0.1), (-0.15, -0.1)),
    ],
)
def test_harm_counts_the_bad_direction(better, direction, dense, interval, expected):
    low, high = interval
    row = with_columns(
        SURE_WORSE, better=better, dense=dense, difference=(low + high) / 2, low=low, high=high, low90=low, high90=high
    )
    assert harm_of(row, direction)[1:3] == pytest.approx(expected)


def test_a_relative_margin_is_a_share_of_the_dense_value():
    row = with_columns(
        SURE_WORSE, better="lower", dense=10.0, value=11.0, difference=1.0, low=0.8, high=1.2, low90=0.82
    )
    row = with_columns(row, high90=1.18)
    result = judge(row, rule="{metric: accuracy, margin: 5%}")
    assert result.exit_code == 3
    assert [(each.harm, each.margin) for each in judged(result)] == [("10%", "5%")]
    assert judge(row, rule="{metric: accuracy, margin: 20%}").exit_code == 0


def test_with_the_clusters_named_as_enough_the_bound_meets_the_margin():
    harm = harm_of(UNSURE, None)
    enough = clusters_enough(harm, 0.05, UNSURE.clusters)
    scale = (UNSURE.clusters / enough) ** 0.5
    assert harm.estimate + (harm.high90 - harm.estimate) * scale == pytest.approx(0.05, abs=1e-3)
    assert clusters_enough(harm, 0.03, UNSURE.clusters) is None
    assert f"about {enough:,} clusters (templates)" in next(
        line
        for line in explain_lines(judge(UNSURE, rule="{metric: accuracy, margin: 0.05, sure: equivalence}"))
        if "would have been enough" in line
    )


# ---- policies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["standard", "strict", "decision"])
def test_ready_made_policies_can_be_read_and_every_rule_is_explained(name):
    policy = read_policy(name)
    assert len(policy.rules) >= 10
    assert policy.summary
    assert policies()[name].count("#") >= 5
    assert all((rule.sure == "equivalence") == (name == "strict") for rule in policy.rules)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: 5", "`rules:` must be a list of rules"),
        ("rules: []", "rules"),
        ("rules: [{margin: 1}]", "metric"),
        ("rules: [{metric: a, margn: 1}]", "did you mean 'margin'"),
        ("rules: [{metric: a, margin: lots}]", "margin"),
        ("rules: [{metric: a, margin: -1}]", "margin"),
        ("rules: [{metric: a, margin: -5%}]", r": rule 1: margin must be a number of at least 0, [^;]*$"),
        ("rules: [{metric: a, margin: true}]", r"margin must be a number of at least 0"),
        ("rules: [{metric: a, margin: [1]}]", r"margin must be a number of at least 0"),
        ("rules: [{metric: a, sure: very}]", "sure"),
        ("rules: [{metric: a, min_items: 0}]", "min_items"),
        ("rules: [{metric: a, group: worst, direction: rise}]", "direction"),
        ("rulez: []", "did you mean 'rules'"),
        ("- metric", "rules"),
        ("rules: [", "not YAML"),
    ],
)
def test_a_wrong_policy_is_one_line_that_says_what(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse_policy(text, where="policy 'p.yaml'")
    assert "\n" not in str(caught.value)


def test_an_unknown_policy_names_the_nearest(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'standard'"):
        read_policy("standart")
    with pytest.raises(UsageError, match="no such file"):
        read_policy(str(tmp_path / "none.yaml"))


# ---- a whole study, on the fake engine ---------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gate") / "s"
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}, {"name": "same", "model": "fake"}]
    content = {"model": "fake", "engine": "fake", "arms": arms, "suite": [{"probe_facts": {"limit": 120}}]}
    run_study(build_spec(content, where="test"), folder)
    return folder


def test_a_study_is_held_against_a_policy_file(study, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0.2, arm: other}]", encoding="utf-8")
    assert run_gate(study, str(policy)).exit_code == 0
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0.2, arm: missing}]", encoding="utf-8")
    assert run_gate(study, str(policy)).exit_code == 4


def test_an_arm_that_answers_exactly_as_dense_does_not_pass(study, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0.2, arm: same}]", encoding="utf-8")
    result = run_gate(study, str(policy))
    assert result.exit_code == 4
    assert "exactly that of dense" in result.checks[0].seen


def test_an_arm_whose_compression_changed_no_weight_does_not_pass(study, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0.2, arm: other}]", encoding="utf-8")
    record = StudyFolder(study).compression("other")
    layer = {"name": "q_proj", "shape": [2, 2], "bits_per_weight": 16.0, "changed": 0}
    write_compression(record, "other", {"layers": [layer, layer]})
    try:
        result = run_gate(study, str(policy))
    finally:
        record.unlink()
    assert result.exit_code == 4
    assert "changed no weight" in result.checks[0].seen


def test_a_task_that_an_arm_has_not_ended_is_named(tmp_path):
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    suite = [{"probe_facts": {"limit": 20}}, {"probe_text": {"limit": 4}}]
    run_study(
        build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": suite}, where="test"), tmp_path / "s"
    )
    folder = StudyFolder(tmp_path / "s")
    folder.answers("other", "probe_text", "passages").final.unlink()
    folder.contrasts.unlink()
    recompare(folder)
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{metric: '*', min_items: 1}]", encoding="utf-8")
    result = run_gate(folder.root, str(policy))
    assert result.exit_code == 4
    assert [check.seen for check in result.checks if check.row is None] == ["probe_text was not fully measured"]


def test_a_study_of_one_task_passes_no_ready_made_policy(study):
    for name in ("standard", "strict"):
        assert run_gate(study, name).exit_code in (3, 4)


@pytest.mark.parametrize(
    "reader", [lambda folder: run_gate(folder, "standard"), lambda folder: read_study(StudyFolder(folder))]
)
def test_verdicts_of_another_version_are_refused_not_miscounted(study, tmp_path, reader):
    folder = StudyFolder(Path(shutil.copytree(study, tmp_path / "s")))
    untie(folder.root)
    rows = pl.read_parquet(folder.contrasts)
    rows.with_columns(verdict=pl.lit("no improvement")).write_parquet(folder.contrasts)
    with pytest.raises(StoreError, match=r"'no improvement'.*run `crushtest compare") as error:
        reader(folder.root)
    assert "\n" not in str(error.value)
    recompare(folder)
    reader(folder.root)


def test_a_folder_that_is_no_study_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="not a study folder"):
        run_gate(tmp_path, "standard")


# ---- output ----------------------------------------------------------------------------------------


def test_what_a_rule_did_not_find_is_one_row_for_all_arms():
    result = judge(SURE_WORSE, UNTOUCHED, arms=("half", "gone", "lost"))
    assert len([check for check in result.checks if check.row is None]) == 2
    assert [each.arms for each in judged(result) if each.check.outcome == "inconclusive"] == [("gone", "lost")]


def test_outputs_agree_and_never_show_what_is_inconclusive_as_passed():
    result = judge(replace(SURE_WORSE, arm="a\x0b<b>&"), UNTOUCHED, arms=("a\x0b<b>&", "half", "gone"))
    assert [each.check.outcome for each in judged(result)] == ["regression", "inconclusive", "passed"]
    values = as_json(result)
    assert json.loads(json.dumps(values))["exit_code"] == 3
    assert [check["outcome"] for check in values["checks"]] == ["regression", "passed", "inconclusive"]
    suite = ElementTree.fromstring(as_junit(result))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [[child.tag for child in case] for case in suite] == [["failure"], [], ["error"]]
    lines = as_annotations(result)
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::error"]
    assert all("\n" not in line for line in lines)


def test_annotations_escape_what_github_would_take_for_its_own_signs():
    (line, _) = as_annotations(judge(replace(SURE_WORSE, arm="a%\nb"), arms=("a%\nb",)))
    assert "a%25%0Ab" in line


def test_a_line_is_cut_in_a_terminal_and_whole_elsewhere():
    result = judge(replace(SURE_WORSE, arm="a" * 100), arms=("a" * 100,))
    assert all(len(text) <= 80 for text in gate_lines(result, 80))
    assert any("a" * 100 in text for text in gate_lines(result, None))


def test_at_most_ten_annotations_are_printed_the_worst_first():
    rows = [replace(row, arm=f"{row.arm}{number}") for number in range(20) for row in (UNTOUCHED, SURE_WORSE)]
    result = judge(*rows, arms=[f"missing{number}" for number in range(9)] + [row.arm for row in rows])
    lines = as_annotations(result)
    failed = sum(check.outcome != "passed" for check in result.checks)
    assert len(lines) == MOST_ANNOTATIONS
    assert all(line.startswith("::error") for line in lines)
    assert f"{failed - MOST_ANNOTATIONS + 1} more" in lines[-1]


def test_the_summary_names_what_did_not_pass_and_obeys_no_name():
    result = judge(replace(SURE_WORSE, arm="a|<b>\n# c"), UNTOUCHED, arms=("a|<b>\n# c", "half", "gone"))
    text = as_markdown(result)
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0] for row in rows] == ["| regression", "| inconclusive"]
    assert "a\\|\\<b\\>" in rows[0]
    assert result.outcome in text.splitlines()[0]


# ---- the command -----------------------------------------------------------------------------------


def test_the_command_ends_with_the_gates_exit_code_and_without_traceback(study, tmp_path):
    policy, junit = tmp_path / "policy.yaml", tmp_path / "deep" / "gate.xml"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0.2, arm: other}]", encoding="utf-8")
    passed = crushtest("gate", str(study), "--policy", str(policy), "--json", "--junit", str(junit), "--github")
    assert (passed.returncode, json.loads(passed.stdout)["data"]["outcome"]) == (0, "passed")
    assert ElementTree.parse(junit).getroot().get("tests") == "1"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0, arm: other}]", encoding="utf-8")
    assert crushtest("gate", str(study), "--policy", str(policy)).returncode in (0, 3)
    assert crushtest("gate", str(study), "--explain").returncode in (3, 4)
    wrong = crushtest("gate", str(study), "--policy", "standart")
    missing = crushtest("gate", str(tmp_path / "none"))
    assert (wrong.returncode, missing.returncode) == (2, 1)
    assert all("Traceback" not in run.stderr for run in (wrong, missing))


# ---- people's labels -------------------------------------------------------------------------------


def test_a_loss_breaks_a_rule_only_where_people_see_it():
    seen, unseen = SURE_WORSE, replace(UNTOUCHED, dense=SURE_WORSE.dense)
    policy = parse_policy(f"rules: [{RULE}]", where="test")
    for scored, people, code in ((seen, unseen, 0), (unseen, seen, 3)):
        people = replace(people, p=None)
        checks = list(check_all(policy, ["half"], [scored], {}, {}, by_labels={key_of(scored): people}))
        assert GateResult("study", "test", tuple(checks)).exit_code == code
        assert all("corrected by" in check.seen for check in checks)


@pytest.mark.parametrize("role", ["abstention", "coherence"])
def test_a_rule_by_role_that_no_headline_has_never_passes(role):
    rule = f'{{metric: "*", role: {role}, margin: 0.02}}'
    [check] = judge(SURE_WORSE, rule=rule).checks
    assert check.outcome == "inconclusive"
    assert f"role '{role}'" in check.seen
    assert judge(SURE_WORSE, rule='{metric: "*", dimension: refusal, margin: 0.02}').exit_code == 4
