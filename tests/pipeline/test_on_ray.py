"""A study on a cluster of two nodes gives what it gives here, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from support.noting_plugin import Notes
from support.ray_cluster import LOOPBACK, RayCluster, ray_cluster, wait_for
from support.ray_killing import COMMAND, NODE, WORKER, Killing
from support.same_study import content_of
from support.warm_commands import Starter, warm_commands

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None or sys.platform != "linux", reason="needs Ray, and Linux to look at its processes"
)
KILLS = {WORKER: 20, NODE: 4, COMMAND: 6}
TASKS, LIMIT = ("probe_facts", "probe_text", "probe_prompts"), 40
MOST_AGAIN = 64


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Notes:
    """What the engine of tests has computed."""
    return Notes(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def cluster(notes: Notes) -> Iterator[RayCluster]:
    with ray_cluster((1, 0), (1, 0), **notes.install()) as started:
        yield started


@pytest.fixture(scope="module")
def commands(cluster: RayCluster) -> Iterator[Starter]:
    with warm_commands(cluster.enter, cluster.settings) as starter:
        yield starter


@pytest.fixture(autouse=True)
def _nothing_noted(request: pytest.FixtureRequest) -> None:
    if "notes" in request.fixturenames:
        request.getfixturevalue("notes").forget()


@contextmanager
def another_node(cluster: RayCluster, cpus: int, gpus: int) -> Iterator[None]:
    """Let the cluster have another node for a while."""
    cluster.tell("add", cpus, gpus)
    try:
        yield
    finally:
        cluster.tell("kill")


def answers(study: Path) -> int:
    """How many answers a study that runs has, in tasks that are not finished."""
    return sum(path.read_bytes().count(b"\n") for path in study.glob("arms/*/answers/*.jsonl"))


def here_and_there(
    commands: Starter, cluster: RayCluster, content: dict[str, Any], folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bytes of a study that ran here, and on the cluster."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(content))
    commands.run("run", "--study", file, "-o", folder / "here")
    commands.run("run", "--study", file, "-o", folder / "there", *cluster.options)
    return content_of(folder / "here"), content_of(folder / "there")


def test_quick_gives_every_byte_of_a_run_here_though_a_worker_is_killed(
    cluster: RayCluster, commands: Starter, tmp_path: Path
) -> None:
    commands.write_model(tmp_path / "model")
    recipes = ["-r", "magnitude:sparsity=0.3", "-r", "rtn:bits=4,group_size=32"]
    command = ["run", tmp_path / "model", *recipes, "--suite", "quick", "-o"]
    running = commands.start(*command, tmp_path / "there", *cluster.options)
    wait_for(lambda: answers(tmp_path / "there") > 100 or running.poll() is not None)
    assert running.poll() is None
    assert cluster.listening() == {LOOPBACK}
    os.kill(cluster.workers()[0].pid, signal.SIGKILL)
    said = running.wait()
    assert running.returncode == 0, said
    assert said.count("a worker died and is replaced") == 1
    commands.run(*command, tmp_path / "here")
    assert content_of(tmp_path / "there") == content_of(tmp_path / "here")


def test_thirty_kills_lose_nothing_double_nothing_and_ask_little_again(
    cluster: RayCluster, commands: Starter, notes: Notes, tmp_path: Path
) -> None:
    arms = [{"name": f"arm{seed}", "model": "fake", "engine": f"noting:seed={seed}"} for seed in (1, 2)]
    suite = [{name: {"limit": LIMIT}} for name in TASKS]
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump({"model": "fake", "engine": "noting", "arms": arms, "suite": suite}))
    command = ["run", "--study", study, "-o"]
    notes.hurry.touch()
    commands.run(*command, tmp_path / "here")
    notes.hurry.unlink()
    needed = notes.count()
    assert needed == 3 * len(TASKS) * LIMIT
    notes.forget()

    generator = random.Random(5)
    whom = [what for what, count in KILLS.items() for _ in range(count)]
    generator.shuffle(whom)
    moments = sorted(generator.sample(range(needed * 9 // 10), len(whom)))
    killing = Killing(
        cluster, notes, lambda: commands.start(*command, tmp_path / "there", *cluster.options), generator
    )
    killing.survive(list(zip(moments, whom, strict=True)))

    assert Counter(kill.what for kill in killing.kills) == KILLS
    assert content_of(tmp_path / "there") == content_of(tmp_path / "here")
    *counts, others = killing.asked_again()
    print(killing.runs, notes.count(), needed, counts, others)
    assert max(counts) <= MOST_AGAIN
    assert others == 0
    assert notes.count() - sum(counts) == needed
