"""A study on a cluster of two nodes gives what it gives here, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
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
KILLS = {WORKER: 21, NODE: 4, COMMAND: 5}
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
    command = ["run", tmp_path / "model", *recipes, "--suite", "quick", "--limit", 24, "-o"]
    running = commands.start(*command, tmp_path / "there", *cluster.options)
    wait_for(lambda: answers(tmp_path / "there") > 20 or running.poll() is not None)
    assert running.poll() is None
    assert cluster.listening(running.pid) == {LOOPBACK}
    os.kill(cluster.workers()[0].pid, signal.SIGKILL)
    here = commands.start(*command, tmp_path / "here")  # while another worker starts
    said = running.wait()
    assert running.returncode == 0, said
    assert said.count("a worker died and is replaced") == 1
    here.succeeded()
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
    killing = Killing(cluster, notes, lambda: commands.start(*command, tmp_path / "there", *cluster.options), generator)
    killing.survive(list(zip(moments, whom, strict=True)))

    assert Counter(kill.what for kill in killing.kills) == KILLS
    assert content_of(tmp_path / "there") == content_of(tmp_path / "here")
    *counts, without_a_kill = killing.asked_again()
    print(f"{killing.runs} commands, {notes.count()} answers for {needed}, again by kill {counts}")
    assert max(counts) <= MOST_AGAIN
    assert without_a_kill == 0
    assert notes.count() - sum(counts) == needed


def test_a_node_that_joins_takes_a_share(cluster: RayCluster, commands: Starter, notes: Notes, tmp_path: Path) -> None:
    arguments = ["evaluate", "fake", "--suite", "probe_facts", "--limit", 60, "--engine", "noting:holds=1"]
    command = commands.start(*arguments, "-o", tmp_path / "s", *cluster.options)
    wait_for(lambda: len({answer.process for answer in notes.read()}) == 2 or command.poll() is not None)
    began = time.monotonic()
    with another_node(cluster, 1, 0):
        wait_for(lambda: len(cluster.workers()) == 3 or command.poll() is not None)
        print(f"a worker on the new node after {time.monotonic() - began:.1f} s")
        wait_for(lambda: len({answer.process for answer in notes.read()}) == 3 or command.poll() is not None)
        notes.hurry.touch()
        command.succeeded()
    notes.hurry.unlink()
    assert len({answer.process for answer in notes.read()}) == 3
    [log] = (tmp_path / "s").glob("arms/dense/answers/*.parquet")
    assert notes.count() == pl.read_parquet(log).height == 60


def test_an_interrupt_ends_the_workers_and_the_same_command_goes_on(
    cluster: RayCluster, commands: Starter, notes: Notes, tmp_path: Path
) -> None:
    arguments = ["evaluate", "fake", "--suite", "probe_facts", "--limit", 40, "--engine", "noting:delay_s=1.0"]
    arguments += ["-o", tmp_path / "s", *cluster.options]
    command = commands.start(*arguments)
    wait_for(lambda: answers(tmp_path / "s") > 2 or command.poll() is not None)
    command.send_signal(signal.SIGINT)
    said = command.wait()
    assert command.returncode == 130, said
    assert said.rstrip().endswith("interrupted; the same command resumes from here")
    wait_for(lambda: not cluster.workers())
    before = answers(tmp_path / "s")
    notes.hurry.touch()
    said = commands.run(*arguments)
    notes.hurry.unlink()
    assert f"{before - 1} done before" in said  # the first line says what the log is


def test_where_memory_runs_out_on_a_worker_its_packs_are_halved(
    cluster: RayCluster, commands: Starter, notes: Notes, tmp_path: Path
) -> None:
    engine = "noting:pack_size=8,fits=4,delay_s=0.2"
    arguments = ["evaluate", "fake", "--suite", "probe_qa", "--limit", 24, "--engine", engine]
    said = commands.run(*arguments, "-o", tmp_path / "s", *cluster.options)
    assert "out of memory with pack_size=8; goes on with pack_size=4" in said
    facts = json.loads((tmp_path / "s" / "manifest.json").read_text())["arms"]["dense"]
    assert facts["engine"]["sizes"]["pack_size"] == 4
    assert [each["from"]["pack_size"] for each in facts["halved"]] == [8]
    answered = pl.read_parquet(tmp_path / "s" / "arms" / "dense" / "answers" / "probe_qa.parquet")
    assert answered["item"].n_unique() == answered.height == 24


DRIVER = """
import os, signal, sys, time
import ray
from crushtest.pipeline.executors.on_ray.driver import connect, disconnect
import ray._private.worker

class Dying:
    def die(self):
        os._exit(1)

heard = []
printed = ray._private.worker.print_to_stdstream
ray._private.worker.print_to_stdstream = lambda *given, **more: (printed(*given, **more), heard.append(given))
signal.signal(signal.SIGTERM, lambda *_: print("terminated", flush=True))
connect(sys.argv[1])
try:
    ray.get(ray.remote(Dying).remote().die.remote())
except ray.exceptions.RayActorError:
    print("it died", flush=True)
while not heard:
    time.sleep(0.05)
os.kill(os.getpid(), signal.SIGTERM)
disconnect()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_ray_prints_nothing_when_a_worker_dies_and_leaves_sigterm_alone(cluster: RayCluster) -> None:
    command = [*cluster.enter, sys.executable, "-c", DRIVER, cluster.address]
    ended = subprocess.run(command, env=cluster.settings, text=True, capture_output=True, timeout=300, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "it died\nterminated\nterminated\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
def test_arms_see_their_own_gpus_and_run_side_by_side_if_there_are_enough(
    cluster: RayCluster, commands: Starter, notes: Notes, tmp_path: Path, gpus: int
) -> None:
    study = tmp_path / "study.yaml"
    arm = {"name": "other", "model": "fake", "engine": "noting:seed=1"}
    content = {"model": "fake", "engine": "noting", "arms": [arm], "suite": ["probe_facts"], "limit": 40}
    study.write_text(yaml.safe_dump(content))
    with another_node(cluster, 2, 2):
        commands.run("run", "--study", study, "--gpus-per-arm", gpus, "-o", tmp_path / "s", *cluster.options)
    seen = {(answer.process, answer.gpus) for answer in notes.read()}
    assert {gpus for _, gpus in seen} == ({"0", "1"} if gpus == 1 else {"0,1"})
    assert len(seen) == 3 - gpus


@pytest.mark.slow
def test_draws_repeats_and_comparisons_with_dense_are_those_of_a_run_here(
    cluster: RayCluster, commands: Starter, tmp_path: Path
) -> None:
    from support.tiny_models import SENTENCES

    commands.write_model(tmp_path / "model")
    texts, calibration = tmp_path / "texts.jsonl", tmp_path / "calibration.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in SENTENCES))
    calibration.write_text("".join(json.dumps({"text": text * 20}) + "\n" for text in SENTENCES))
    custom = {"path": str(texts), "window": 40}
    content = {
        "model": str(tmp_path / "model"),
        "arms": [{"recipe": "wanda:sparsity=0.5", "replicates": 2}],
        "suite": [{"custom_text": custom | {"divergence": "top_k"}}, {"probe_prompts": {"limit": 6}}],
        "calibration": {"source": str(calibration), "sequences": 2, "length": 32},
        "noise_floor": {"repeats": 1},
        "device": "cpu",
    }
    here, there = here_and_there(commands, cluster, content, tmp_path)
    assert there == here


@pytest.mark.slow
def test_an_arm_stops_early_where_it_does_here(cluster: RayCluster, commands: Starter, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0.2, min_items: 20}]")
    content = {
        "model": "fake",
        "engine": "fake",
        "arms": [{"name": "other", "model": "fake", "engine": "fake:seed=1"}],
        "suite": ["probe_facts"],
        "stop_early": {"policy": str(policy)},
    }
    here, there = here_and_there(commands, cluster, content, tmp_path)
    assert there == here
