"""The noise floor: how far repeats of an arm move, and what lies inside."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.results import Flips, NoiseBand
from crushtest.stats import contrast, noise_bands, with_noise
from crushtest.stats.noise import APART, flips_within_noise
from crushtest.stats.verdicts import INCONCLUSIVE, UNCLEAR, UNDEFINED, VERDICTS, WITHIN_NOISE
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
        task="t",
        metric="accuracy",
        group="all",
        repeats=3,
        half_width=pytest.approx(0.1),
        flips=2,
        low=pytest.approx(-0.05),
        high=pytest.approx(0.1),
        flip_share=0.1,
        net_share=0.1,
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
    arm_again = noise_bands("t", [distance], items, (numbers([1, 2, 3]), {}), [(numbers([1, 2, 6]), {})], arm="arm")
    assert with_noise([row], arm_again)[0].noise == pytest.approx(1)


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
    wider = [
        NoiseBand(task="t", metric="accuracy", group="all", repeats=1, half_width=0.5, flips=10, low=-0.5, high=0.5)
    ]
    assert with_noise(plain, wider)[0].verdict == "within measurement noise"


def test_a_band_of_zero_changes_no_verdict():
    plain = rows(DENSE)
    assert [row.verdict for row in with_noise(plain, bands(DENSE).values())] == [row.verdict for row in plain]


def test_a_worst_group_has_the_band_of_the_group_it_names():
    plain = rows(flipped(0, 1, 2))
    (worst,) = [row for row in with_noise(plain, bands(flipped(0), flipped(10, 11)).values()) if row.worst]
    assert worst.worst == "a=x"
    assert worst.noise == pytest.approx(0.1)


# ---- the noise of both sides ------------------------------------------------------------------------

SIDES = ("arm", "other", "dense")
OUTCOMES = st.lists(st.booleans(), min_size=len(ITEMS), max_size=len(ITEMS))
NO_FLIPS = {"noise_flips": None, "noise_flip_share": None, "noise_net_share": None}
WIDTHS = st.dictionaries(st.sampled_from(SIDES), st.none() | st.floats(0, 1), max_size=3)


def pair(arm, other, names=("arm", "other")):
    answers = (right_or_wrong(other), {}, right_or_wrong(arm), {})
    settings = {"seed": 0, "replicates": 200, "against": names[1]}
    return contrast("t", [replace(ACCURACY, with_gap=True)], ITEMS, names[0], *answers, **settings)


def bands_of(widths):
    return [
        NoiseBand(
            arm=arm,
            task="t",
            metric=metric,
            group=group,
            repeats=1,
            half_width=width,
            flips=3,
            flip_share=3 / len(ITEMS),
            net_share=1.0,
            low=width and -width,
            high=width,
        )
        for arm, width in widths.items()
        for metric, group in [("accuracy", g) for g in ("all", "a=x", "a=y")] + [("accuracy_gap", "a")]
    ]


@settings(max_examples=25)
@given(OUTCOMES, OUTCOMES, WIDTHS)
def test_a_band_makes_no_verdict_harsher_and_proves_nothing(arm, other, widths):
    for plain, marked in zip(rows := pair(arm, other), with_noise(rows, bands_of(widths)), strict=True):
        assert replace(marked, noise=None, **NO_FLIPS, verdict=plain.verdict) == plain
        assert marked.verdict in (plain.verdict, WITHIN_NOISE)
        if plain.verdict in (INCONCLUSIVE, UNDEFINED):
            assert marked.verdict == plain.verdict


@settings(max_examples=25)
@given(OUTCOMES, OUTCOMES, WIDTHS)
def test_swapped_arms_have_the_same_band_and_lie_inside_it_alike(arm, other, widths):
    there = with_noise(pair(arm, other), bands_of(widths))
    back = with_noise(pair(other, arm, ("other", "arm")), bands_of(widths))
    seen = [
        {
            (row.metric, row.group): (row.noise, row.noise_flips, row.verdict == WITHIN_NOISE)
            for row in rows
            if row.worst is None  # the group harmed most is another one in the other direction
        }
        for rows in (there, back)
    ]
    assert seen[0] == seen[1]


@settings(max_examples=25)
@given(OUTCOMES, OUTCOMES, WIDTHS)
def test_repeats_of_the_second_side_only_widen_a_band(arm, other, widths):
    alone = {side: width for side, width in widths.items() if side == "arm"}
    rows = pair(arm, other)
    for fewer, more in zip(with_noise(rows, bands_of(alone)), with_noise(rows, bands_of(widths)), strict=True):
        assert (fewer.noise or 0) <= (more.noise or 0)
        assert more.verdict in (fewer.verdict, WITHIN_NOISE)


def test_the_repeats_of_a_third_arm_say_nothing_of_a_pair():
    plain = pair(flipped(0, 1, 2, 3, 4, 5, 6, 7), DENSE)
    assert with_noise(plain, bands_of({"dense": 1.0})) == plain


def flips_are_noise(arm, again, *, rows=slice(None), other=DENSE):
    """Whether the flips of an arm on some items are noise, after a repeat of it on all of them."""
    items = ITEMS[rows]
    plain = contrast(
        "t", [ACCURACY], items, "arm", *[right_or_wrong(other[rows]), {}], *[right_or_wrong(arm[rows]), {}], seed=0
    )
    (band,) = [
        band
        for band in noise_bands("t", [ACCURACY], ITEMS, (right_or_wrong(arm), {}), [(again, {})], arm="arm")
        if band.group == "all"
    ]
    row = next(row for row in with_noise(plain, [band]) if row.group == "all")
    return flips_within_noise(row)


def changed(arm, *rows):
    return right_or_wrong([outcome != (row in rows) for row, outcome in enumerate(arm)])


def test_flips_are_noise_up_to_as_many_as_a_repeat_of_either_side_changed():
    few, more = flipped(0, 10, 1), flipped(0, 10, 1, 2)
    assert flips_are_noise(few, changed(few, 0, 1, 2))
    assert not flips_are_noise(more, changed(more, 0, 1, 2))
    assert not flips_are_noise(DENSE, changed(DENSE, 0, 1, 2))


def test_flips_are_compared_as_shares_of_the_answers():
    arm = flipped(0, 1, 2, 10)
    assert flips_are_noise(arm, changed(arm, 3, 4, 5, 6, 7))
    assert not flips_are_noise(arm, changed(arm, 3, 4, 5, 6, 7), rows=slice(0, 5))


def test_flips_in_one_direction_are_not_the_noise_of_flips_in_both():
    arm = flipped(0, 1, 2)
    assert flips_are_noise(arm, changed(arm, 3, 4, 5))
    assert not flips_are_noise(arm, changed(arm, 3, 4, 10, 11))


@pytest.mark.parametrize("verdict", sorted(VERDICTS))
def test_the_flips_of_a_clear_difference_are_not_called_noise(verdict):
    (row, *_) = with_noise(pair(flipped(0, 10, 1), DENSE), bands_of({"arm": 0}))
    assert flips_within_noise(replace(row, verdict=verdict)) == (verdict in UNCLEAR)


@pytest.mark.parametrize(
    ("spreads", "repeated", "repeats", "chance"),
    [
        ((1.0, 0.0), SIDES[:2], 1, 0.50),
        ((1.0, 0.0), SIDES[:2], 3, 0.13),
        ((1.0, 0.5), SIDES[:2], 3, 0.11),
        ((1.0, 1.0), SIDES[:2], 1, 0.42),
        ((1.0, 1.0), SIDES[:2], 3, 0.12),
        ((1.0, 1.0), SIDES[:1], 3, 0.40),
    ],
)
def test_noise_alone_is_missed_as_often_as_the_documentation_says(spreads, repeated, repeats, chance):
    """Two arms that are truly alike, each measured once and repeated."""
    rng, studies = np.random.default_rng(0), 3000
    (plain,) = contrast("t", [number()], make_items([()] * 8), "arm", *[numbers(range(8)), {}] * 2, seed=0)
    plain = replace(plain, against="other", verdict="worse")
    missed = 0
    for _ in range(studies):
        values = {side: rng.normal(0, s, repeats + 1) for side, s in zip(SIDES[:2], spreads, strict=True)}
        given = [band_of_values(side, *values[side]) for side in repeated]
        (row,) = with_noise([replace(plain, difference=values["arm"][0] - values["other"][0])], given)
        missed += row.verdict == "worse"
    assert missed / studies == pytest.approx(chance, abs=0.03)


def band_of_values(arm, first, *again, metric="number"):
    """The band of an arm whose repeats measured these values."""
    moves = [value - first for value in again]
    return NoiseBand(
        arm=arm,
        task="t",
        metric=metric,
        group="all",
        repeats=len(again),
        half_width=max(map(abs, moves)),
        flips=None,
        low=min(0.0, *moves),
        high=max(0.0, *moves),
    )


NUMBERS = st.lists(st.floats(-100, 100), min_size=2, max_size=4)


@settings(max_examples=50)
@given(NUMBERS, NUMBERS)
def test_arms_whose_measurements_never_meet_are_not_within_noise(one, two):
    (plain,) = contrast("t", [number()], make_items([()] * 8), "arm", *[numbers(range(8)), {}] * 2, seed=0)
    bands = [band_of_values("arm", *one), band_of_values("other", *two)]
    plain = replace(plain, against="other", difference=one[0] - two[0], verdict="worse")
    (row,) = with_noise([plain], bands)
    apart = max(one) < min(two) - 1e-9 or max(two) < min(one) - 1e-9
    assert not (apart and row.verdict == WITHIN_NOISE)
    assert (APART in (row.caution or "")) == (row.verdict == "worse" and abs(plain.difference) <= (row.noise or 0) > 0)


@pytest.mark.parametrize("swapped", [False, True])
def test_noisy_damage_in_every_measurement_stays_worse_with_a_caution(swapped):
    (plain,) = contrast("t", [number()], make_items([()] * 8), "arm", *[numbers(range(8)), {}] * 2, seed=0)
    sides = {"difference": -40.0, "arm": "dense", "against": "arm"} if swapped else {"difference": 40.0}
    plain = replace(plain, verdict="worse", caution="few items", **sides)
    for repeats, verdict in (((110, 130, 105), "worse"), ((110, 15, 105), WITHIN_NOISE)):
        (row,) = with_noise([plain], [band_of_values("arm", 60, *repeats), band_of_values("dense", 20, 21, 20)])
        assert row.verdict == verdict
        assert row.caution == ("few items" if verdict == WITHIN_NOISE else f"few items; {APART}")


def test_an_arm_of_noise_is_within_it_and_one_of_damage_is_not():
    """Close calls that flip in every measurement of a noisy arm, 60 of 400 items; damage takes 100 right answers."""
    items, rng = make_items([()] * 400), np.random.default_rng(1)
    exact = np.arange(400) < 250

    def measured(damage=0):
        outcomes = exact & ~(np.arange(400) < damage)
        close = rng.choice(np.arange(190, 310), 60, replace=False)
        outcomes[close] = rng.random(60) < 0.5
        return right_or_wrong(outcomes.tolist()), {}

    dense = right_or_wrong(exact.tolist()), {}
    verdicts = {}
    for damage in (0, 100):
        arm, again = measured(damage), [measured(damage) for _ in range(3)]
        rows = contrast("t", [ACCURACY], items, "arm", *dense, *arm, seed=0)
        (row,) = with_noise(rows, noise_bands("t", [ACCURACY], items, arm, again, arm="arm"))
        verdicts[damage] = row.verdict, flips_within_noise(row)
    assert verdicts == {0: (WITHIN_NOISE, True), 100: ("worse", False)}
