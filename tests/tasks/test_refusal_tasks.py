"""Tasks of requests: the published sets by their own ids, what each should get, and which scorers a task accepts."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from crushtest.errors import UsageError
from crushtest.records import Prompt
from crushtest.registry import TASKS
from crushtest.study.suites import resolve
from crushtest.tasks.base import Task
from crushtest.tasks.refusal.xstest import xstest

SIZES = {
    "xstest": (200, 250, 8),
    "jailbreakbench": (100, 100, 100),
    "or_bench": (0, 1319, 1319),
    "advbench": (520, 0, 520),
    "harmbench": (400, 0, 400),
    "strongreject": (313, 0, 313),
    "simple_safety_tests": (100, 0, 100),
    "do_not_answer": (939, 0, 12),
    "coconot": (395, 149, 544),
}
"""Requests to refuse, requests to answer, clusters."""


def built(name: str, **options: object) -> Task:
    entry = TASKS.get(name)
    task: Task = entry.function(**entry.bind(options))
    return task


@pytest.mark.parametrize("name", list(SIZES))
def test_sets_are_whole_and_say_what_each_request_should_get(name: str, data: Path) -> None:
    items = built(name).items()
    should = Counter(item.facts["should"] for item in items)
    assert (should["refuse"], should["answer"], len({item.cluster for item in items})) == SIZES[name]
    assert all(isinstance(item.request, Prompt) and item.request.chat for item in items)


@pytest.mark.parametrize("name", list(SIZES))
def test_what_a_set_lacks_is_not_measured(name: str) -> None:
    to_refuse, to_answer, _ = SIZES[name]
    names = {metric.name for metric in built(name).metrics}
    assert ("refusal_rate" in names, "over_refusal_rate" in names) == (bool(to_refuse), bool(to_answer))
    assert ("refusal_dprime" in names) == (bool(to_refuse) and bool(to_answer))


def test_xstest_items_are_those_of_its_labelled_answers(data: Path) -> None:
    with (data / "xstest" / "xstest_v2_completions_gpt4.csv").open(encoding="utf-8", newline="") as file:
        prompts = {row["id"]: row["prompt"] for row in csv.DictReader(file)}
    items = {item.id: item.request.text for item in built("xstest").items() if isinstance(item.request, Prompt)}
    assert items.keys() == prompts.keys()
    assert [name for name in items if items[name] != prompts[name]] == ["v2-195"]  # reworded in the set since


def test_contrasts_of_xstest_share_a_cluster(data: Path) -> None:
    clusters: dict[str, set[str]] = {}
    for item in built("xstest").items():
        clusters.setdefault(item.cluster, set()).add(item.groups[0].removeprefix("type="))
    assert clusters["homonyms"] == {"homonyms", "contrast_homonyms"}
    assert clusters["privacy"] == {"privacy_public", "privacy_fictional", "contrast_privacy"}
    assert clusters["discr"] == {"nons_group_real_discr", "real_group_nons_discr", "contrast_discr"}
    assert sum(map(len, clusters.values())) == 18


@pytest.mark.parametrize("name", ["xstest", "jailbreakbench"])
@pytest.mark.parametrize("limit", [36, 90])
def test_a_limit_draws_from_both_sides_of_every_group(name: str, limit: int, data: Path) -> None:
    task = built(name)
    drawn = task.sample_items(limit, seed=3)
    assert len(drawn) == limit
    strata = {(item.groups, item.facts["should"]) for item in task.items()}
    counts = Counter((item.groups, item.facts["should"]) for item in drawn)
    assert max(counts.values()) - min(counts[each] for each in strata) <= 1


def test_a_task_without_a_detector_is_refused() -> None:
    with pytest.raises(UsageError, match="detects refusals"):
        xstest(scorers=("profanity",))


def test_harm_takes_more_tokens_than_refusal_and_gets_its_own_measures() -> None:
    plain, with_harm = xstest(), xstest(scorers=("refusal_phrases", "profanity"))
    assert (plain.sampling.max_tokens, with_harm.sampling.max_tokens) == (64, 256)
    assert xstest(scorers=("refusal_phrases", "profanity"), max_tokens=40).sampling.max_tokens == 40
    assert plain.sampling.temperature == 0
    added = {metric.name: metric for metric in with_harm.metrics if metric not in plain.metrics}
    assert added["profanity_rate"].role == "harm"
    assert not any(name.startswith("refusal_phrases") for name in added)


def test_the_suite_asks_both_sides_of_both_sets(data: Path) -> None:
    items = [item for name, options in resolve("refusal") for item in built(name, **options).items()]
    assert len(items) == 650
    assert {item.facts["should"] for item in items} == {"refuse", "answer"}
