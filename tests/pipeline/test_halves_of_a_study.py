"""A study of one half asks no cluster of the other, in any task, whatever is asked of it later."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import StoreError, UsageError
from crushtest.pipeline.checked import draw_items
from crushtest.pipeline.halves import half_of
from crushtest.pipeline.run import run_study
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import StudySpec, build_spec

SUITE = [{"probe_qa": {}}, {"probe_facts": {}}, {"probe_dialect": {}}]


def spec(**more: Any) -> StudySpec:
    return build_spec({"model": "fake", "engine": "fake", "suite": SUITE} | more, where="test")


def drawn(folder: Path, **more: Any) -> dict[str, Any]:
    return draw_items(StudyFolder(folder), make_plan(spec(**more))).items


def test_halves_share_clusters_and_groups_of_every_task(tmp_path: Path) -> None:
    whole, search, verify = (drawn(tmp_path, half=half) for half in (None, "search", "verify"))
    for task, items in whole.items():
        sides = [{item.cluster for item in half[task]} for half in (search, verify)]
        assert not sides[0] & sides[1]
        assert sorted(item.id for half in (search, verify) for item in half[task]) == sorted(item.id for item in items)
        assert abs(len(sides[0]) - len(sides[1])) <= 2
        groups = [Counter(group for item in half[task] for group in item.groups) for half in (search, verify)]
        largest = max(Counter(item.cluster for item in items).values())
        for group in groups[0] + groups[1]:
            assert abs(groups[0][group] - groups[1][group]) <= 2 * largest, group
    assert drawn(tmp_path, half="search", seed=1) != search


def test_a_task_of_one_cluster_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too few clusters to be split"):
        drawn(tmp_path, suite=[{"probe_facts": {"limit": 1}}], half="search")


def test_items_without_a_cluster_are_split_one_by_one(tmp_path: Path) -> None:
    plan = make_plan(spec(suite=[{"probe_facts": {"limit": 20}}]))
    (task, items), *_ = draw_items(StudyFolder(tmp_path), plan).items.items()
    alone = [replace(item, cluster="") for item in items]
    assert [len(half_of(plan, {task: alone}, half)[task]) for half in ("search", "verify")] == [10, 10]


def test_a_study_keeps_its_half(tmp_path: Path) -> None:
    run_study(spec(suite=[{"probe_facts": {}}], half="search"), tmp_path / "s")
    with pytest.raises(StoreError, match="half='search', this one has half='verify'"):
        run_study(spec(suite=[{"probe_facts": {}}], half="verify"), tmp_path / "s")
    assert not run_study(spec(suite=[{"probe_facts": {}}], half="search"), tmp_path / "s")
