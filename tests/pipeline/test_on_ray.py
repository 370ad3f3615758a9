"""A study on a cluster of two nodes gives what it gives here, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from crushtest.models.threads import on_threads
from crushtest.pipeline.run import run_study
from crushtest.study.spec import build_spec
from support.counted_engine import FILE, install
from support.quantized_folders import write_folder
from support.ray_cluster import LOOPBACK, RayCluster, ray_cluster
from support.same_study import content_of

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None or sys.platform != "linux", reason="needs Ray, and Linux to look at its processes"
)
RECIPES = ("magnitude:sparsity=0.3", "rtn:bits=4,group_size=32")
SUITE, LIMIT, ENGINE = "probe_facts,probe_text,probe_prompts", 24, "hf:pack_tokens=64,batch_size=4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_folder(folder, None, {})
    return folder


@pytest.fixture(scope="module")
def here(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the study gives in this process, on one thread."""
    folder = tmp_path_factory.mktemp("here") / "study"
    arms = [{"recipe": recipe} for recipe in RECIPES]
    content = {"model": str(model), "arms": arms, "suite": SUITE, "limit": LIMIT, "engine": ENGINE}
    with on_threads(1):
        run_study(build_spec(content, where="test"), folder)
    return content_of(folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engine that counts its answers is installed, and writes."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def cluster(site: Path) -> Iterator[RayCluster]:
    with ray_cluster((1, 0), (1, 0), **install(site)) as started:
        yield started


def command(model: Path, out: Path, *, engine: str = ENGINE, limit: int = LIMIT) -> list[Any]:
    recipes = [part for recipe in RECIPES for part in ("-r", recipe)]
    return ["run", model, *recipes, "--suite", SUITE, "--limit", limit, "--engine", engine, "-o", out]


def wait_for(what: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until something is there, and return it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if there := what():
            return there
        time.sleep(0.02)
    raise TimeoutError


def answers(study: Path) -> int:
    """How many answers a study that runs has, in tasks that are not finished."""
    return sum(path.read_bytes().count(b"\n") for path in study.glob("arms/*/answers/*.jsonl"))


def test_a_worker_is_killed_and_every_byte_is_that_of_a_run_here(
    cluster: RayCluster, model: Path, here: dict[str, Any], tmp_path: Path
) -> None:
    assert cluster.listening() == {LOOPBACK}
    with cluster.start(*command(model, tmp_path / "s")) as process:
        wait_for(lambda: answers(tmp_path / "s") > 4 or process.poll() is not None)
        assert process.poll() is None
        assert cluster.listening() == {LOOPBACK}
        os.kill(cluster.workers()[0], signal.SIGKILL)
        said = process.communicate()[1]
    assert process.returncode == 0, said
    assert said.count("a worker died and is replaced") == 1
    assert content_of(tmp_path / "s") == here


@dataclass
class Killed:
    """Studies that ran although somebody kept killing.

    kills    of workers, of nodes with their workers, of the process that writes the folder
    studies  that were finished
    runs     how often a command was given
    asked    answers that were computed
    """

    kills: Counter[str]
    studies: int = 0
    runs: int = 0
    asked: int = 0


def killing(
    cluster: RayCluster, model: Path, folder: Path, site: Path, moments: Iterator[tuple[float, str]]
) -> Iterator[Killed]:
    """Run studies while a process is killed at each moment (seconds after the one before); yield after every study."""
    killed, process = Killed(Counter()), None
    wait_s, whom = next(moments)
    while whom != "nobody":
        if process is None:
            process = cluster.start(*command(model, folder / str(killed.studies), engine="counted"))
            killed.runs += 1
        try:
            said = process.communicate(timeout=wait_s)[1]
        except subprocess.TimeoutExpired:
            if whom == "driver":
                process.kill()
                process.communicate()
                process = None
            elif whom == "node":
                cluster.tell("kill")
                cluster.tell("add", 1, 0)
            elif workers := cluster.workers():
                os.kill(workers[int(wait_s * 1000) % len(workers)], signal.SIGKILL)
            else:
                continue
            killed.kills[whom] += 1
            wait_s, whom = next(moments, (0.0, "nobody"))
            continue
        assert process.returncode in (0, 1), said
        killed.studies += process.returncode == 0
        print(said[-300:] if process.returncode else "finished", killed)
        process = None
    if process is not None:
        process.communicate()
    lines = (site / FILE).read_text().splitlines()
    killed.asked = sum(not line.endswith("/1") for line in lines)  # the fixed text is asked alone
    yield killed


@pytest.mark.slow
def test_thirty_kills_lose_nothing_and_ask_little_again(
    cluster: RayCluster, model: Path, here: dict[str, Any], site: Path, tmp_path: Path
) -> None:
    generator = random.Random(5)
    whom = ["worker"] * 20 + ["node"] * 4 + ["driver"] * 6
    generator.shuffle(whom)
    [killed] = killing(cluster, model, tmp_path, site, iter([(generator.uniform(2, 20), each) for each in whom]))
    last = tmp_path / str(killed.studies)
    cluster.run(*command(model, last, engine="counted"))
    print(killed)
