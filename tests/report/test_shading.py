"""Hue, depth and hatching follow the verdict and the size of the effect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crushtest.report.shading import Shade, shade, verdict_text
from support.contrast_rows import make_contrast, with_columns

WORSE = make_contrast(
    arm="a", task="t", metric="m", group="all", dense=0.5, value=0.4, difference=-0.1, low=-0.15, high=-0.05, p=0.001,
    n=100, n_unscored=0, flips=10, flips_up=0, flips_down=10, better="higher", verdict="worse", effect=0.6,
)  # fmt: skip


def test_what_was_not_measured_has_a_shade_of_its_own() -> None:
    assert shade(None, "rate") == Shade("unmeasured", 0)
    missing = with_columns(WORSE, difference=None, low=None, high=None, verdict="undefined")
    assert shade(missing, "rate") == Shade("undefined", 0)
    assert shade(with_columns(WORSE, low=None, high=None, verdict="undefined"), "rate") == Shade("undefined", 0)


def test_no_clear_difference_is_noise_however_large() -> None:
    assert shade(with_columns(WORSE, verdict="no clear difference", effect=2.0), "rate") == Shade("noise", 0)


@pytest.mark.parametrize(("effect", "depth"), [(0.1, 1), (-0.3, 2), (0.6, 3), (0.8, 4)])
def test_depth_follows_the_standardized_effect(effect: float, depth: int) -> None:
    assert shade(with_columns(WORSE, effect=effect), "rate") == Shade("worse", depth)


@pytest.mark.parametrize(("ratio", "depth"), [(1.05, 1), (1.2, 2), (1 / 1.2, 2), (2.0, 3), (9.0, 4)])
def test_perplexities_go_by_their_ratio_either_way(ratio: float, depth: int) -> None:
    assert shade(with_columns(WORSE, ratio=ratio, effect=None), "perplexity") == Shade("worse", depth)


@pytest.mark.parametrize(("difference", "depth"), [(0.01, 1), (-0.1, 2), (0.2, 3), (0.5, 4)])
def test_scores_without_an_effect_go_by_their_difference(difference: float, depth: int) -> None:
    assert shade(with_columns(WORSE, difference=difference, effect=None), "score") == Shade("worse", depth)


def test_a_difference_within_the_noise_of_measuring_is_noise_and_says_so() -> None:
    contrast = replace(WORSE, verdict="within measurement noise", noise=0.2)
    assert shade(contrast, "rate") == Shade("noise", 0)
    assert verdict_text(contrast, "rate") == "within measurement noise, ±20.0 points"


def test_a_difference_must_pass_the_correction_over_all_that_is_shown() -> None:
    for group in ("age=old", "all"):
        alone = with_columns(WORSE, group=group, p_adjusted=0.2)
        assert shade(alone, "rate") == Shade("noise", 0)
        assert verdict_text(alone, "rate") == "clear alone, not after correction"
        assert shade(with_columns(alone, p_adjusted=0.04), "rate").tone == "worse"


def test_what_cannot_be_tested_is_no_difference_and_no_absence_of_one() -> None:
    few = replace(WORSE, verdict="inconclusive", reason="cannot be tested with 5 clusters", mde=None)
    assert shade(few, "rate") == Shade("undefined", 0)
    assert verdict_text(few, "rate") == "cannot be tested"


def test_no_clear_difference_reads_as_its_bound_where_there_is_one() -> None:
    held = with_columns(WORSE, verdict="no clear difference", low=-0.03, high=0.04, low90=-0.021, high90=0.0334)
    assert verdict_text(held, "rate") == "less than 3.4 points"
    assert verdict_text(with_columns(held, low90=None), "rate") == "no clear difference"
