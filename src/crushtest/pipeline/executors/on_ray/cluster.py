"""The workers on a Ray cluster, and who gets them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crushtest.errors import first_error_line
from crushtest.pipeline.executors.on_ray.travel import Where
from crushtest.pipeline.executors.on_ray.turns import Turns
from crushtest.pipeline.executors.on_ray.worker import Worker
from crushtest.stats.verdicts import counted

LOOKS_S = 1.0
"""How often a wait looks up, and how long what the cluster says of its free places holds."""
PATIENCE_S = 20.0
"""How long an arm waits for a place before that is said."""
BESIDE = "beside"
"""The group of calls that a worker answers while it computes."""


@dataclass(frozen=True)
class Need:
    """What one worker takes of the cluster."""

    cpus: int
    gpus: int

    def __str__(self) -> str:
        return counted(self.cpus, "CPU") + (f" and {counted(self.gpus, 'GPU')}" if self.gpus else "")

    def fits(self, resources: Mapping[str, float]) -> bool:
        """Return True if a worker has room in what Ray names a node's resources."""
        return resources.get("CPU", 0) >= self.cpus and resources.get("GPU", 0) >= self.gpus


@dataclass(eq=False)
class Member:
    """A worker of an arm.

    attached  the task that its engine compares with the dense model for
    """

    actor: Any
    attached: str | None = None


class Cluster:
    """Places for workers. Everything is called by the thread that has the turn.

    limit    workers at once; None: as many as there is room for
    waiting  the arms that have no worker yet
    placing  the arms that wait for one now, at first or because theirs died

    Workers without an arm are kept for whoever needs one next: a new one takes seconds to start.
    """

    def __init__(self, turns: Turns, need: Need, threads: int, limit: int | None) -> None:
        self.turns = turns
        self.waiting: list[str] = []
        self.placing: set[str] = set()
        self._queue: list[str] = []
        self._need = need
        self._threads = threads
        self._limit = limit
        self._held: list[Any] = []
        self._idle: list[Any] = []  # have held an arm, so they have a place
        self._early: list[Any] = []  # may wait for one
        self._looked = time.monotonic()

    def start_early(self, count: int) -> None:
        """Start workers for which there is room now, so many at most, while something else is done."""
        import ray

        free = ray.available_resources()
        room = [int(free.get("CPU", 0)) // self._need.cpus, count]
        room += [int(free.get("GPU", 0)) // self._need.gpus] if self._need.gpus else []
        for _ in range(min(room if self._limit is None else [*room, self._limit])):
            worker = self._start()
            worker.get_ready.remote()
            self._early.append(worker)

    def expect(self, titles: Sequence[str]) -> None:
        """Take in arms that want a worker, in this order."""
        self.waiting, self._queue = list(titles), list(titles)

    def place(self, title: str, say: Callable[[str], None]) -> Any:
        """Return a worker for an arm, as soon as it is the arm's turn and there is room; say where that is."""
        self.placing.add(title)
        try:
            return self._placed(title, say)
        finally:
            self.placing.remove(title)

    def _placed(self, title: str, say: Callable[[str], None]) -> Any:
        while not self._has_place() or (title in self._queue and self._queue[0] != title):
            with self.turns.away():
                time.sleep(0.05)
        if title in self._queue:
            self._queue.remove(title)
        worker = self._spare() or self._start()
        try:
            where = worker.where.options(concurrency_group=BESIDE).remote()
            reasons = self._reasons()
            while not self.ready([where]):
                if self._idle:  # it has a place, which this one waits for
                    self.release(worker)
                    worker = self._idle.pop()
                    where = worker.where.options(concurrency_group=BESIDE).remote()
                elif reason := next(reasons, None):
                    say(f"{title} waits {reason}")
            place: Where = self.result(where)
        except BaseException:
            self.release(worker)
            raise
        self.no_longer_waits(title)
        say(f"{title} runs on {place}")
        return worker

    def _reasons(self) -> Iterator[str | None]:
        """Yield why a worker has no place yet, each time that it is looked after; None if there is nothing to say."""
        import ray

        with self.turns.away():
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(self._need.fits(node) for node in nodes):
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until:
                yield None
            yield f"for {self._need}"
        else:
            cpus, gpus = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU"))
            has = f"{counted(cpus, 'CPU')} and {counted(gpus, 'GPU')} on {counted(len(nodes), 'node')}"
            yield f"until a node with {self._need} joins; the cluster has {has}"

    def hand_on(self, worker: Any) -> None:
        """Keep a worker that has let go of its arm."""
        self._idle.append(worker)

    def queue_behind(self, first: str, title: str) -> None:
        """Let an arm have no worker before another one has."""
        self._queue += [first, title]

    def no_longer_waits(self, title: str) -> None:
        """Let the next arm have a worker."""
        for titles in (self.waiting, self._queue):
            while title in titles:
                titles.remove(title)

    def helper(self) -> Any | None:
        """Return another worker for an arm that has one; None if there is no room, or another arm waits for it."""
        import ray

        if not self.waiting and (spare := self._spare()) is not None:
            return spare
        if self.waiting or self._full() or time.monotonic() - self._looked < LOOKS_S:
            return None
        self._looked = time.monotonic()
        with self.turns.away():
            free = ray.available_resources()
        if self.waiting or not self._need.fits(free):
            return None
        return self._start()

    def ready(self, waited: Sequence[Any]) -> list[Any]:
        """Let others have the turn until one of these is there, or for a second; return which are."""
        import ray

        with self.turns.away():
            there: list[Any] = ray.wait(list(waited), num_returns=1, timeout=LOOKS_S, fetch_local=False)[0]
        return there

    def result(self, reference: Any) -> Any:
        """Let others have the turn until a result is there, and return it. Raises what became of its worker."""
        import ray

        while not self.ready([reference]):
            pass
        with self.turns.away():
            return ray.get(reference)

    def release(self, worker: Any) -> None:
        """End a worker, whatever it does."""
        import ray

        if worker in self._held:
            self._held.remove(worker)
            ray.kill(worker)

    def release_all(self) -> None:
        """End every worker."""
        self._idle.clear()
        self._early.clear()
        for worker in list(self._held):
            self.release(worker)

    def _has_place(self) -> bool:
        return bool(self._idle or self._early) or not self._full()

    def _spare(self) -> Any | None:
        """Return a worker that holds no arm; None if there is none."""
        return self._idle.pop() if self._idle else self._early.pop(0) if self._early else None

    def _full(self) -> bool:
        return self._limit is not None and len(self._held) >= self._limit

    def _start(self) -> Any:
        import ray

        made: Any = ray.remote(concurrency_groups={BESIDE: 1})(Worker)
        worker = made.options(
            num_cpus=self._need.cpus,
            num_gpus=self._need.gpus,
            max_restarts=0,
            max_task_retries=0,
        ).remote(self._threads)
        self._held.append(worker)
        return worker


def is_raised_by_code(error: Exception) -> bool:
    """Return True for what a worker's own code raised, False where it, or another that it needed something of, died.

    Ray reports a task whose arguments were lost with their worker like one that has raised something.
    """
    from ray.exceptions import RayError, RayTaskError

    return isinstance(error, RayTaskError) and not isinstance(error.cause, RayError)


def reason_of(died: Exception) -> str:
    """Return why a worker died, in the words of Ray that say most."""
    lines = [line.strip() for line in str(died).splitlines()]
    named = [line for line in lines if line.startswith(("The actor died because", "The actor died unexpectedly"))]
    return first_error_line(Exception(named[0])) if named else first_error_line(died)
