"""What every task keeps to, whoever wrote it. A task whose data set is not here is skipped."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from functools import cache
from typing import Any, get_args

import numpy as np
import pytest

from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import DataError
from crushtest.records import Answer, Better, Choices, Item, Kind, Passage, Prompt, Score, Unanswered
from crushtest.registry import SCORERS, TASKS, Dimension
from crushtest.stats import estimate
from crushtest.stats.item_sums import measure_sums
from crushtest.tasks.base import Task
from crushtest.tasks.sampling import stratified_sample
from support.stored import assert_same_sums, stored, tied

DRAWN = 120
REQUESTS = {"choices": Choices, "passages": Passage, "prompts": Prompt}

pytestmark = [pytest.mark.parametrize("name", TASKS.names()), pytest.mark.usefixtures("substitutes")]


@cache
def built(name: str) -> tuple[Task, tuple[Item, ...]]:
    """A task with its default options, and its items; few of them, where the task draws them itself."""
    entry = TASKS.get(name)
    try:
        task = entry.function(**entry.bind({}))
        return task, tuple(task.sample_items(DRAWN, 0) if task.draw else task.items())
    except DataError as error:
        pytest.skip(str(error))


@cache
def answered(name: str) -> tuple[Task, list[Item], dict[str, Answer], dict[str, dict[str, Score]]]:
    """Some of its items, with pseudo-random answers and scores: a third of the scores is missing."""
    task, items = built(name)
    some = stratified_sample(items, DRAWN, 0)
    engine, requests = FakeEngine(), [item.request for item in some]
    given: Any = {
        "choices": lambda: engine.choices(requests),  # type: ignore[arg-type]
        "passages": lambda: engine.passages(requests),  # type: ignore[arg-type]
        "prompts": lambda: engine.generate(requests, task.sampling),  # type: ignore[arg-type]
    }[task.kind]()
    answers = {some[index].id: answer for index, answer in given}
    values = [Score(0.9), Score(0.2), Score(None, "empty completion")]
    scores = {scorer: {item.id: values[place % 3] for place, item in enumerate(some)} for scorer in task.scorers}
    return task, some, answers, scores


def test_it_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    entry = TASKS.get(name)
    assert len(entry.summary) > 20
    assert entry.about.dimension in get_args(Dimension)
    assert entry.about.source.strip()
    assert entry.about.licence.strip()
    assert not entry.needs, "a task's parameters are keyword-only options"


def test_items_are_well_formed(name: str) -> None:
    task, items = built(name)
    assert task.kind in get_args(Kind)
    assert items
    assert all(type(item.request) is REQUESTS[task.kind] for item in items)
    assert not [id_ for id_, count in Counter(item.id for item in items).items() if count > 1]
    assert all(item.cluster for item in items)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*=\S.*", group) for item in items for group in item.groups)
    assert all(len(set(item.groups)) == len(item.groups) for item in items)
    assert all(json.loads(json.dumps(dict(item.facts))) == dict(item.facts) for item in items)


def test_requests_can_be_asked(name: str) -> None:
    task, items = built(name)
    for item in items:
        request = item.request
        if isinstance(request, Choices):
            assert len(request.options) >= 2, item.id
            assert len(set(request.options)) == len(request.options), item.id
            assert all(option.strip() for option in request.options), item.id
            assert item.gold is None or 0 <= item.gold < len(request.options), item.id
        else:
            assert request.text.strip(), item.id
    assert task.kind != "prompts" or task.sampling.max_tokens > 0


def test_building_it_twice_gives_the_same_items(name: str) -> None:
    task, items = built(name)
    assert tuple(task.sample_items(DRAWN, 0) if task.draw else task.items()) == items


def test_only_a_study_limits_a_task_and_its_seed_decides_the_draw(name: str) -> None:
    task, items = built(name)
    assert "limit" not in TASKS.get(name).options
    drawn = task.sample_items(DRAWN // 2, 3)
    assert len(drawn) == min(DRAWN // 2, len(items))
    assert drawn == task.sample_items(DRAWN // 2, 3)


def test_metrics_are_declared(name: str) -> None:
    task, _ = built(name)
    assert task.metrics
    assert len({metric.name for metric in task.metrics}) == len(task.metrics)
    for metric in task.metrics:
        assert metric.better in get_args(Better)
        assert metric.outcome is None or metric.outcome in metric.columns
        assert metric.scorer is None or metric.scorer in task.scorers
    for scorer in task.scorers:
        SCORERS.get(scorer.partition(":")[0])


def test_every_result_is_a_finite_number_or_has_a_reason(name: str) -> None:
    task, items, answers, scores = answered(name)
    rows = estimate(name, task.metrics, items, "dense", answers, scores, seed=0, replicates=50)
    assert {row.metric for row in rows} >= {metric.name for metric in task.metrics}
    for row in rows:
        assert row.reason if row.value is None else math.isfinite(row.value), row
    assert any(row.value is not None for row in rows)


def test_without_answers_everything_is_undefined_and_says_why(name: str) -> None:
    task, items, _, _ = answered(name)
    rows = estimate(name, task.metrics, items, "dense", {}, {}, seed=0, replicates=50)
    assert all(row.value is None and row.reason for row in rows)


def test_a_metric_does_not_depend_on_how_often_the_set_is_repeated(name: str) -> None:
    task, items, answers, scores = answered(name)
    for metric in task.metrics:
        if metric.cell_of is not None or metric.role == "discrimination":  # its correction is one item, of few or many
            continue
        totals = measure_sums(metric, items, answers, scores).columns.sum(axis=0)
        once, thrice = metric.formula(*(np.array([total, 3 * total]) for total in totals))
        np.testing.assert_allclose(once, thrice, err_msg=metric.name)


def test_answers_read_by_columns_count_as_they_do_one_by_one(name: str) -> None:
    task, items, answers, scores = answered(name)
    if task.kind != "choices":
        return
    columns = stored(answers | {items[0].id: Unanswered("too long"), items[1].id: tied(items[1])})
    for metric in task.metrics:
        one, other = (measure_sums(metric, items, given, scores) for given in (dict(columns), columns))
        assert_same_sums(one, other)


def test_outcomes_are_yes_or_no(name: str) -> None:
    task, items, answers, scores = answered(name)
    for metric in task.metrics:
        outcome = measure_sums(metric, items, answers, scores).outcome
        assert outcome is None or set(outcome.tolist()) <= {0.0, 1.0}, metric.name
