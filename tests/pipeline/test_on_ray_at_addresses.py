"""A study on a cluster whose models and whose folder are in object storage."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.quantized_folders import write_folder
from support.ray_cluster import LOOPBACK, RayCluster, finished, ray_cluster, wait_for
from support.same_study import content_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(find_spec, ("ray", "moto", "s3fs"))) or sys.platform != "linux", reason="needs Ray, moto and Linux"
    ),
]
SUITE = ["--suite", "probe_facts,probe_text,probe_prompts", "--limit", "24"]
ENGINE = ["--engine", "hf:pack_tokens=64,batch_size=4"]
MODEL, STUDY = "s3://tests/models/tiny", "s3://tests/studies/tiny"
S3 = "import fsspec, sys; s3 = fsspec.filesystem('s3'); "
S3 = "import fsspec, sys; s3 = fsspec.filesystem('s3'); "
UPLOAD = f"{S3} s3.mkdir('tests'); s3.put(sys.argv[1], sys.argv[2], recursive=True)"
UNLOCK = f"{S3} s3.rm(sys.argv[1] + '/.crushtest/lock.json')"
DOWNLOAD = f"{S3} s3.rm(sys.argv[1] + '/.crushtest', recursive=True); s3.get(sys.argv[1], sys.argv[2], recursive=True)"


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        return int(bound.getsockname()[1])


@contextmanager
def s3_inside(cluster: RayCluster, port: int) -> Iterator[None]:
    """Serve S3 from memory in the cluster's network."""
    serve = [*cluster.enter, sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
    server = subprocess.Popen(serve, env=cluster.settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connects = f"import socket; socket.create_connection(('{LOOPBACK}', {port}))"
        wait_for(lambda: server.poll() is None and _succeeds(cluster.inside("-c", connects)))
        yield
    finally:
        server.kill()
        server.wait()


def _succeeds(process: subprocess.Popen[str]) -> bool:
    process.communicate()
    return process.returncode == 0


def answers(cache: Path) -> int:
    """How many answers of tasks that are not finished a machine's working copy has."""
    return sum(path.read_bytes().count(b"\n") for path in cache.glob("remote/*/work/study/arms/*/answers/*.jsonl"))


def test_each_node_copies_a_model_and_any_machine_goes_on_with_the_study(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", None, {})
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "AWS_ACCESS_KEY_ID": "an-identity-of-tests",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = ["run", MODEL, "-r", "magnitude:sparsity=0.3", "-r", "rtn:bits=4,group_size=32", *SUITE, *ENGINE, "-o"]
    nodes, drivers = [tmp_path / "node0", tmp_path / "node1"], [tmp_path / "driver0", tmp_path / "driver1"]
    with ray_cluster(*((1, 0, node) for node in nodes), **environment) as cluster, s3_inside(cluster, port):
        finished(cluster.inside("-c", UPLOAD, f"{tmp_path / 'model'}/", "tests/models/tiny"))
        finished(cluster.inside("-m", "crushtest", *command, tmp_path / "here", CRUSHTEST_CACHE=tmp_path / "own"))
        with cluster.start(*command, STUDY, CRUSHTEST_CACHE=drivers[0]) as process:
            wait_for(lambda: answers(drivers[0]) > 20 or process.poll() is not None)
            process.kill()
            assert process.communicate()[1] is not None
        finished(cluster.inside("-c", UNLOCK, STUDY))
        cluster.run(*command, STUDY, CRUSHTEST_CACHE=drivers[1])
        finished(cluster.inside("-c", DOWNLOAD, STUDY, tmp_path / "there"))
    assert content_of(tmp_path / "there") == content_of(tmp_path / "here")
    for node in nodes:
        assert len(list(node.glob("models/copies/*/*/model.safetensors"))) == 1
    for driver in drivers:
        assert list(driver.glob("models/copies/*/*/config.json"))
        assert not list(driver.glob("models/copies/*/*/model.safetensors"))
