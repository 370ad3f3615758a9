"""What tasks of prompts report: worked by hand, with samples, overlapping groups and broken text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from crushtest.completions.degeneration import fault, is_language, well_formed
from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import UnknownName, UsageError
from crushtest.records import Completion, Exchange, Item, Prompt, Sampling, Score
from crushtest.registry import SCORERS, AboutScorer, Entry
from crushtest.results import Estimate
from crushtest.stats import estimate
from crushtest.tasks.base import Task
from crushtest.tasks.shared.completions import CompletionOptions, completion_task, metric_stem


def prompts() -> Sequence[Item]:
    """Two prompts of two clusters; the first is of two groups of an attribute at once."""
    return [
        Item("a/0", ("race=Black", "race=Asian", "gender=woman"), "a", Prompt("First")),
        Item("a/1", ("race=Asian", "gender=man"), "b", Prompt("Second")),
    ]


def made(**options: Any) -> Task:
    return completion_task("t", prompts, CompletionOptions(**options))


def rows_of(task: Task, texts: Sequence[str], scores: dict[str, Sequence[Score]]) -> dict[tuple[str, str], Estimate]:
    items = task.items()
    answers = {item.id: Completion(text, 3, "length") for item, text in zip(items, texts, strict=True)}
    marks = {name: dict(zip(answers, given, strict=True)) for name, given in scores.items()}
    rows = estimate("t", task.metrics, items, "dense", answers, marks, seed=0, replicates=10)
    return {(row.metric, row.group): row for row in rows}


def values(*numbers: float) -> list[Score]:
    return [Score(number) for number in numbers]


def test_a_prompt_counts_in_each_group_and_mean_and_rate_have_names() -> None:
    task = made(scorers=("profanity",))
    rows = rows_of(task, ["one two three", "four five six"], {"profanity": values(0.5, 0.1)})
    expected = {
        ("profanity_mean", "all"): 0.3,
        ("profanity_rate", "all"): 1 / 2,
        ("profanity_rate", "race=Black"): 1,
        ("profanity_rate", "race=Asian"): 1 / 2,
        ("profanity_rate_gap", "race"): 1 / 2,
        ("profanity_mean_gap", "gender"): 0.4,
    }
    assert {key: rows[key].value for key in expected} == pytest.approx(expected)
    assert rows["profanity_rate", "race=Asian"].n == 2


def test_the_expected_maximum_averages_the_largest_sample_per_prompt() -> None:
    task = made(scorers=("profanity",), samples=3)
    given = values(0.1, 0.6, 0.2, 0.3, 0.4, 0.1)
    rows = rows_of(task, ["some words here"] * 6, {"profanity": given})
    assert rows["profanity_expected_maximum", "all"].value == pytest.approx((0.6 + 0.4) / 2)
    assert rows["profanity_expected_maximum", "all"].n == 2
    assert rows["profanity_any_rate", "all"].value == pytest.approx(1 / 2)
    assert rows["profanity_any_rate", "race=Black"].value == 1
    assert rows["profanity_rate", "all"].value == pytest.approx(1 / 6)
    assert rows["profanity_mean", "all"].n == 6


def test_a_prompt_with_many_unscored_samples_has_no_maximum() -> None:
    task = made(scorers=("profanity",), samples=3)
    given = [*values(0.9, 0.1), Score(None, "empty completion"), *values(0.3, 0.4, 0.1)]
    rows = rows_of(task, ["some words here"] * 6, {"profanity": given})
    maximum = rows["profanity_expected_maximum", "all"]
    assert (maximum.value, maximum.n, maximum.n_unscored) == (0.4, 1, 1)
    assert rows["profanity_mean", "all"].n_unscored == 1


def test_one_unscored_sample_of_five_leaves_the_largest_of_the_others() -> None:
    unscored = Score(None, "empty completion")
    given = [unscored, *values(0.9, 0.1, 0.2, 0.3), unscored, unscored, *values(0.3, 0.4, 0.1)]
    rows = rows_of(made(scorers=("profanity",), samples=5), ["some words here"] * 10, {"profanity": given})
    maximum = rows["profanity_expected_maximum", "all"]
    assert (maximum.value, maximum.n, maximum.n_unscored) == (0.9, 1, 1)


def test_samples_have_the_cluster_and_seed_of_their_prompt() -> None:
    items = made(samples=2).items()
    assert [item.id for item in items] == ["a/0#0", "a/0#1", "a/1#0", "a/1#1"]
    assert [item.cluster for item in items] == ["a", "a", "b", "b"]
    assert [item.request for item in items][:2] == [Prompt("First", sample=0), Prompt("First", sample=1)]


def test_samples_differ_and_do_not_depend_on_what_else_is_asked() -> None:
    task = made(samples=4, seed=3)
    requests = [item.request for item in task.items() if isinstance(item.request, Prompt)]
    texts = dict(FakeEngine().generate(requests, task.sampling))
    assert len({texts[index].text for index in range(4)}) > 1
    backwards = dict(FakeEngine().generate(requests[::-1], task.sampling))
    assert [backwards[len(requests) - 1 - index] for index in range(len(requests))] == [
        texts[index] for index in range(len(requests))
    ]


def test_one_sample_is_greedy_and_several_are_drawn() -> None:
    assert made().sampling == Sampling(32, 0.0, 1.0, 0)
    assert made(samples=25, seed=7).sampling == Sampling(32, 1.0, 0.9, 7)
    with pytest.raises(UsageError, match="would all be the same"):
        made(samples=25, temperature=0.0)


def test_a_limit_counts_prompts_and_leaves_their_samples_together() -> None:
    items = made(samples=3).sample_items(1, 0)
    assert len(items) == 3
    assert len({item.facts["prompt"] for item in items}) == 1


@pytest.fixture
def always_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scorer that has made up its mind."""

    def function(exchanges: Sequence[Exchange], *, number: float = 0.5) -> list[Score]:
        return [Score(number)] * len(exchanges)

    about = AboutScorer(source="a test", measures="nothing")
    SCORERS.names()
    monkeypatch.setitem(SCORERS._entries, "always_half", Entry("scorer", "always_half", function, about))


@pytest.mark.usefixtures("always_half")
def test_agreement_is_the_share_on_the_same_side_of_both_thresholds() -> None:
    task = made(scorers=("profanity", "always_half"))
    rows = rows_of(
        task, ["one two three", "four five six"], {"profanity": values(0.9, 0.1), "always_half": values(0.5, 0.5)}
    )
    assert rows["agreement_profanity_always_half", "all"].value == pytest.approx(1 / 2)
    assert not [name for name, _ in rows_of_names(made(scorers=("profanity", "sentiment"))) if "agreement" in name]


def rows_of_names(task: Task) -> list[tuple[str, str]]:
    return [(metric.name, metric.unit) for metric in task.metrics]


def test_perplexity_under_dense_is_the_exponential_of_the_mean_nats() -> None:
    task = made(scorers=())
    rows = rows_of(task, ["one two three", "four five six"], {"perplexity": values(1.0, 3.0)})
    assert rows["completion_perplexity", "all"].value == pytest.approx(math.exp(2.0))


TEXTS = {
    "": "empty",
    "\x00\x00": "empty",
    "no no no no no no no": "repeating",
    "\U0001f389" * 100_000: "repeating",
    "Yes.": "short",
    "#$ 17 %% 0x3f }{ -- //": "no language",
    "xkqz wrtp lmnb tzzz fghj": "no language",
    "The cat sat on a mat.": None,
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0643\u0644\u0647": None,
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u6211\u4eec\u53bb\u516c\u56ed": None,
    "a\x00b nice day out": None,
    "Der Fahrplan h\u00e4ngt an der T\u00fcr.": None,
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items(), ids=range(len(TEXTS)))
def test_a_text_has_one_fault_or_none(text: str, expected: str | None) -> None:
    assert fault(text) == expected


def test_the_shares_of_faults_add_up_to_the_degenerate_rate() -> None:
    task = completion_task(
        "t", lambda: [Item(f"x/{n}", (), str(n), Prompt("P")) for n in range(len(TEXTS))], CompletionOptions(scorers=())
    )
    nothing = [Score(None, "empty completion")] * len(TEXTS)
    rows = rows_of(task, list(TEXTS), {"perplexity": nothing})
    parts = [rows[name, "all"].value for name in ("empty_rate", "repetition_rate", "short_rate", "no_language_rate")]
    assert parts == pytest.approx([2 / 12, 2 / 12, 1 / 12, 2 / 12])
    assert rows["degenerate_rate", "all"].value == pytest.approx(7 / 12)
    assert rows["completion_perplexity", "all"].value is None


def test_half_characters_are_replaced_and_whole_ones_kept() -> None:
    assert well_formed("\ud800 half \U0001f600") == "\ufffd half \U0001f600"
    assert is_language("na\u00efve co-operation isn\u2019t rare")


@pytest.mark.parametrize(
    ("spec", "name", "options"),
    [
        ("profanity", "profanity", {}),
        ("regard:value=probability", "regard", {"value": "probability"}),
        ("hf:org/name@main#a=b", "hf", {"classifier": "org/name@main#a=b"}),
        ("detoxify:unbiased,label=threat", "detoxify", {"checkpoint": "unbiased", "label": "threat"}),
    ],
)
def test_a_first_piece_without_an_option_is_the_value_of_the_first(
    spec: str, name: str, options: dict[str, str]
) -> None:
    assert SCORERS.split(spec) == (name, options)


@pytest.mark.usefixtures("always_half")
def test_scorers_are_checked_when_the_task_is_made() -> None:
    with pytest.raises(UnknownName, match="did you mean 'profanity'"):
        made(scorers=("profanty",))
    with pytest.raises(UsageError, match="label"):
        made(scorers=("regard:label=bad",))
    with pytest.raises(UsageError, match="is not option=value"):
        made(scorers=("hf:a#b,c",))
    with pytest.raises(UsageError, match="same name"):
        made(scorers=("always_half:number=0.5", "always_half:0.5"))


def test_metrics_are_named_for_their_scorer() -> None:
    assert metric_stem("detoxify:unbiased,label=threat") == "detoxify_unbiased_threat"
    assert metric_stem("hf:/some/folder/mine#LABEL_1") == "hf_mine_label_1"
    assert metric_stem("toxigen-roberta") == "toxigen_roberta"


def test_the_maximum_of_a_prompts_samples_is_compared_between_groups() -> None:
    """Of the prompt about a woman the samples' largest score is 0.9, of that about a man 0.4."""
    task = made(scorers=("profanity",), samples=2)
    scores = {"profanity": [Score(value) for value in (0.2, 0.9, 0.4, 0.1)], "perplexity": [Score(1.0)] * 4}
    rows = rows_of(task, ["a text of words"] * 4, scores)
    assert rows["profanity_expected_maximum_gap", "gender"].value == pytest.approx(0.5)
    assert rows["profanity_any_rate_gap", "gender"].value == 1.0
    assert rows["profanity_expected_maximum_against_rest", "gender=man"].value == pytest.approx(-0.5)
    assert rows["profanity_any_rate_against_rest", "gender=woman"].value == 1.0
