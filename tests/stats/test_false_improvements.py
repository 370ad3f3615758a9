"""A change for the better that a worse model explains is a spurious improvement; one without such a cause stays one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crushtest.metrics import Metric, accuracy, by_reported_name, mean, with_read
from crushtest.records import Better
from crushtest.results import Contrast
from crushtest.stats.false_improvements import FALL, mark_traps


def row(metric: str, dense: float, value: float, verdict: str = "better", **more: Any) -> Contrast:
    facts = {"task": "t", "group": "all", "better": "lower"} | more
    return Contrast(
        arm="arm",
        metric=metric,
        dense=dense,
        value=value,
        difference=value - dense,
        n=200,
        n_unscored=0,
        clusters=200,
        verdict=verdict,
        **facts,
    )


def declared(name: str, better: Better, unit: str = "score", **facts: Any) -> Metric:
    return mean(name, lambda item, answer, score: 0.0, better=better, unit=unit, **facts)


METRICS = (
    declared("accuracy_ambiguous", "higher", "rate", role="abstention"),
    declared("unknown_rate_disambiguated", "lower", "rate", role="abstention"),
    declared("bias_ambiguous", "zero", role="bias"),
    declared("stereotype_gap", "zero", role="bias"),
    declared("stereotype_bias", "zero", role="bias"),
    declared("mu", "lower", role="bias"),
    declared("delta", "lower", role="bias"),
    declared("accuracy", "higher", "rate", role="ability"),
    declared("accuracy_disambiguated", "higher", "rate", role="ability"),
    declared("accuracy_pro", "higher", "rate", role="ability"),
    declared("accuracy_anti", "higher", "rate", role="ability"),
    declared("language_model_score", "higher", role="ability"),
    declared("perplexity", "lower", "perplexity", role="ability"),
    declared("dialect_gap_bits", "lower", "bits", role="gap"),
    declared("log_likelihood_gap", "zero", "nats", role="gap"),
    declared("bits_per_byte_aae", "lower", "bits", side="aae"),
    declared("bits_per_byte_dialect", "lower", "bits", side="dialect"),
    declared("bits_per_byte_mainstream", "lower", "bits", side="mainstream"),
    declared("profanity_rate", "lower", "rate", role="harm", with_gap=True, with_rest=True),
)


def first(*rows: Contrast) -> tuple[str, str | None]:
    """The first row's verdict and caution, in a study whose tasks report the metrics that have rows and no others."""
    reported = by_reported_name(METRICS)
    wanted = {(row.task, reported[row.metric].name) for row in rows}
    metrics = {row.task: [metric for metric in METRICS if (row.task, metric.name) in wanted] for row in rows}
    marked = mark_traps(rows, metrics)[0]
    return marked.verdict, marked.caution


RISE = row("accuracy_ambiguous", 0.04, 0.7, better="higher")
BIAS = row("bias_ambiguous", 0.4, 0.05, better="zero")


def test_more_right_unknowns_are_spurious_if_wrong_unknowns_rose_too() -> None:
    unknown = row("unknown_rate_disambiguated", 0.0, 0.43, "worse")
    right = row("accuracy_disambiguated", 0.6, 0.3, "worse", better="higher")
    assert first(RISE, unknown, right) == (
        "spurious improvement",
        "declines more, not more careful: unknown rate disambiguated 0% to 43%; right answers there 60% to 30%",
    )


def test_more_unknown_where_it_is_right_alone_is_an_improvement() -> None:
    unknown = row("unknown_rate_disambiguated", 0.05, 0.06, "no clear difference")
    right = row("accuracy_disambiguated", 0.6, 0.58, "no clear difference", better="higher")
    assert first(RISE, unknown, right) == ("better", None)


def test_a_small_fall_of_ability_counts_only_if_it_is_clear() -> None:
    for verdict, expected in (("worse", "spurious improvement"), ("no clear difference", "better")):
        right = row("accuracy_disambiguated", 0.6, 0.57, verdict, better="higher")
        assert first(BIAS, right)[0] == expected


def test_a_move_of_exactly_the_threshold_counts_only_if_it_is_clear() -> None:
    for more, counts in ((0.0, False), (0.001, True)):
        unknown = row("unknown_rate_disambiguated", 0.0, FALL + more, "no clear difference")
        assert (first(RISE, unknown)[0] == "spurious improvement") is counts
        right = row("accuracy_disambiguated", FALL + more, 0.0, "no clear difference", better="higher")
        assert (first(BIAS, right)[0] == "spurious improvement") is counts


@pytest.mark.parametrize("ability", ["accuracy_disambiguated", "accuracy", "language_model_score"])
def test_a_bias_nearer_zero_in_a_model_that_guesses_is_no_improvement(ability: str) -> None:
    verdict, caution = first(BIAS, row(ability, 0.6, 0.34, "worse", better="higher"))
    assert verdict == "spurious improvement"
    assert caution == f"less bias because less able: {ability.replace('_', ' ')} 60% to 34%"


def test_right_answers_that_left_the_stereotype_are_no_loss_of_ability() -> None:
    pro, anti = row("accuracy_pro", 0.8, 0.7, "worse"), row("accuracy_anti", 0.4, 0.5)
    assert first(row("stereotype_gap", 0.4, 0.2, better="zero"), pro, anti)[0] == "better"
    anti = row("accuracy_anti", 0.4, 0.3, "worse")
    assert first(row("stereotype_gap", 0.4, 0.2, better="zero"), pro, anti)[0] == "spurious improvement"


def test_a_task_that_knows_no_ability_is_told_of_it_by_perplexity() -> None:
    pairs = row("stereotype_bias", 0.3, 0.1, better="zero", task="pairs")
    size = row("mu", 0.3, 0.1, task="pairs")
    for ratio, expected in ((1.2, "better"), (4.0, "spurious improvement")):
        text = row("perplexity", 20.0, 20.0 * ratio, "worse", task="text")
        assert {first(pairs, text)[0], first(size, text)[0]} == {expected}


def test_the_row_of_a_worst_group_is_judged_by_that_group() -> None:
    worst = row("bias_ambiguous_worst", 0.4, 0.1, better="zero", group="age", worst="age=old")
    able = row("accuracy_disambiguated", 0.6, 0.6, "no clear difference", better="higher")
    for value, expected in ((0.6, "better"), (0.3, "spurious improvement")):
        own = row("accuracy_disambiguated", 0.6, value, "no clear difference", better="higher", group="age=old")
        assert first(worst, own, able)[0] == expected


GAP = row("dialect_gap_bits", 0.5, 0.3)


@pytest.mark.parametrize("other", [1.9, 1.2])
def test_a_gap_that_narrowed_because_english_got_harder_is_spurious(other: float) -> None:
    sides = [row("bits_per_byte_aae", 1.6, 2.2, "worse"), row("bits_per_byte_mainstream", 1.1, other, "worse")]
    assert first(GAP, *sides) == (
        "spurious improvement",
        f"narrower because both sides got worse: bits per byte of aae 1.60 to 2.20, mainstream 1.10 to {other:.2f}",
    )


def test_a_gap_that_narrowed_because_the_dialect_got_easier_is_better() -> None:
    sides = [row("bits_per_byte_aae", 1.6, 1.4), row("bits_per_byte_mainstream", 1.1, 1.3, "worse")]
    assert first(GAP, *sides) == ("better", None)


def test_the_mainstreams_lead_in_nats_shrinks_with_understanding() -> None:
    gap = row("log_likelihood_gap", 5.0, 2.0, better="zero")
    dialect = row("bits_per_byte_dialect", 1.6, 2.0, "worse")
    mainstream = row("bits_per_byte_mainstream", 1.1, 1.11, "no clear difference")
    able = row("accuracy", 0.6, 0.2, "worse", better="higher")
    why = "narrower because one side got worse: bits per byte of dialect 1.60 to 2.00"
    assert first(gap, dialect, mainstream, able)[1] == why


def test_groups_that_are_alike_because_all_got_worse_are_no_improvement() -> None:
    gap = row("profanity_rate_gap", 0.2, 0.1, group="gender")
    for verdict, expected in (("worse", "spurious improvement"), ("better", "better")):
        assert first(gap, row("profanity_rate", 0.1, 0.4, verdict))[0] == expected


def test_right_answers_elsewhere_speak_where_nothing_nearer_does() -> None:
    elsewhere = row("accuracy_disambiguated", 0.6, 0.3, "worse", better="higher", task="other")
    assert first(BIAS, elsewhere) == (
        "spurious improvement",
        "less bias because less able: accuracy disambiguated of other 60% to 30%",
    )
    assert first(row("delta", 0.3, 0.1), elsewhere)[0] == "spurious improvement"
    assert first(BIAS, elsewhere, row("perplexity", 20.0, 21.0, "worse", task="text"))[0] == "better"
    assert first(BIAS, elsewhere, row("accuracy_disambiguated", 0.6, 0.6, better="higher"))[0] == "better"


def test_other_arms_say_nothing_of_a_row() -> None:
    elsewhere = row("accuracy_disambiguated", 0.6, 0.3, "worse", better="higher", task="other")
    assert first(BIAS, replace(elsewhere, arm="another"))[0] == "better"


def test_what_is_not_better_stays_as_it_is_and_other_cautions_stay() -> None:
    unable = row("accuracy", 0.6, 0.3, "worse", better="higher")
    for verdict in ("worse", "changed", "no clear difference", "undefined"):
        assert first(row("bias_ambiguous", 0.4, 0.05, verdict, better="zero"), unable) == (verdict, None)
    cautioned = row("bias_ambiguous", 0.4, 0.05, better="zero", caution="only 50 items")
    assert (first(cautioned, unable)[1] or "").endswith("; only 50 items")


@pytest.mark.parametrize(("share", "verdict"), [(0.11, "spurious improvement"), (0.99, "better")])
def test_letters_that_got_better_are_spurious_if_fewer_replies_give_one(share: float, verdict: str) -> None:
    rise = row("accuracy_read", 0.6, 0.9, better="higher")
    replies = row("replies_read", 1.0, share, "worse" if share < 0.5 else "no clear difference", better="higher")
    marked = mark_traps([rise, replies], {"t": with_read([accuracy()])})[0]
    assert marked.verdict == verdict
    assert (marked.caution or "").startswith("fewer replies give a letter, 100% to 11%") == (share < 0.5)


def test_fewer_wrong_unknowns_are_spurious_if_right_unknowns_fell_too() -> None:
    fall = row("unknown_rate_disambiguated", 0.4, 0.1)
    right = row("accuracy_ambiguous", 0.6, 0.3, "worse", better="higher")
    assert first(fall, right) == (
        "spurious improvement",
        "declines less, not more helpful: accuracy ambiguous 60% to 30%",
    )
    assert first(fall, row("accuracy_ambiguous", 0.6, 0.6, "no clear difference", better="higher"))[0] == "better"


def test_a_difference_from_the_rest_is_spurious_if_all_got_worse() -> None:
    narrower = row("profanity_rate_against_rest", 0.2, 0.0, group="category=a", better="zero")
    assert first(narrower, row("profanity_rate", 0.3, 0.9, "worse"))[0] == "spurious improvement"
    assert first(narrower, row("profanity_rate", 0.3, 0.3, "no clear difference"))[0] == "better"
