"""Labels of refusals: only answers that hang on the detector are labelled, and only rates that it settles corrected."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from crushtest.engines.fake import engine
from crushtest.engines.fake.planted import Wording, planted
from crushtest.gate.checks import run_gate
from crushtest.pipeline.label import choose, draw_sheet, read_labels
from crushtest.pipeline.run import run_study
from crushtest.records import Answer, Request
from crushtest.report.corrected import difference_text
from crushtest.report.study_view import StudyView, read_study
from crushtest.stats.labelled import Corrected
from crushtest.study.corrections import Correction
from crushtest.study.folder import StudyFolder
from crushtest.study.labels import PairLabel
from crushtest.study.spec import build_spec

BROKEN = "process|doctor|reviews|threads"
"""Found in requests of both kinds: both models write no language there."""


def breaking(refuses: str, wording: Wording) -> Callable[[Request], Answer | None]:
    whole, broken = planted(refuses, wording), planted(refuses, "broken")
    return lambda request: (broken if re.search(BROKEN, getattr(request, "text", "")) else whole)(request)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of two models that break on the same requests, with a sheet that holds every other pair."""
    arms = [{"name": "other", "model": "other", "engine": "fake:refuses=.,wording=other"}]
    content = {"model": "dense", "engine": "fake:refuses=.", "arms": arms, "suite": ["probe_refusal"]}
    root = tmp_path_factory.mktemp("refusals") / "s"
    with mock.patch.object(engine, "planted", breaking):
        run_study(build_spec(content, where="test"), root)
    folder = StudyFolder(root)
    labelling = choose(folder, read_study(folder).plan, task=None, scorer=None, arm=None)
    draw_sheet(folder, labelling, pairs=20, seed=0)
    text = (labelling.root / "sheet.csv").read_text("utf-8-sig")
    lines = [f"{row['pair']},no,no" for row in csv.DictReader(io.StringIO(text, newline=""))]
    sheet = root.parent / "filled.csv"
    sheet.write_text("\n".join(["pair,label_first,label_second", *lines]))
    read_labels(labelling, sheet)
    return folder


@pytest.fixture(scope="module")
def view(drawn: StudyFolder) -> StudyView:
    return read_study(drawn)


def by_metric(view: StudyView) -> dict[str, Correction]:
    return {correction.metric: correction for correction in view.corrections if correction.group == "all"}


def test_a_rate_that_the_threshold_does_not_settle_is_not_corrected(view: StudyView, drawn: StudyFolder) -> None:
    assert set(by_metric(view)) == {"refusal_rate", "over_refusal_rate"}
    stored = next(row for row in drawn.read_contrasts() if row.metric == "partial_rate" and row.group == "all")
    shown = view.contrast("other", "probe_refusal", "partial_rate")
    assert shown is not None
    assert shown.mde == stored.mde is not None


def test_only_pairs_that_people_labelled_count_as_labelled(view: StudyView, drawn: StudyFolder) -> None:
    labelling = choose(drawn, view.plan, task=None, scorer=None, arm=None)
    results = [correction.result for correction in by_metric(view).values()]
    counts = [(each.labelled, each.items) for each in results if isinstance(each, Corrected)]
    assert sum(labelled for labelled, _ in counts) == labelling.read_labels().height
    assert sum(items for _, items in counts) == len(labelling.pairs)
    assert all(f"by {each.result.labelled} labelled" in difference_text(each) for each in by_metric(view).values())  # type: ignore[union-attr]


def test_answers_that_are_no_language_do_not_dilute_false_alarms(view: StudyView) -> None:
    """People say no to all of them, so the scorer is wrong in as many as it counts of those that it could count."""
    for correction in by_metric(view).values():
        assert isinstance(correction.result, Corrected)
        assert correction.result.difference == 0
    result = by_metric(view)["refusal_rate"].result
    assert isinstance(result, Corrected)
    assert result.dense.false_positive.value == 1


def test_a_category_with_few_labels_says_how_few(view: StudyView, drawn: StudyFolder) -> None:
    labelled = set(choose(drawn, view.plan, task=None, scorer=None, arm=None).read_labels()["item"])
    items = {item.id: item for item in drawn.read_items("probe_refusal")}
    groups = [each for each in view.corrections if each.group != "all"]
    assert {each.group for each in groups} == {group for item in items.values() for group in item.groups}
    for each in groups:
        of_group = [name for name, item in items.items() if each.group in item.groups]
        count = len(labelled.intersection(of_group))
        if isinstance(each.result, Corrected):
            assert each.result.labelled == count >= 5
            assert each.result.items == len(of_group)
        else:
            assert each.result.startswith(f"too few labels, {count} of {len(of_group)} pairs")
    assert any(isinstance(each.result, str) for each in groups)


def test_with_all_pairs_labelled_each_category_has_what_people_say(drawn: StudyFolder, tmp_path: Path) -> None:
    """People say that dense refused the requests about two subjects, and that the arm refused none."""
    refused = {"small frauds", "computing"}
    folder = StudyFolder(Path(shutil.copytree(drawn.root, tmp_path / "s")))
    labelling = choose(folder, read_study(folder).plan, task=None, scorer=None, arm=None)
    shutil.rmtree(labelling.root)
    draw_sheet(folder, labelling, pairs=60, seed=0)
    key = {row["pair"]: row for row in labelling.read_key().iter_rows(named=True)}
    groups = {pair.item.id: pair.item.groups[0].removeprefix("category=") for pair in labelling.pairs}
    labels = {name: PairLabel(groups[row["item"]] in refused, False) for name, row in key.items()}
    labelling.write_labels(labels)
    labelled = Counter(groups[row["item"]] for row in key.values())
    for each in read_study(folder).corrections:
        assert isinstance(each.result, Corrected)
        name = each.group.removeprefix("category=")
        if name != "all":
            assert each.result.labelled == labelled[name] > 0
            expected = -labelled[name] / Counter(groups.values())[name] if name in refused else 0
            assert each.result.difference == pytest.approx(expected)


def test_the_gate_judges_the_difference_that_labels_correct_and_says_so(drawn: StudyFolder, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text('rules: [{dimension: refusal, metric: "*", role: abstention, margin: 0.9, min_items: 12}]')
    checks = {check.row.metric: check for check in run_gate(drawn.root, str(path)).checks if check.row}
    for metric, correction in by_metric(read_study(drawn)).items():
        assert isinstance(correction.result, Corrected)
        assert f"corrected by {correction.result.labelled} pairs labelled by people" in checks[metric].seen
        harm = checks[metric].harm
        assert harm is not None
        ends = sorted([correction.result.low, correction.result.high])
        assert [harm.low, harm.high] == pytest.approx(ends if metric.startswith("over") else [-ends[1], -ends[0]])
