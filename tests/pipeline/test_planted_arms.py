"""Arms with planted losses: what hides harm, and nothing else, is called that on the page, in a query, in the gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crushtest.gate.checks import run_gate
from crushtest.report.arm_verdict import verdicts
from crushtest.report.page import matrix
from crushtest.report.page.html import render
from crushtest.report.status import lead, smallest_unharmed
from crushtest.report.study_view import read_study
from crushtest.stats.hidden_harm import HARM_WITH_LOSS, HIDDEN_HARM, NO_HARM_SHOWN
from crushtest.study.folder import StudyFolder
from crushtest.study.headlines import headings
from crushtest.study.query import ask
from support.planted_arms import DENSE_BYTES, planted_engine, planted_study

ARMS = {
    "hiding": "biased=0.6,noise=0.02",
    "broken": "biased=0.6,dearer=0.9,wrong=0.5",
    "gentle": "noise=0.02",
    "dull": "wrong=0.5,noise=0.02",
    "unclear": "biased=0.6,noise=0.02,wrong=0.02",
}
SIZES = {"hiding": 300, "broken": 200, "gentle": 700, "dull": 400, "unclear": 500}
EXPECTED = {
    "hiding": HIDDEN_HARM,
    "broken": HARM_WITH_LOSS,
    "gentle": NO_HARM_SHOWN,
    "dull": NO_HARM_SHOWN,
    "unclear": "inconclusive",
}
OUTCOMES = {
    "hiding": "regression",
    "broken": "passed",
    "gentle": "passed",
    "dull": "passed",
    "unclear": "inconclusive",
}


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[None]:
    with planted_engine():
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return planted_study(tmp_path_factory.mktemp("planted") / "study", ARMS, sizes=SIZES)


def totals(size: int) -> dict[str, int]:
    return {"dense_model_size_bytes": DENSE_BYTES, "compressed_model_size_bytes": size}


def test_planted_arms_get_the_verdict_that_was_planted(study: StudyFolder) -> None:
    view = read_study(study)
    assert {arm: each.verdict for arm, each in view.hidden.items()} == EXPECTED


def test_every_hidden_harm_is_clear_on_the_page_as_well(study: StudyFolder) -> None:
    view = read_study(study)
    table = matrix.overview(view)
    tones = {
        (row.arm.name, column.task.name): cell.tone
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    }
    harms = [(arm, row.task) for arm, each in view.hidden.items() for row in each.harms]
    assert {tones[key] for key in harms} == {"worse"}
    assert {arm for arm, _ in harms} == {"hiding", "broken", "unclear"}


def test_the_page_and_the_study_agree_on_the_headlines(study: StudyFolder) -> None:
    view = read_study(study)
    headed = headings(view.plan.tasks, study.read_contrasts())
    keys = {(row.arm, row.task, row.metric, row.group) for _, _, row in headed}
    assert keys == {(row.arm, row.task, row.metric, row.group) for row in view.headlines}


def test_the_page_names_what_hides_harm(study: StudyFolder) -> None:
    view = read_study(study)
    text = lead(view, verdicts(view))
    assert "Hidden harm in 1 variant (hiding)" in text
    page = render(view)
    assert page.count("while quality is shown to be within its margins") == 2
    assert "Hidden harm</button>" in page


def test_the_lead_names_the_smallest_unharmed_arm_or_says_why_none(study: StudyFolder) -> None:
    view = read_study(study)
    steady = [each for each in verdicts(view) if not each.depth]
    assert {each.arm.name for each in steady} == {"gentle"}
    assert "The smallest with nothing clearly worse is gentle, with 70% of dense's bytes." in lead(view, verdicts(view))
    smaller = replace(steady[0], arm=replace(steady[0].arm, name="smaller", facts={"totals": totals(600)}))
    assert smallest_unharmed([steady[0], smaller]).endswith("is smaller, with 60% of dense's bytes.")
    twin = replace(smaller, arm=replace(smaller.arm, name="twin"))
    both = smallest_unharmed([steady[0], smaller, twin])
    assert both.endswith("are smaller and twin, each with 60% of dense's bytes.")
    unsized = replace(steady[0], arm=replace(steady[0].arm, name="unsized", facts={}))
    assert smallest_unharmed([steady[0], unsized]).endswith("is not known: no size is recorded of unsized.")
    many = [replace(unsized, arm=replace(unsized.arm, name=f"arm{number}")) for number in range(60)]
    assert smallest_unharmed(many).endswith("recorded of arm0, arm1, arm2 and 57 other variants.")
    hurt = replace(view, arms=tuple(arm for arm in view.arms if arm.name != "gentle"))
    assert "No variant is named as the smallest" in lead(hurt, verdicts(hurt))


@pytest.mark.parametrize(
    ("rules", "outcomes"),
    [
        (
            "{never: hidden harm}",
            {
                "hiding": "regression",
                "broken": "passed",
                "gentle": "passed",
                "dull": "passed",
                "unclear": "inconclusive",
            },
        ),
        ("{never: hidden harm, arm: gentle}", {"gentle": "passed"}),
        (
            "{never: hidden harm, arm: hiding}, {metric: accuracy, margin: 0.001, arm: nobody, task: probe_facts}",
            {"hiding": "regression"},
        ),
        (
            "{never: hidden harm, arm: hiding}, {metric: accuracy, margin: 0.001, arm: hiding, task: probe_facts}",
            {"hiding": "inconclusive"},
        ),
        (
            "{never: hidden harm, arm: unclear}, {metric: accuracy, margin: 0.3, task: probe_facts}",
            {"unclear": "regression"},
        ),
    ],
)
def test_a_gate_stops_hidden_harm_by_its_own_margins(
    study: StudyFolder, tmp_path: Path, rules: str, outcomes: dict[str, str]
) -> None:
    (tmp_path / "policy.yaml").write_text(f"rules: [{rules}]")
    result = run_gate(study.root, str(tmp_path / "policy.yaml"))
    assert {check.arm: check.outcome for check in result.checks if check.number == 1} == outcomes


def test_perplexity_ranks_the_arms_of_a_study_of_eight(tmp_path: Path) -> None:
    """The arms get dearer and forget more from first to last, so the two rank them alike."""
    arms = {f"arm{n}": f"wrong={n / 10},dearer={n / 10}" for n in range(1, 9)}
    suite = ({"probe_facts": {"limit": 80}}, {"probe_text": {"limit": 12}})
    folder = planted_study(tmp_path / "eight", arms, suite=suite)
    [row] = ask(folder, "SELECT task, by_task, arms, correlation, low, high FROM rankings").rows
    assert row[:3] == ("probe_facts", "probe_text", 8)
    assert 0.6 < row[4] <= row[3] <= row[5] <= 1
    assert "Would perplexity have told?" in folder.report.read_text()


def test_a_smaller_study_ranks_nothing(study: StudyFolder) -> None:
    assert ask(study, "SELECT * FROM rankings").rows == []
    assert "Would perplexity have told?" not in render(read_study(study))


def test_a_query_lists_the_verdicts(study: StudyFolder) -> None:
    rows = ask(study, "SELECT arm, verdict, harms FROM hidden_harm WHERE against = 'dense' ORDER BY arm").rows
    assert {arm: verdict for arm, verdict, _ in rows} == EXPECTED
    assert {arm: harms for arm, _, harms in rows}["hiding"] == ["probe_qa bias_ambiguous all"]
