"""A Ray cluster of several nodes on one machine, on loopback alone; in a network of its own where that is allowed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
SETTINGS = {
    # On Linux Ray otherwise looks for the machine's own address, even where it was given this one.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers otherwise give way to whatever else runs, which on a busy machine is for minutes.
    "RAY_worker_niceness": "0",
    "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}",
    "PYTHONDONTWRITEBYTECODE": "",  # or every worker compiles crushtest anew
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    # On a machine that others keep busy a process may take minutes to start or to answer.
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_gcs_rpc_server_connect_timeout_s": "600",
    "RAY_health_check_timeout_ms": "60000",
    # Workers are started when an arm needs one.
    "RAY_prestart_worker_first_driver": "0",
    # A node that is gone answers at once that it is.
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}
PATIENCE = 20
"""How many times longer than by itself Ray waits for a node that starts; half a minute is what it has in its code."""
LISTENS = "0A"


class Process(NamedTuple):
    """A process of this machine."""

    pid: int
    parent: int
    command: str


@dataclass(frozen=True)
class RayCluster:
    """A cluster that runs.

    enter     what a command begins with to run in the cluster's network
    keeper    the process whose children the nodes are
    settings  the environment of all
    """

    address: str
    enter: tuple[str, ...]
    keeper: subprocess.Popen[str]
    settings: dict[str, str]

    def tell(self, *command: Any) -> Any:
        """Give the keeper a command: `add CPUS GPUS [CACHE]` starts a node, `kill` kills the last as a machine goes.

        Returns the cluster's address, or the process that stood for the node.
        """
        assert self.keeper.stdin is not None
        assert self.keeper.stdout is not None
        print(*command, file=self.keeper.stdin, flush=True)
        return json.loads(self.keeper.stdout.readline())

    def inside(self, *arguments: Any, **more: Any) -> subprocess.Popen[str]:
        """Start Python in the cluster's network, with more in its environment."""
        return subprocess.Popen(
            [*self.enter, sys.executable, *map(str, arguments)],
            env=self.settings | {name: str(value) for name, value in more.items()},
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    @property
    def options(self) -> tuple[str, ...]:
        """The options that make this cluster a command's executor."""
        return ("--executor", "ray", "--address", self.address)

    def start(self, *arguments: Any, **more: Any) -> subprocess.Popen[str]:
        """Start crushtest with this cluster as its executor."""
        return self.inside("-m", "crushtest", *arguments, *self.options, **more)

    def run(self, *arguments: Any, **more: Any) -> str:
        """Run crushtest on this cluster to its end; return what it said on stderr."""
        return finished(self.start(*arguments, **more))

    def processes(self) -> dict[int, Process]:
        """Return the cluster's processes."""
        everywhere = {process.pid: process for process in running()}
        ours = {self.keeper.pid}
        while new := {pid for pid, process in everywhere.items() if process.parent in ours} - ours:
            ours |= new
        return {pid: everywhere[pid] for pid in ours if pid in everywhere}

    def workers(self) -> list[Process]:
        """Return the processes that hold an arm; their parents stand for nodes."""
        return [process for process in self.processes().values() if process.command.startswith("ray::Worker")]

    def listening(self, command: int) -> set[str]:
        """Return the addresses on which any process of the cluster listens, or a command that it runs for."""
        return {address for pid in [*self.processes(), command] for address in listening(pid)}


def finished(process: subprocess.Popen[str]) -> str:
    """Wait until a process has done what it is for; return what it said on stderr."""
    with process:
        said = process.communicate(timeout=900)[1]
    assert process.returncode == 0, said
    return said


def wait_for(what: Callable[[], Any], seconds: float = 900) -> Any:
    """Wait until something is there, and return it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if there := what():
            return there
        time.sleep(0.02)
    raise TimeoutError


def running() -> Iterator[Process]:
    """Yield every process of this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            yield Process(int(folder.name), parent, (folder / "cmdline").read_text().replace("\0", " "))


def listening(pid: int) -> Iterator[str]:
    """Yield the addresses on which a process listens."""
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            held.add(os.readlink(descriptor))
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENS and f"socket:[{fields[9]}]" in held:
                    yield in_words(fields[1].partition(":")[0])


def in_words(address: str) -> str:
    """Return an address of /proc/net/tcp: words of four bytes, each in the machine's order."""
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    *before, last = words
    if before and (before != [bytes(4), bytes(4), b"\0\0\xff\xff"]):
        return b"".join(words).hex(":", 2)
    return ".".join(map(str, last))


@contextmanager
def ray_cluster(*nodes: tuple[Any, ...], **more: str) -> Iterator[RayCluster]:
    """Run a cluster with a node for each of these numbers of processors and GPUs, until the block ends.

    A node may have a cache of its own, whose folder follows the numbers.
    """
    settings = os.environ | SETTINGS | more
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # paths of sockets must be short
    own = ("unshare", "-n") if os.getuid() == 0 else ("unshare", "-Urn")
    alone = (
        shutil.which("unshare") and shutil.which("ip") and subprocess.run([*own, "true"], check=False).returncode == 0
    )
    script = f"exec {sys.executable} -m support.ray_cluster"
    command = [*own, "sh", "-c", f"ip link set lo up && {script}"] if alone else ["sh", "-c", script]
    keeper = subprocess.Popen(
        command,
        env=settings | {"RAY_TMPDIR": folder},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    users = () if os.getuid() == 0 else ("-U", "--preserve-credentials")
    enter = ("nsenter", "-t", str(keeper.pid), "-n", *users) if alone else ()
    cluster = RayCluster("", enter, keeper, settings)
    try:
        addresses = [cluster.tell("add", *node) for node in nodes]
        yield RayCluster(addresses[0], enter, keeper, settings)
    finally:
        ours = list(cluster.processes())
        for pid in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        keeper.wait()
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdin.close()
        keeper.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


class SlowClock:
    """The module `time` with a clock that goes slowly, for code that waits by it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return time.monotonic() / PATIENCE


def keep() -> None:
    """Start and kill nodes as standard input says."""
    import ray._private.node
    import ray.cluster_utils

    vars(ray._private.node)["time"] = SlowClock()
    ray._private.node.Node.start_api_server = lambda self, **_: None  # it shows the cluster to people
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cluster: Any = ray.cluster_utils.Cluster()
    nodes: list[Any] = []
    for line in sys.stdin:
        answer: Any = None
        match line.split():
            case ["add", cpus, gpus, *cache]:
                os.environ |= dict(zip(["CRUSHTEST_CACHE"], cache, strict=False))
                nodes.append(
                    cluster.add_node(
                        wait=False,  # it is known to the others when it has started
                        num_cpus=int(cpus),
                        num_gpus=int(gpus),
                        node_ip_address=LOOPBACK,
                        include_dashboard=False,
                        include_log_monitor=False,
                        no_monitor=True,
                        object_store_memory=80 * 2**20,
                    )
                )
                answer = cluster.address
            case ["kill"]:
                answer = nodes.pop().all_processes["raylet"][0].process.pid
                children = [process.pid for process in running() if process.parent == answer]
                for pid in [answer, *children]:
                    os.kill(pid, signal.SIGKILL)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    keep()
