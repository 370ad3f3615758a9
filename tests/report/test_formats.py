"""Numbers are printed as people read them, and nothing missing looks like zero."""

from __future__ import annotations

import pytest

from crushtest.report import formats


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.5, "rate", "50.0%"),
        (-0.0001, "rate", "0.0%"),
        (21.304, "perplexity", "21.30"),
        (395.04, "perplexity", "395.0"),
        (12345.6, "perplexity", "12,346"),
        (-0.1234, "score", "−0.123"),
        (1.1, "bits", "1.100"),
        (None, "rate", "undefined"),
        (float("inf"), "perplexity", "not finite"),
    ],
)
def test_values_are_shown_in_their_unit(value: float | None, unit: str, shown: str) -> None:
    assert formats.show_value(value, unit) == shown


@pytest.mark.parametrize(
    ("difference", "unit", "shown"),
    [(0.041, "rate", "+4.1"), (-0.041, "rate", "−4.1"), (-0.00001, "score", "0.000"), (None, "rate", "undefined")],
)
def test_differences_are_signed_and_have_no_negative_zero(difference: float | None, unit: str, shown: str) -> None:
    assert formats.show_difference(difference, unit) == shown


def test_an_interval_that_is_not_there_is_no_interval_around_zero() -> None:
    assert formats.show_interval(None, None, "rate") == ""
    assert formats.show_interval(-0.01, 0.02, "rate") == "−1.0 to +2.0"


def test_p_is_never_zero() -> None:
    assert formats.show_p(0.0) == "< 0.001"
    assert formats.show_p(0.0321) == "0.032"


@pytest.mark.parametrize(
    ("size", "shown"), [(269_030_400, "269 MB"), (1_340_000_000, "1.34 GB"), (512, "512 B"), (None, "not recorded")]
)
def test_sizes_are_decimal(size: int | None, shown: str) -> None:
    assert formats.show_bytes(size) == shown


def test_durations_have_the_unit_that_fits() -> None:
    assert [formats.show_seconds(s) for s in (3.21, 42.4, 185.0, None)] == [
        "3.2 s",
        "42 s",
        "3 min 5 s",
        "not recorded",
    ]


@pytest.mark.parametrize(
    ("half_width", "unit", "shown"),
    [
        (0.075, "rate", "±7.5 points"),
        (0.0, "rate", "±0.0 points"),
        (0.00002, "rate", "±2e-03 points"),
        (3.2e-7, "bits", "±3e-07 bits"),
        (1234.5, "perplexity", "±1,234"),
        (float("inf"), "perplexity", "±not finite"),
        (None, "rate", "undefined"),
    ],
)
def test_a_band_that_is_not_zero_never_looks_like_zero(half_width: float | None, unit: str, shown: str) -> None:
    assert formats.show_band(half_width, unit) == shown


@pytest.mark.parametrize(
    ("difference", "unit", "shown"),
    [
        (4.07e-7, "bits", "+4e-07"),
        (-0.00001, "rate", "−1e-03"),
        (0.041, "rate", "+4.1"),
        (0.0, "bits", "0.000"),
        (None, "rate", "undefined"),
    ],
)
def test_a_clear_difference_never_looks_like_zero(difference: float | None, unit: str, shown: str) -> None:
    assert formats.show_clear_difference(difference, unit) == shown
