"""The first sentence is corrected over all arms and headlines, and noise alone seldom makes it say anything."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.metrics import Array, perplexity
from crushtest.report import arm_verdict, card, status
from crushtest.report.claims import judge
from crushtest.report.study_view import StudyView, judged, read_study
from crushtest.stats.intervals import distribution
from crushtest.stats.joint_claims import corrected
from crushtest.stats.significance import JACKKNIFE, smallest_p
from crushtest.study.folder import StudyFolder
from crushtest.tasks.shared.dialect_metrics import bits_gaps, of_pair
from support.contrast_rows import make_contrast, with_columns

STUDIES = 1000
ROW = make_contrast(
    arm="a", task="t", metric="m", group="all", dense=0.5, value=0.4, difference=-0.1, low=-0.15, high=-0.05, p=0.01,
    n=100, n_unscored=0, flips=10, flips_up=0, flips_down=10, better="higher", verdict="worse", effect=0.6,
    clusters=100, low90=-0.14, high90=-0.06,
)  # fmt: skip


@pytest.fixture
def view(study: StudyFolder) -> StudyView:
    return read_study(study)


def with_headlines(view: StudyView, z: Array) -> StudyView:
    """The study with nothing but its headlines [arms, tasks], their standardized differences and what follows."""
    rows = {}
    for arm, mine in zip(view.others, z, strict=True):
        for task, score in zip(view.tasks, mine, strict=True):
            p = math.erfc(abs(score) / math.sqrt(2))
            clear = "better" if score > 0 else "worse"
            middle, half = 0.02 * float(score), 0.02 * 1.96
            rows[arm.name, task.name, task.headline.name, "all"] = with_columns(
                ROW, arm=arm.name, task=task.name, metric=task.headline.name, difference=middle, low=middle - half,
                high=middle + half, p=p, p_adjusted=None, verdict=clear if p <= 0.05 else "no clear difference",
            )  # fmt: skip
    return judged(replace(view, contrasts=rows, estimates={}))


def null_studies(shape: tuple[int, int]) -> Array:
    """[studies, arms, tasks] normal scores: arms share the dense answers, tasks share the model."""
    rng = np.random.default_rng(20)
    of_cell, of_arm, of_task = (rng.normal(size=(STUDIES, *part)) for part in (shape, (shape[0], 1), (1, shape[1])))
    scores: Array = math.sqrt(0.4) * of_cell + math.sqrt(0.2) * of_arm + math.sqrt(0.4) * of_task
    return scores


def test_noise_alone_seldom_makes_the_first_sentence_say_anything(view: StudyView) -> None:
    worse = changed = uncorrected = 0
    for z in null_studies((len(view.others), len(view.tasks))):
        study = with_headlines(view, z)
        verdicts = arm_verdict.verdicts(study)
        worse += not status.lead(study, verdicts).startswith("None of 4 variants got clearly worse")
        changed += any(verdict.tone in ("better", "changed") for verdict in verdicts)
        uncorrected += any(row.p is not None and row.p.value <= 0.05 for row in study.headlines)
    assert uncorrected > 0.3 * STUDIES  # there was something to be corrected
    assert worse <= 0.05 * STUDIES
    assert changed <= 0.05 * STUDIES
    assert worse > 0  # and it can still speak


def test_a_headline_clear_only_on_its_own_is_named_and_not_counted(view: StudyView) -> None:
    z = np.full((len(view.others), len(view.tasks)), -9.0)
    z[0] = [-2.3, 0.0, 0.0, 0.0, 0.0]
    study = with_headlines(view, z)
    verdicts = arm_verdict.verdicts(study)
    assert status.lead(study, verdicts).startswith("3 of 4 variants got clearly worse in at least one headline measure")
    assert verdicts[0].status == "no clear difference"
    [text] = [finding.text for finding in verdicts[0].unclear if finding.contrast.verdict == "worse"]
    assert text.startswith("changed clearly on its own, but not after correction for 20 comparisons (")
    assert "p 0.021" in text


def test_more_variants_make_the_same_headline_harder_to_claim() -> None:
    first = with_columns(ROW, p=0.01)
    few = corrected([first, with_columns(ROW, arm="b", p=0.5)])
    many = corrected([first, *(with_columns(ROW, arm=f"b{number}", p=0.5) for number in range(59))])
    assert few["a", "t", "m", "all"].p.adjusted == pytest.approx(0.02)
    assert many["a", "t", "m", "all"].p.adjusted == pytest.approx(0.6)


def test_what_could_not_be_tested_is_in_no_family() -> None:
    rows = [ROW, replace(ROW, arm="b", verdict="inconclusive"), with_columns(ROW, arm="c", p=None, verdict="undefined")]
    assert {key: row.p.adjusted for key, row in corrected(rows).items()} == {("a", "t", "m", "all"): 0.01}


def test_too_few_clusters_for_so_many_comparisons_are_inconclusive() -> None:
    """Eight clusters give a p of 2/256 at best: clear among six comparisons, and never among seven."""
    ruined = replace(with_columns(ROW, p=2 / 256), clusters=8)
    for count, verdict in ((6, "worse"), (7, "inconclusive")):
        rows = [replace(ruined, arm=f"a{number}") for number in range(count)]
        assert {row.verdict for row in corrected(rows).values()} == {verdict}
    assert "8 clusters are too few to settle one of 7 comparisons" in str(corrected(rows)["a0", "t", "m", "all"].reason)


def test_those_out_of_reach_do_not_enlarge_the_family_of_the_others() -> None:
    rows = [replace(ROW, arm=f"few{number}", clusters=6) for number in range(40)]
    rows += [replace(with_columns(ROW, p=0.02), arm="many", clusters=200)]
    judged_rows = corrected(rows)
    assert judged_rows["many", "t", "m", "all"].p.adjusted == pytest.approx(0.02)
    assert {row.verdict for key, row in judged_rows.items() if key[0] != "many"} == {"inconclusive"}


@given(st.lists(st.integers(6, 14), min_size=1, max_size=40))
def test_exactly_those_within_reach_can_come_out_clear(clusters: list[int]) -> None:
    """With every p as small as it can be, a row is clear if and only if it was not called inconclusive."""
    rows = [
        replace(with_columns(ROW, p=2.0 ** (1 - count)), arm=f"{n}", clusters=count) for n, count in enumerate(clusters)
    ]
    for row in corrected(rows).values():
        assert (row.verdict == "inconclusive") == (row.p.adjusted is None or row.p.adjusted > 0.05)


def test_headlines_are_one_family_and_all_measures_shown_another() -> None:
    rows = {("a", "t", metric, "all"): with_columns(ROW, metric=metric, p=0.01) for metric in "mnop"}
    judged_rows = judge(rows, headlines=[rows["a", "t", "m", "all"]], shown=rows.values())
    assert [judged_rows["a", "t", metric, "all"].p.adjusted for metric in "mn"] == [0.01, 0.04]


def test_other_measures_that_got_worse_do_not_enter_the_first_sentence(view: StudyView) -> None:
    quiet = with_headlines(view, np.zeros((len(view.others), len(view.tasks))))
    arm, task = view.others[0].name, "probe_qa"
    row = with_columns(ROW, arm=arm, task=task, metric="accuracy_disambiguated", p=1e-6)
    study = judged(replace(quiet, contrasts={**quiet.contrasts, (arm, task, row.metric, "all"): row}))
    verdicts = arm_verdict.verdicts(study)
    assert [finding.contrast.metric for finding in verdicts[0].other_worse] == ["accuracy_disambiguated"]
    assert (verdicts[0].depth, verdicts[0].status) == (0, "no clear difference")
    assert status.lead(study, verdicts).startswith("None of 4 variants got clearly worse in any headline measure")


def test_the_files_keep_their_own_correction(study: StudyFolder, view: StudyView) -> None:
    raw = {(c.arm, c.task, c.metric, c.group): c for c in study.read_contrasts()}
    assert any(view.contrasts[key].p != row.p for key, row in raw.items() if key[3] == "all")
    pooled = {key[1:3] for key in raw if key[3] == "all"}  # a metric without such a row is shown in its groups
    grouped = [key for key in raw if "=" in key[3] and key[1:3] in pooled]
    assert len(grouped) > 100
    assert all(view.contrasts[key].p == raw[key].p for key in grouped)


def test_page_card_and_terminal_count_the_same_comparisons(study: StudyFolder, view: StudyView) -> None:
    tested = [row for row in view.headlines if row.p is not None]
    assert view.comparisons == len(tested) > 10
    assert f"over all {len(tested)} comparisons" in status.lead(view, arm_verdict.verdicts(view))
    assert all(f"over all {len(tested)} comparisons" in path.read_text("utf-8") for path in card.write_card(study))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_corrected_p_is_never_smaller_and_keeps_the_order(values: list[float]) -> None:
    rows = [with_columns(ROW, arm=f"arm {number}", p=p) for number, p in enumerate(values)]
    judged_rows = corrected(rows)
    adjusted = [judged_rows[row.arm, row.task, row.metric, row.group].p.adjusted for row in rows]
    assert all(before <= after <= 1 for before, after in zip(values, adjusted, strict=True))
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_bits_that_rise_in_both_varieties_are_no_dialect_bias(view: StudyView) -> None:
    gap, *_ = bits_gaps(of_pair)
    assert not status.is_about(perplexity(), "language and dialect")
    assert status.is_about(gap, "language and dialect")
    assert status.is_about(perplexity(), "language modelling")
    z = np.full((len(view.others), len(view.tasks)), 0.0)
    names = [task.name for task in view.tasks]
    z[0, names.index("probe_dialect")] = -9.0  # headed by the bits per byte of one variety
    z[1, [names.index("probe_text"), names.index("probe_qa"), names.index("probe_dialect")]] = -9.0
    statuses = [verdict.status for verdict in arm_verdict.verdicts(with_headlines(view, z))]
    assert statuses[0].endswith("worse in general, in no single dimension")
    assert statuses[1].endswith("worse in representational harm and language modelling")


@pytest.mark.parametrize("clusters", [6, 8, 12, 40])
def test_no_jackknife_has_a_smaller_p_than_the_smallest(clusters: int) -> None:
    rng = np.random.default_rng(0)
    without = 1.0 + rng.normal(0, 1e-6, clusters)  # a difference of a million standard errors
    certain = distribution(1.0, np.array([]), without, np.ones(clusters, int), clusters, method="jackknife")
    assert not isinstance(certain, str)
    assert certain.p() == pytest.approx(smallest_p(clusters, JACKKNIFE))
    few = replace(with_columns(ROW, p=certain.p()), clusters=clusters)
    few = replace(few, p=replace(few.p, method=JACKKNIFE))
    assert next(iter(corrected([few]).values())).verdict == few.verdict


def test_an_inconclusive_row_has_no_corrected_p() -> None:
    ruined = replace(with_columns(ROW, p=2 / 256, p_adjusted=0.02), clusters=8)
    judged_rows = corrected([replace(ruined, arm=f"a{number}") for number in range(7)])
    assert {row.p.adjusted for row in judged_rows.values()} == {None}


def test_a_difference_within_noise_stays_so_however_few_the_clusters() -> None:
    quiet = replace(with_columns(ROW, p=0.9, p_adjusted=0.9, verdict="within measurement noise"), clusters=8)
    rows = corrected([replace(quiet, arm=f"a{number}") for number in range(7)]).values()
    assert {(row.verdict, row.p.adjusted) for row in rows} == {("within measurement noise", None)}
