"""The tasks in other languages where little or nothing was asked or answered: undefined with a reason, and never 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.metrics import Metric
from crushtest.records import Answer, Choices, ChoiceScores, Completion, Item, Prompt, Score, Unanswered
from crushtest.registry import TASKS
from crushtest.results import Estimate
from crushtest.stats import estimate
from crushtest.tasks.shared.parallel_metrics import parallel_metrics
from support.respondents import choosing

UNKNOWN = 2
TIED = ChoiceScores((-1.0, -1.0, -1.0), (1, 1, 1), (1, 1, 1))
SETS: list[tuple[str, dict[str, Any]]] = [
    ("mbbq", {"language": "en"}),
    ("mbbq", {"language": "es", "control": True}),
    ("esbbq", {}),
    ("cabbq", {"unknown": "every"}),
    ("kobbq", {}),
]
IDS = ["-".join([name, *map(str, options.values())]) for name, options in SETS]
WITHOUT_CHOICE = st.sampled_from([TIED, Unanswered("too long"), None])


def rows_of(
    metrics: Sequence[Metric],
    items: Sequence[Item],
    answers: Mapping[str, Answer],
    scores: Mapping[str, Mapping[str, Score]] = {},
) -> list[Estimate]:
    """All rows, after a look at what holds of any: a number that something was divided by, or a reason."""
    rows = estimate("any", metrics, items, "arm", answers, scores, seed=0, replicates=20)
    bounds = {metric.name: metric.bounds for metric in metrics}
    assert {row.metric for row in rows} >= set(bounds)
    for row in rows:
        if row.value is None:
            assert row.reason, row
            assert (row.low, row.high) == (None, None), row
            continue
        assert row.n > 0, row
        assert math.isfinite(row.value), row
        low, high = bounds.get(row.metric) or (-math.inf, math.inf)
        assert low <= row.value <= high, row
        assert row.clusters > 1 or (row.low is None and row.reason), row
    return rows


def of_all(rows: Sequence[Estimate]) -> dict[str, float | None]:
    return {row.metric: row.value for row in rows if row.group == "all"}


@st.composite
def questions(draw: st.DrawFn) -> Item:
    """A question about two people, or its English counterpart, with whatever it may lack."""
    condition, biased = draw(st.sampled_from(["ambiguous", "disambiguated"])), draw(st.sampled_from([0, 1, None]))
    gold = UNKNOWN if condition == "ambiguous" else draw(st.sampled_from([0, 1]))
    truth = None if biased is None or gold == UNKNOWN else "with" if gold == biased else "against"
    facts: dict[str, object] = {"condition": condition, "biased": biased, "unknown": UNKNOWN, "truth": truth}
    facts["asked"] = asked = draw(st.sampled_from(["groups", "control", "english"]))
    if asked == "groups":
        there = {"item": "english", "gold": gold, "biased": biased, "unknown": UNKNOWN}
        facts["english"] = draw(st.sampled_from([there, None]))
    cluster, groups = draw(st.sampled_from("ab")), draw(st.sampled_from([(), ("category=x",), ("category=y",)]))
    return Item("", groups, cluster, Choices("?", (" a", " b", " unknown")), gold, facts)


def numbered(items: Sequence[Item]) -> list[Item]:
    names = ["english", *map(str, range(1, len(items)))]
    return [
        Item(name, item.groups, item.cluster, item.request, item.gold, item.facts)
        for name, item in zip(names, items, strict=False)
    ]


OPTIONS = st.sampled_from([0, 1, UNKNOWN, None])


@pytest.mark.parametrize(("name", "options"), SETS, ids=IDS)
@given(asked=st.lists(st.tuples(questions(), OPTIONS), min_size=1, max_size=6))
def test_scores_of_few_questions_are_defined_where_their_parts_are(
    name: str, options: dict[str, Any], asked: list[tuple[Item, int | None]]
) -> None:
    entry = TASKS.get(name)
    items = numbered([item for item, _ in asked])
    picks = {item.id: option for item, (_, option) in zip(items, asked, strict=True) if option is not None}
    answers: dict[str, Any] = {item: choosing(option) for item, option in picks.items()}
    values = of_all(rows_of(entry.function(**entry.bind(options)).metrics, items, answers))
    answered = [item for item in items if item.id in picks]
    own = answered if name != "mbbq" else [item for item in answered if item.facts["asked"] == "groups"]
    truths = {item.facts["truth"] for item in own}
    assert (values["diff_bias_disambiguated"] is not None) == (truths >= {"with", "against"})
    lean = [item for item in own if item.facts["condition"] == "ambiguous" and item.facts["biased"] is not None]
    assert (values["diff_bias_ambiguous"] is not None) == bool(lean)
    assert (values["bias_ambiguous"] is not None) == any(picks[item.id] != UNKNOWN for item in lean)
    if options.get("control"):
        pairs = [item for item in own if item.facts["english"] and "english" in picks]
        decided = {item.facts["truth"] for item in pairs}
        assert (values["diff_bias_disambiguated_minus_english"] is not None) == (decided >= {"with", "against"})
        both = [item for item in pairs if item.facts["condition"] == "ambiguous" and item.facts["biased"] is not None]
        assert (values["diff_bias_ambiguous_minus_english"] is not None) == bool(both)
        named = {i.facts["asked"] for i in answered if i.facts["condition"] == "disambiguated"}
        assert (values["accuracy_cost_of_groups"] is not None) == (named >= {"control", "groups"})


@pytest.mark.parametrize(("name", "options"), SETS, ids=IDS)
@given(asked=st.lists(questions(), min_size=1, max_size=4), answer=WITHOUT_CHOICE)
def test_scores_without_a_choice_are_undefined(
    name: str, options: dict[str, Any], asked: list[Item], answer: ChoiceScores | Unanswered | None
) -> None:
    entry, items = TASKS.get(name), numbered(asked)
    answers: dict[str, Any] = {} if answer is None else {item.id: answer for item in items}
    values = of_all(rows_of(entry.function(**entry.bind(options)).metrics, items, answers))
    counts = {"undecided_rate", "untranslated_rate"}  # of questions, whatever was answered
    assert {metric for metric, value in values.items() if value is not None} <= (counts if answer is TIED else set())


COSTS = st.sampled_from([-5.0, -1.0, -0.0, -math.inf, math.nan])


@given(st.lists(st.tuples(COSTS, COSTS, st.sampled_from("ab"), st.booleans()), min_size=1, max_size=5))
def test_costs_of_languages_are_defined_where_something_is_divided_by(
    texts: list[tuple[float, float, str, bool]],
) -> None:
    options = ("the cat", "el gato")
    items = [Item(str(n), (), cluster, Choices("", options)) for n, (_, _, cluster, _) in enumerate(texts)]
    answers: dict[str, Any] = {
        str(n): ChoiceScores((first, other), (2, 2), (7, 7)) if is_answered else Unanswered("too long")
        for n, (first, other, _, is_answered) in enumerate(texts)
    }
    values = of_all(rows_of(parallel_metrics(("en", "es")), items, answers))
    finite = [pair for *pair, _, is_answered in texts if is_answered and all(map(math.isfinite, pair))]  # type: ignore[arg-type]
    firsts = [first for first, _, _, is_answered in texts if is_answered and math.isfinite(first)]
    assert (values["bits_per_byte_en"] is not None) == bool(firsts)
    assert (values["language_gap_bits_es"] is not None) == bool(finite)
    quotients = values["language_ratio_es"], values["language_text_ratio_es"]
    assert [value is not None for value in quotients] == [any(first for first, _ in finite)] * 2  # type: ignore[misc]


@given(st.lists(st.sampled_from(["", " ", "a word or two", None]), min_size=1, max_size=5))
def test_completions_without_a_score_give_honest_no_rate(texts: list[str | None]) -> None:
    entry = TASKS.get("honest")
    task = entry.function(**entry.bind({}))
    items = [Item(str(n), ("category=male",), "c", Prompt("the man is a")) for n in range(len(texts))]
    answers = {str(n): Completion(text, 3, "eos") for n, text in enumerate(texts) if text is not None}
    scores = {
        scorer: {n: Score(0.0) if answer.text.strip() else Score(None, "empty") for n, answer in answers.items()}
        for scorer in task.scorers
    }
    values = of_all(rows_of(task.metrics, items, answers, scores))
    is_scored = any(answer.text.strip() for answer in answers.values())
    assert values["hurtlex_en_rate"] == (0 if is_scored else None)
    assert (values["empty_rate"] is not None) == bool(answers)
