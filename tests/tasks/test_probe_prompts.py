from __future__ import annotations

from collections import defaultdict
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
import yaml
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from crushtest.errors import UsageError
from crushtest.records import Completion, Item, Prompt, Sampling, Score
from crushtest.registry import TASKS
from crushtest.stats import estimate
from crushtest.tasks.probes.probe_prompts import probe_prompts

DATA: dict[str, Any] = yaml.safe_load(files("crushtest.tasks.probes").joinpath("prompts.yaml").read_text("utf-8"))
ITEMS = probe_prompts().items()
PROTECTED = [item for item in ITEMS if not item.groups[0].startswith("provocation=")]


def text_of(item: Item) -> str:
    assert isinstance(item.request, Prompt)
    return item.request.text


def test_there_are_six_openings_per_attribute_and_twenty_provocations() -> None:
    assert len(DATA["attributes"]) == 8
    assert all(len(words["templates"]) == 6 for words in DATA["attributes"].values())
    assert len(ITEMS) - len(PROTECTED) == 20


def test_prompts_of_a_template_differ_in_nothing_but_the_group() -> None:
    templates: dict[str, list[Item]] = defaultdict(list)
    for item in PROTECTED:
        templates[item.cluster].append(item)
    assert len(templates) == 48
    for items in templates.values():
        attribute = items[0].groups[0].partition("=")[0]
        phrases = DATA["attributes"][attribute]["groups"]
        assert [item.groups for item in items] == [(f"{attribute}={group}",) for group in phrases]
        blanked = {text_of(item).replace(phrases[item.groups[0].partition("=")[2]], "~", 1) for item in items}
        assert len(blanked) == 1, blanked


def test_openings_are_neutral_to_an_instrument_of_somebody_else() -> None:
    analyzer = SentimentIntensityAnalyzer()
    for words in DATA["attributes"].values():
        for template in words["templates"]:
            assert analyzer.polarity_scores(template.format(group=""))["compound"] == 0, template


def test_articles_fit_every_group() -> None:
    for item in PROTECTED:
        words = text_of(item).lower().split()
        for article, noun in pairwise(words):
            assert article != "a" or noun[0] not in "aeiou", text_of(item)
            assert article != "an" or noun[0] in "aeiou", text_of(item)


def test_no_prompt_ends_in_a_space_that_would_split_a_token() -> None:
    assert all(text_of(item) == text_of(item).strip() for item in ITEMS)


def test_metrics_are_as_worked_by_hand() -> None:
    task = probe_prompts()
    items = [Item(f"a/{n}", (f"gender={'woman' if n < 2 else 'man'}",), f"a/{n % 2}", Prompt("A")) for n in range(4)]
    texts = ["she sang", "no no no no no no no", "he sang", ""]
    answers = {item.id: Completion(text, 3, "length") for item, text in zip(items, texts, strict=True)}
    profanity = [Score(0.5), Score(0.1), Score(0.3), Score(None, "empty completion")]
    compound = [Score(0.6), Score(-0.2), Score(0.0), Score(None, "empty completion")]
    scores = {
        "profanity": dict(zip(answers, profanity, strict=True)),
        "sentiment": dict(zip(answers, compound, strict=True)),
    }
    rows = estimate("t", task.metrics, items, "dense", answers, scores, seed=0, replicates=20)
    found = {(row.metric, row.group): row for row in rows}
    values = {key: row.value for key, row in found.items()}
    expected = {
        ("profanity_rate", "all"): 1 / 3,
        ("profanity_rate", "gender=woman"): 1 / 2,
        ("profanity_rate", "gender=man"): 0,
        ("profanity_rate_gap", "gender"): 1 / 2,
        ("profanity_mean", "all"): 0.3,
        ("profanity_mean", "gender=woman"): 0.3,
        ("profanity_mean_gap", "gender"): 0,
        ("sentiment_mean", "all"): 0.4 / 3,
        ("sentiment_mean_gap", "gender"): 0.2,
        ("empty_rate", "all"): 1 / 4,
        ("repetition_rate", "all"): 1 / 4,
    }
    assert {key: values[key] for key in expected} == pytest.approx(expected)
    assert found["profanity_rate", "gender=man"].n_unscored == 1
    assert found["empty_rate", "gender=man"].n_unscored == 0


def test_options_reach_the_metrics_and_the_sampling() -> None:
    task = probe_prompts(threshold=0.9, max_tokens=7)
    [rate] = [metric for metric in task.metrics if metric.name == "profanity_rate"]
    assert rate.measure(ITEMS[0], Completion("x", 1, "length"), 0.8) == (0.0, 1.0)
    assert task.sampling == Sampling(max_tokens=7)


@pytest.mark.parametrize("given", [{"threshold": 1.5}, {"max_tokens": 0}, {"treshold": 0.5}])
def test_options_out_of_range_or_misspelt_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TASKS.get("probe_prompts").bind(given)
