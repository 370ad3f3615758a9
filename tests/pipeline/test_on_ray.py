"""A study on a cluster of two nodes gives what it gives here, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
import yaml

from crushtest.models.threads import on_threads
from crushtest.pipeline.run import run_study
from crushtest.study.spec import build_spec, read_spec
from support.counted_plugin import FILE, HURRY, install
from support.few_resamples import resample_fully
from support.quantized_folders import write_folder
from support.ray_cluster import LOOPBACK, RayCluster, ray_cluster, wait_for
from support.same_study import content_of
from support.tiny_models import SENTENCES

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None or sys.platform != "linux", reason="needs Ray, and Linux to look at its processes"
)
RECIPES = ("magnitude:sparsity=0.3", "rtn:bits=4,group_size=32")
KILLS = int(os.environ.get("CRUSHTEST_KILLS", "10"))
"""How many processes are killed while studies run; of thirty, four are nodes and six the command itself."""
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
    with on_threads(1), pytest.MonkeyPatch.context() as patch:
        resample_fully(patch)
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


@contextmanager
def another_node(cluster: RayCluster, cpus: int, gpus: int) -> Iterator[None]:
    """Let the cluster have another node for a while."""
    cluster.tell("add", cpus, gpus)
    try:
        yield
    finally:
        cluster.tell("kill")


def command(model: Path, out: Path, *, engine: str = ENGINE, limit: int = LIMIT) -> list[Any]:
    recipes = [part for recipe in RECIPES for part in ("-r", recipe)]
    return ["run", model, *recipes, "--suite", SUITE, "--limit", limit, "--engine", engine, "-o", out]


class Counted(NamedTuple):
    """An answer that was computed: by whom, and on which GPUs."""

    process: str
    gpus: str


def counted(site: Path) -> list[Counted]:
    """The answers that the counting engine has computed, but for the fixed text, which is asked alone."""
    lines = (site / FILE).read_text().splitlines() if (site / FILE).exists() else []
    return [Counted(*line.split()[:2]) for line in lines if not line.endswith("/1")]


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


@pytest.mark.slow
def test_where_memory_runs_out_on_a_worker_its_packs_are_halved(
    cluster: RayCluster, model: Path, tmp_path: Path
) -> None:
    engine = "counted:pack_tokens=64,fits=32,delay_s=0.2"
    said = cluster.run(
        "evaluate", model, "--suite", "probe_qa", "--limit", 24, "--engine", engine, "-o", tmp_path / "s"
    )
    assert "out of memory with pack_tokens=64, " in said
    assert "goes on with pack_tokens=32, " in said
    facts = json.loads((tmp_path / "s" / "manifest.json").read_text())["arms"]["dense"]
    assert facts["engine"]["sizes"]["pack_tokens"] == 32
    assert [each["from"]["pack_tokens"] for each in facts["halved"]] == [64]
    answered = pl.read_parquet(tmp_path / "s" / "arms" / "dense" / "answers" / "probe_qa.parquet")
    assert answered["item"].n_unique() == answered.height == 24


@dataclass
class Killed:
    """Studies that ran although somebody kept killing.

    kills    of workers, of nodes with their workers, of the process that writes the folder
    studies  that were finished
    runs     how often a command was given
    """

    kills: Counter[str]
    studies: int = 0
    runs: int = 0


def killing(cluster: RayCluster, model: Path, folder: Path, site: Path, moments: Iterable[tuple[int, str]]) -> Killed:
    """Run studies while a process is killed at each moment: when so many answers more are computed than at the last."""
    killed = Killed(Counter())
    process = None
    for count, whom in moments:
        until = len(counted(site)) + count
        while process is None or len(counted(site)) < until or not cluster.workers():
            time.sleep(0.02)
            if process is not None and process.poll() is not None:
                said = process.communicate()[1]
                assert process.returncode in (0, 1), said
                killed.studies += process.returncode == 0
                process = None
            if process is None:
                process = cluster.start(*command(model, folder / str(killed.studies), engine="counted"))
                killed.runs += 1
        if whom == "driver":
            process.kill()
            process.communicate()
            process = None
        elif whom == "node":
            cluster.tell("kill")
            cluster.tell("add", 1, 0)
        else:
            workers = cluster.workers()
            os.kill(workers[count % len(workers)], signal.SIGKILL)
        killed.kills[whom] += 1
        print(killed, len(counted(site)), flush=True)
    if process is not None:
        process.communicate()
    return killed


@pytest.mark.slow
def test_kills_lose_nothing_and_ask_little_again(cluster: RayCluster, model: Path, site: Path, tmp_path: Path) -> None:
    generator = random.Random(5)
    nodes, drivers = KILLS * 4 // 30, KILLS // 5
    whom = ["worker"] * (KILLS - nodes - drivers) + ["node"] * nodes + ["driver"] * drivers
    generator.shuffle(whom)
    (site / FILE).unlink(missing_ok=True)
    killed = killing(cluster, model, tmp_path, site, [(generator.randrange(30), each) for each in whom])
    cluster.run(*command(model, tmp_path / str(killed.studies), engine="counted"))
    asked = len(counted(site))
    cluster.run(*command(model, tmp_path / "undisturbed", engine="counted"))
    studies = [content_of(tmp_path / str(number)) for number in range(killed.studies + 1)]
    assert all(study == content_of(tmp_path / "undisturbed") for study in studies)
    arms, tasks = len(RECIPES) + 1, SUITE.count(",") + 1
    assert asked - len(studies) * arms * tasks * LIMIT <= 64 * killed.kills.total()


@pytest.mark.slow
def test_a_node_that_joins_takes_a_share(cluster: RayCluster, model: Path, site: Path, tmp_path: Path) -> None:
    engine, hurry = "counted:pack_tokens=16,delay_s=5.0", site / (FILE + HURRY)
    arguments = ["evaluate", model, "--suite", "probe_text", "--limit", 60, "--engine", engine]
    (site / FILE).unlink(missing_ok=True)
    with cluster.start(*arguments, "-o", tmp_path / "s") as process:
        wait_for(lambda: len({answer.process for answer in counted(site)}) == 2 or process.poll() is not None)
        began = time.monotonic()
        with another_node(cluster, 1, 0):
            wait_for(lambda: len(cluster.workers()) == 3 or process.poll() is not None)
            print(f"a worker on the new node after {time.monotonic() - began:.1f} s")
            wait_for(lambda: len({answer.process for answer in counted(site)}) == 3 or process.poll() is not None)
            hurry.touch()
            said = process.communicate()[1]
    hurry.unlink()
    assert process.returncode == 0, said
    assert len({answer.process for answer in counted(site)}) == 3
    [log] = (tmp_path / "s").glob("arms/dense/answers/*.parquet")
    assert len(counted(site)) == pl.read_parquet(log).height


@pytest.mark.slow
def test_an_interrupt_ends_the_workers_and_the_same_command_goes_on(cluster: RayCluster, tmp_path: Path) -> None:
    arguments = ["evaluate", "fake", "--suite", "probe_facts", "--limit", 40, "-o", tmp_path / "s", "--engine"]
    with cluster.start(*arguments, "fake:delay_s=1.0") as process:
        wait_for(lambda: answers(tmp_path / "s") > 2)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=900)[1]
    assert process.returncode == 130, said
    assert said.rstrip().endswith("interrupted; the same command resumes from here")
    wait_for(lambda: not cluster.workers())
    before = answers(tmp_path / "s")
    said = cluster.run(*arguments, "fake:delay_s=1.0")
    assert f"{before - 1} done before" in said  # the first line says what the log is


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
def test_arms_see_their_own_gpus_and_run_side_by_side_if_there_are_enough(
    cluster: RayCluster, model: Path, site: Path, tmp_path: Path, gpus: int
) -> None:
    (site / FILE).unlink(missing_ok=True)
    arguments = ["run", model, "-r", RECIPES[0], "--suite", "probe_facts", "--limit", LIMIT, "--engine", "counted"]
    with another_node(cluster, 2, 2):
        cluster.run(*arguments, "--gpus-per-arm", gpus, "-o", tmp_path / "s")
    seen = {(answer.process, answer.gpus) for answer in counted(site)}
    assert {gpus for _, gpus in seen} == ({"0", "1"} if gpus == 1 else {"0,1"})
    assert len(seen) == 3 - gpus


@pytest.mark.slow
def test_draws_repeats_and_comparisons_with_dense_are_those_of_a_run_here(
    cluster: RayCluster, model: Path, tmp_path: Path
) -> None:
    texts, calibration = tmp_path / "texts.jsonl", tmp_path / "calibration.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in SENTENCES))
    calibration.write_text("".join(json.dumps({"text": text * 20}) + "\n" for text in SENTENCES))
    custom = {"path": str(texts), "window": 40}
    content = {
        "model": str(model),
        "arms": [{"recipe": "wanda:sparsity=0.5", "replicates": 2}],
        "suite": [{"custom_text": custom | {"divergence": "top_k"}}, {"probe_prompts": {"limit": 6}}],
        "calibration": {"source": str(calibration), "sequences": 2, "length": 32},
        "noise_floor": {"repeats": 1},
        "device": "cpu",
    }
    here, there = here_and_there(cluster, content, tmp_path)
    assert there == here


@pytest.mark.slow
def test_an_arm_stops_early_where_it_does_here(cluster: RayCluster, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0.2, min_items: 20}]")
    content = {
        "model": "fake",
        "engine": "fake",
        "arms": [{"name": "other", "model": "fake", "engine": "fake:seed=1"}],
        "suite": ["probe_facts"],
        "stop_early": {"policy": str(policy)},
    }
    here, there = here_and_there(cluster, content, tmp_path)
    assert there == here


def here_and_there(cluster: RayCluster, content: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bytes of a study that ran here, and on the cluster."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(content))
    with on_threads(1):
        run_study(read_spec(file), folder / "here")
    cluster.run("run", "--study", file, "-o", folder / "there")
    return content_of(folder / "here"), content_of(folder / "there")
