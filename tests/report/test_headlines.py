"""A measure that would miss a fourfold rise heads nothing where there is a better one, and the page says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crushtest.metrics import Metric, accuracy, mean, rate
from crushtest.report import formats
from crushtest.report.card import write_card
from crushtest.report.headlines import unfit_notes
from crushtest.report.page import provenance
from crushtest.report.room import is_cramped, room_notes
from crushtest.report.study_view import StudyView, read_study
from crushtest.study.folder import StudyFolder
from crushtest.study.headlines import fourfold_missed, headline, smallest_rise
from crushtest.tasks.base import Task
from support.contrast_rows import make_contrast, with_columns


def scored(name: str, make: object, scorer: str, better: str) -> Metric:
    return make(name, lambda item, answer, score: score, better=better, scorer=scorer)  # type: ignore[operator, no-any-return]


RATE = scored("profanity_rate", rate, "profanity", "lower")
MEAN = scored("profanity_mean", mean, "profanity", "lower")
MOOD = scored("sentiment_mean", mean, "sentiment", "neither")
ROW = make_contrast(
    arm="a", task="t", metric="profanity_rate", group="all", dense=0.012, value=0.02, difference=0.008, low=-0.02,
    high=0.03, p=0.6, n=170, n_unscored=0, flips=2, flips_up=2, flips_down=0, better="lower",
    verdict="no clear difference", mde=0.04, clusters=170,
)  # fmt: skip


@pytest.mark.parametrize(
    ("dense", "items", "missed"),
    [(0.012, 170, True), (0.03, 170, False), (0.012, 1000, False), (0.0, 1000, True), (0.5, 5, True)],
)
def test_a_rate_is_unfit_where_these_items_would_miss_four_times_denses(dense: float, items: int, missed: bool) -> None:
    assert fourfold_missed(RATE, [replace(ROW, dense=dense, n=items, clusters=items)]) == missed


def test_a_measure_keeps_its_place_whatever_harm_it_found() -> None:
    fit = replace(ROW, dense=0.03)
    harmed = replace(fit, arm="b", value=0.9, difference=0.87, mde=0.2, verdict="worse")
    assert not fourfold_missed(RATE, [fit, harmed])


def test_only_measured_rates_of_harm_must_detect_a_fourfold_rise() -> None:
    assert not fourfold_missed(accuracy(), [replace(ROW, metric="accuracy")])
    assert not fourfold_missed(RATE, [with_columns(ROW, difference=None, p=None, mde=None, verdict="undefined")])
    assert not fourfold_missed(RATE, [])


def test_another_measure_of_the_same_scorer_takes_its_place() -> None:
    task = Task("prompts", list, (MOOD, RATE, MEAN), headline="profanity_rate")
    assert headline(task) == RATE
    assert headline(task, {"profanity_rate"}) == MEAN
    assert headline(replace(task, metrics=(MOOD, RATE)), {"profanity_rate"}) == RATE


def test_a_task_without_a_choice_is_headed_by_its_first_metric() -> None:
    assert headline(Task("prompts", list, (MOOD, RATE, MEAN))) == MOOD


def test_a_headline_that_the_task_does_not_report_is_refused() -> None:
    with pytest.raises(ValueError, match="profanity_rate"):
        Task("prompts", list, (MOOD,), headline="profanity_rate")


@pytest.fixture
def view(study: StudyFolder) -> StudyView:
    return read_study(study)


def test_the_page_says_which_measure_would_miss_a_fourfold_rise(view: StudyView) -> None:
    tasks = tuple(replace(task, unfit=frozenset({"profanity_rate"}) if task.name == "probe_prompts" else frozenset())
                  for task in view.tasks)  # fmt: skip
    marked = replace(view, tasks=tasks)
    [note] = unfit_notes(marked)
    assert note.startswith("Profanity would miss a fourfold rise in probe_prompts: dense has ")
    most = max((view.contrasts[arm.name, "probe_prompts", "profanity_rate", "all"] for arm in view.others[:3]),
               key=lambda row: row.n)  # fmt: skip
    rise = formats.show_bound(smallest_rise(most), "rate")
    assert f"a rise below {rise} points would often be missed with {most.n} items" in note
    assert note.endswith("It still heads the task, which has no other such measure.")
    assert note in provenance.notes(marked)


@pytest.mark.parametrize(
    ("better", "dense", "width", "cramped"),
    [
        ("higher", 0.03, 0.01, True),
        ("higher", 0.07, 0.01, False),
        ("higher", 0.07, 0.2, True),  # the interval reaches farther than anything could fall
        ("lower", 0.03, 0.01, False),
        ("lower", 0.97, 0.01, True),
        ("zero", 0.03, 0.01, False),
        ("neither", 0.03, 0.01, False),
    ],
)
def test_room_counts_in_the_direction_that_is_worse(better: str, dense: float, width: float, cramped: bool) -> None:
    row = with_columns(ROW, dense=dense, low=0.008 - width / 2, high=0.008 + width / 2, low90=0.008, high90=0.008)
    metric = replace(RATE, better=better)  # type: ignore[arg-type]
    assert is_cramped(row, metric) == cramped
    assert not is_cramped(row, replace(metric, bounds=None))


def test_page_and_card_name_the_headlines_that_dense_hardly_does(
    view: StudyView, study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not list(room_notes(view))
    rows = {
        key: replace(row, dense=0.015) if (row.task, row.metric) == ("probe_facts", "accuracy") else row
        for key, row in view.contrasts.items()
    }
    near = replace(view, contrasts=rows)
    [note] = room_notes(near)
    assert "1.5%" in note
    assert note in provenance.notes(near)
    monkeypatch.setattr("crushtest.report.card.read_study", lambda folder: near)
    assert all("1.5%" in path.read_text(encoding="utf-8") for path in write_card(study))
