"""Models whose refusals are known beforehand: none that refuses, answers or breaks throughout ever reads better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from crushtest.gate.checks import run_gate
from crushtest.gate.policy import policies
from crushtest.gate.result import GateResult
from crushtest.pipeline.run import run_study
from crushtest.records import DENSE, Completion
from crushtest.results import Contrast
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec
from crushtest.tasks.probes.probe_refusal import probe_refusal
from crushtest.tasks.shared.refusal_outcomes import WORDS

TASK = "probe_refusal"
IMPROPER = "doctor|reviews|signature|paying|ticket|cheat|diary|letters|colleague|neighbour|salary|secret"
"""Found in the twelve requests to refuse, and in none to answer."""
COMPUTING = "process|threads|PostgreSQL|servers|node_modules|git|stack|binary"
"""Found in the eight requests about computing."""

PLANTED = {
    "always": ".",
    "never": "(?!)",
    "by category": f"{IMPROPER}|{COMPUTING}",
    "rephrases": IMPROPER,
    "breaks": IMPROPER,
}
WORDING = {"rephrases": "other", "breaks": "broken"}


IMPERFECT = {
    "lax": "doctor|reviews|signature|paying|ticket|cheat",
    "prudish": f"{IMPROPER}|{COMPUTING}",
}
"""Dense models that could improve: one refuses half of the requests to refuse alone, the other some to answer too."""
GAINS = {
    ("lax", "always"): "refusal_rate",
    ("lax", "by category"): "refusal_rate",
    ("prudish", "never"): "over_refusal_rate",
    ("prudish", "breaks"): "over_refusal_rate",
}
"""The rate that a planted model betters by refusing, answering or breaking more, whatever it is asked."""


def run(root: Path, refuses: str) -> StudyFolder:
    arms = [
        {"name": name, "model": name, "engine": f"fake:refuses={refuses},wording={WORDING.get(name, 'plain')}"}
        for name, refuses in PLANTED.items()
    ]
    content = {"model": "dense", "engine": f"fake:refuses={refuses}", "arms": arms, "suite": [TASK]}
    run_study(build_spec(content, where="test"), root)
    return StudyFolder(root)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of a model that refuses what it should and of five that are planted."""
    return run(tmp_path_factory.mktemp("planted") / "s", IMPROPER)


@pytest.fixture(scope="module")
def against(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Contrast]]:
    """The planted models against dense models that are not perfect."""
    root = tmp_path_factory.mktemp("imperfect")
    return {name: list(run(root / name, refuses).read_contrasts()) for name, refuses in IMPERFECT.items()}


@pytest.fixture(scope="module")
def values(study: StudyFolder) -> Mapping[tuple[str, str, str], float | None]:
    return {(row.arm, row.metric, row.group): row.value for row in study.read_estimates()}


@pytest.fixture(scope="module")
def contrasts(study: StudyFolder) -> Mapping[tuple[str, str, str], Contrast]:
    return {(row.arm, row.metric, row.group): row for row in study.read_contrasts()}


def outcomes(study: StudyFolder, arm: str) -> dict[str, str]:
    task, answers = probe_refusal(), study.answers(arm, TASK, "prompts").read()
    scores = {scorer: study.scores(arm, scorer, TASK).read() for scorer in task.scorers}
    assert task.outcome is not None
    given = {}
    for item in study.read_items(TASK):
        answer = answers[item.id]
        assert isinstance(answer, Completion)
        given[item.id] = task.outcome(item, answer, {name: of[item.id] for name, of in scores.items()}).word
    return given


def test_dense_refuses_what_it_should_and_nothing_else(values: Mapping[tuple[str, str, str], float | None]) -> None:
    assert values[DENSE, "refusal_rate", "all"] == 1
    assert values[DENSE, "over_refusal_rate", "all"] == 0


def verdicts(rows: list[Contrast], arm: str) -> dict[str, str | None]:
    return {row.metric: row.verdict for row in rows if row.arm == arm and row.group == "all"}


@pytest.mark.parametrize(("dense", "arm"), GAINS)
def test_a_gain_that_is_paid_for_elsewhere_is_spurious(
    dense: str, arm: str, against: Mapping[str, list[Contrast]]
) -> None:
    assert verdicts(against[dense], arm)[GAINS[dense, arm]] == "spurious improvement"


@pytest.mark.parametrize("dense", IMPERFECT)
@pytest.mark.parametrize("arm", ["always", "never", "breaks"])
def test_no_model_that_ignores_the_request_is_better(
    dense: str, arm: str, against: Mapping[str, list[Contrast]]
) -> None:
    rows = [row for row in against[dense] if row.arm == arm]
    assert "worse" in [row.verdict for row in rows]
    assert not [(row.metric, row.group) for row in rows if row.verdict == "better"]


def test_a_model_that_refuses_as_it_should_is_better_than_imperfect_ones(
    against: Mapping[str, list[Contrast]],
) -> None:
    assert verdicts(against["lax"], "rephrases")["refusal_rate"] == "better"
    assert verdicts(against["prudish"], "rephrases")["over_refusal_rate"] == "better"


def test_a_model_that_refuses_or_answers_all_tells_nothing_apart(
    values: Mapping[tuple[str, str, str], float | None], contrasts: Mapping[tuple[str, str, str], Contrast]
) -> None:
    for arm in ("always", "never"):
        assert values[arm, "refusal_dprime", "all"] == 0
        difference = contrasts[arm, "refusal_dprime", "all"].difference
        assert difference is not None
        assert difference < -2
    assert contrasts["always", "over_refusal_rate", "all"].verdict == "worse"
    assert contrasts["never", "refusal_rate", "all"].verdict == "worse"


def test_a_category_refused_shows_in_its_row(
    values: Mapping[tuple[str, str, str], float | None], contrasts: Mapping[tuple[str, str, str], Contrast]
) -> None:
    assert values["by category", "over_refusal_rate", "category=computing"] == 1
    assert values["by category", "over_refusal_rate", "category=household"] == 0
    assert contrasts["by category", "over_refusal_rate", "all"].verdict == "worse"


def test_refusing_in_other_words_is_no_regression(
    study: StudyFolder, contrasts: Mapping[tuple[str, str, str], Contrast]
) -> None:
    assert outcomes(study, "rephrases") == outcomes(study, DENSE)
    rows = [row for key, row in contrasts.items() if key[0] == "rephrases" and key[1].startswith(("refusal", "over"))]
    measured = {row.metric for row in rows if row.group == "all" and row.difference is not None}
    assert measured >= {"refusal_rate", "over_refusal_rate", "refusal_dprime", "refusal_criterion"}
    assert not [row for row in rows if row.difference]
    assert not [row for row in rows if row.verdict in ("worse", "changed")]


def test_a_broken_model_is_incoherent_and_neither_safe_nor_compliant(
    study: StudyFolder, values: Mapping[tuple[str, str, str], float | None]
) -> None:
    rate = values["breaks", "incoherent_rate", "all"]
    assert rate is not None
    assert rate > 0.9
    assert set(outcomes(study, "breaks").values()) == {"incoherent"}


@pytest.mark.parametrize("arm", [DENSE, *PLANTED])
def test_outcomes_of_every_arm_add_up(arm: str, study: StudyFolder) -> None:
    counts = Counter(outcomes(study, arm).values())
    assert set(counts) <= set(WORDS)
    assert sum(counts.values()) == len(study.read_items(TASK)) == 52


# ---- at the gate -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gate(study: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> GateResult:
    """The rules on refusals of the policy `standard`, which select by dimension and role."""
    lines = [line for line in policies()["standard"].splitlines() if "dimension: refusal" in line]
    assert len(lines) == 2
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text("\n".join(["rules:", *lines]))
    return run_gate(study.root, str(path))


@pytest.mark.parametrize(
    ("arm", "broken"),
    [
        ("always", {"over_refusal_rate"}),
        ("never", {"refusal_rate"}),
        ("breaks", {"refusal_rate", "incoherent_rate"}),
        ("rephrases", set()),
    ],
)
def test_the_gate_stops_what_always_or_never_refuses_or_breaks(gate: GateResult, arm: str, broken: set[str]) -> None:
    checks = [check for check in gate.checks if check.arm == arm]
    assert {check.row.metric for check in checks if check.row} == {
        "refusal_rate", "over_refusal_rate", "incoherent_rate",
    }  # fmt: skip
    assert {check.row.metric for check in checks if check.outcome == "regression" and check.row} == broken
    assert replace(gate, checks=tuple(checks)).exit_code == (3 if broken else 0)
