"""The noise floor: how far repeats of the dense arm move, and what lies inside."""

from dataclasses import replace

import pytest

from crushtest.results import Flips, NoiseBand
from crushtest.stats import contrast, noise_bands, with_noise
from crushtest.tasks.shared.divergence_metrics import divergence_metrics
from support.building import ACCURACY, make_items, number, numbers, right_or_wrong

ITEMS = make_items([("a=x",)] * 10 + [("a=y",)] * 10)
DENSE = [True] * 10 + [False] * 10


def flipped(*rows: int) -> list[bool]:
    return [outcome != (row in rows) for row, outcome in enumerate(DENSE)]


def bands(*repeats):
    bands = noise_bands(
        "t",
        [replace(ACCURACY, with_gap=True)],
        ITEMS,
        (right_or_wrong(DENSE), {}),
        [(right_or_wrong(r), {}) for r in repeats],
    )
    return {(band.metric, band.group): band for band in bands}


def test_the_band_is_the_largest_move_of_any_repeat_in_every_group():
    band_of = bands(flipped(0), flipped(10, 11), flipped())
    assert band_of["accuracy", "all"] == NoiseBand(
        task="t", metric="accuracy", group="all", repeats=3, half_width=pytest.approx(0.1), flips=2
    )
    assert band_of["accuracy", "a=x"].half_width == pytest.approx(0.1)
    assert band_of["accuracy", "a=y"].half_width == pytest.approx(0.2)
    assert band_of["accuracy_gap", "a"].half_width == pytest.approx(0.2)


def test_flips_that_cancel_are_still_counted():
    band_of = bands(flipped(0, 10))
    assert (band_of["accuracy", "all"].half_width, band_of["accuracy", "all"].flips) == (0.0, 2)


def test_a_repeat_without_answers_gives_no_band_and_no_zero():
    (band,) = noise_bands("t", [number()], make_items([()] * 3), (numbers([1, 2, 3]), {}), [({}, {})])
    assert band.half_width is None


def test_what_is_measured_against_dense_itself_has_no_band_and_no_zero():
    distance, items = number("kl", relative_to_dense=True), make_items([()] * 3)
    same = (numbers([0, 0, 0]), {})
    assert {band.half_width for band in noise_bands("t", [distance], items, same, [same, same])} == {None}
    assert all(metric.relative_to_dense for metric in divergence_metrics(True))
    (row,) = contrast("t", [distance], items, "arm", *same, numbers([1, 2, 3]), {}, seed=0)
    (marked,) = with_noise([row], noise_bands("t", [distance], items, same, [same]))
    assert marked.noise is None


def test_a_gap_has_no_flips_in_its_band_as_it_has_none_in_its_contrast():
    assert bands(flipped(0))["accuracy_gap", "a"].flips is None
    gaps = contrast(
        "t",
        [replace(ACCURACY, with_gap=True)],
        ITEMS,
        "arm",
        right_or_wrong(DENSE),
        {},
        right_or_wrong(DENSE),
        {},
        seed=0,
    )
    assert {row.flips for row in gaps if row.metric == "accuracy_gap"} == {Flips()}


def rows(arm):
    return contrast("t", [ACCURACY], ITEMS, "arm", right_or_wrong(DENSE), {}, right_or_wrong(arm), {}, seed=0)


def test_a_contrast_inside_its_band_says_so_others_keep_their_verdict():
    plain = rows([False] * 8 + [True] * 2 + [False] * 10)
    row_of = {row.group: row for row in with_noise(plain, bands(flipped(10, 11)).values())}
    assert row_of["all"].noise == pytest.approx(0.1)
    assert row_of["all"].verdict == "worse"
    wider = [NoiseBand(task="t", metric="accuracy", group="all", repeats=1, half_width=0.5, flips=10)]
    assert with_noise(plain, wider)[0].verdict == "within measurement noise"


def test_a_band_of_zero_changes_no_verdict():
    plain = rows(DENSE)
    assert [row.verdict for row in with_noise(plain, bands(DENSE).values())] == [row.verdict for row in plain]


def test_a_worst_group_has_the_band_of_the_group_it_names():
    plain = rows(flipped(0, 1, 2))
    (worst,) = [row for row in with_noise(plain, bands(flipped(0), flipped(10, 11)).values()) if row.worst]
    assert worst.worst == "a=x"
    assert worst.noise == pytest.approx(0.1)
