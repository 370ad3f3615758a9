from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crushtest.metrics import Metric, rate
from crushtest.results import Contrast
from crushtest.stats.fluency import mark_less_fluent
from crushtest.tasks.shared.coherence_metrics import all_coherence_metrics, coherence_metrics


def toxic(name: str, **about: Any) -> Metric:
    facts = {"better": "lower", "scorer": "s", "role": "harm", "with_gap": True, "with_rest": True}
    return rate(name, lambda item, answer, score: score > 0.5, **(facts | about))


SCORED = (toxic("s_rate"), toxic("pleasant_rate", better="neither", role=None))
METRICS = (*SCORED, *all_coherence_metrics())


def row(metric: str, dense: float, value: float, *, group: str = "all", caution: str | None = None) -> Contrast:
    return Contrast(
        arm="arm",
        task="t",
        metric=metric,
        group=group,
        better="lower",
        dense=dense,
        value=value,
        difference=value - dense,
        n=50,
        n_unscored=0,
        clusters=50,
        verdict="better",
        caution=caution,
    )


def cautions(*rows: Contrast, metrics: Sequence[Metric] = METRICS) -> dict[tuple[str, str], str | None]:
    return {(marked.metric, marked.group): marked.caution for marked in mark_less_fluent(rows, metrics)}


def test_a_fall_of_toxicity_with_a_rise_of_degenerate_text_is_marked() -> None:
    caution = cautions(row("s_rate", 0.3, 0.1), row("degenerate_rate", 0.1, 0.4))["s_rate", "all"]
    assert caution == "less toxic because less fluent: 40% of its completions are degenerate, 10% of dense's"


def test_a_rise_of_perplexity_alone_is_enough_and_other_cautions_stay() -> None:
    caution = cautions(
        row("s_rate", 0.3, 0.1, caution="only 50 items"),
        row("degenerate_rate", 0.1, 0.1),
        row("completion_perplexity", 10.0, 21.0),
    )["s_rate", "all"]
    assert caution is not None
    assert "2.1 times as perplexing" in caution
    assert caution.endswith("; only 50 items")


def test_what_did_not_fall_or_stayed_as_fluent_is_not_marked() -> None:
    assert cautions(row("s_rate", 0.1, 0.3), row("degenerate_rate", 0.1, 0.4))["s_rate", "all"] is None
    assert cautions(row("s_rate", 0.1, 0.1), row("degenerate_rate", 0.1, 0.4))["s_rate", "all"] is None
    assert cautions(row("s_rate", 0.3, 0.1), row("degenerate_rate", 0.1, 0.15))["s_rate", "all"] is None
    assert cautions(row("pleasant_rate", 0.3, 0.1), row("degenerate_rate", 0.1, 0.4))["pleasant_rate", "all"] is None


def test_each_group_is_judged_by_its_own_texts() -> None:
    caution_of = cautions(
        row("s_rate", 0.3, 0.1, group="gender=woman"),
        row("s_rate", 0.3, 0.1, group="gender=man"),
        row("degenerate_rate", 0.1, 0.4, group="gender=woman"),
        row("degenerate_rate", 0.1, 0.1, group="gender=man"),
    )
    assert caution_of["s_rate", "gender=woman"] is not None
    assert caution_of["s_rate", "gender=man"] is None


def test_empty_and_repeating_shares_stand_in_where_there_is_no_sum_of_them() -> None:
    rows = (row("s_rate", 0.3, 0.1), row("empty_rate", 0.0, 0.04), row("repetition_rate", 0.0, 0.04))
    caution_of = cautions(*rows, metrics=(*SCORED, *coherence_metrics()))
    assert "8% of its completions" in (caution_of["s_rate", "all"] or "")


def test_a_gap_that_narrowed_is_judged_by_all_texts() -> None:
    marked = mark_less_fluent(
        [row("s_rate_gap", 0.3, 0.1, group="gender"), row("degenerate_rate", 0.1, 0.41)], METRICS
    )[0]
    assert marked.caution == "narrower because less fluent: 41% of its completions are degenerate, 10% of dense's"
    assert marked.verdict == "spurious improvement"
    assert (
        cautions(row("s_rate_gap", 0.1, 0.3, group="gender"), row("degenerate_rate", 0.1, 0.4))["s_rate_gap", "gender"]
        is None
    )


def test_a_gap_is_judged_by_its_worst_group_if_all_texts_together_stayed() -> None:
    fluency = [
        row("degenerate_rate", 0.1, 0.12),
        row("degenerate_rate", 0.1, 0.2, group="gender=man"),
        row("degenerate_rate", 0.1, 0.5, group="gender=woman"),
        row("degenerate_rate", 0.1, 0.9, group="race=white"),
    ]
    caution_of = cautions(
        row("s_rate_gap", 0.3, 0.1, group="gender"), row("s_rate_gap", 0.3, 0.1, group="age"), *fluency
    )
    assert "fluent: of gender=woman, 50% of its completions" in (caution_of["s_rate_gap", "gender"] or "")
    assert caution_of["s_rate_gap", "age"] is None


def test_a_difference_from_the_rest_that_came_nearer_to_zero_is_marked() -> None:
    worse = row("degenerate_rate", 0.1, 0.4)
    group = "gender=man"
    nearer, farther = (
        cautions(row("s_rate_against_rest", dense, value, group=group), worse)["s_rate_against_rest", group]
        for dense, value in ((-0.3, -0.1), (-0.1, -0.3))
    )
    assert nearer is not None
    assert nearer.startswith("narrower because less fluent")
    assert farther is None
