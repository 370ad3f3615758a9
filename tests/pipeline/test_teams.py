"""The workers of an arm: whoever takes the place of another has prepared the arm, and memory may run out on them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from crushtest.errors import EngineError
from crushtest.models.memory import is_out_of_memory
from crushtest.pipeline.executors.on_ray.cluster import Cluster, Need
from crushtest.pipeline.executors.on_ray.travel import Prepared, Refused
from crushtest.pipeline.executors.on_ray.turns import Turns
from crushtest.pipeline.memory import sized_options
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Ray is tried on Linux")


@pytest.fixture(autouse=True)
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the nodes of the cluster that stands for one; a test may change them."""
    listed = [{"Alive": True, "Resources": {"CPU": 1.0}}, {"Alive": True, "Resources": {"CPU": 1.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: listed)
    return listed


class Actor:
    """A worker without a process; `dead` ones answer nothing."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.closed = 0
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return Method(self, name)

    def answer(self, name: str, *arguments: Any) -> Any:
        if self.dead:
            raise ray.exceptions.ActorDiedError
        if name == "prepare":
            self.jobs += arguments
            return Prepared({}, {"sizes": {"pack_tokens": arguments[0]}}, {})
        assert self.jobs, f"{name} of a worker that has prepared nothing"
        if name == "close":
            self.closed += 1
            return None
        return {"sizes": {"pack_tokens": self.jobs[-1] // 2}}


class Method:
    """A method of a worker, called when its result is asked for."""

    def __init__(self, actor: Actor, name: str) -> None:
        self._actor, self._name = actor, name

    def remote(self, *arguments: Any) -> Callable[[], Any]:
        return lambda: self._actor.answer(self._name, *arguments)


class Placed:
    """A cluster that has a place for everybody."""

    def __init__(self) -> None:
        self.actors: list[Actor] = []
        self.handed_on: list[Actor] = []
        self.placing: set[str] = set()
        self.turns = self
        self.meanwhile: Callable[[], None] = lambda: None

    def away(self) -> Any:
        self.meanwhile()
        return nullcontext()

    def hand_on(self, actor: Actor) -> None:
        self.handed_on.append(actor)

    def place(self, title: str, say: Any) -> Actor:
        self.actors.append(Actor())
        return self.actors[-1]

    def result(self, reference: Callable[[], Any]) -> Any:
        return reference()

    def release(self, actor: Actor) -> None:
        actor.dead = True


class Quiet:
    """A run, an arm and their progress."""

    title = "dense"

    def __init__(self) -> None:
        self.said: list[str] = []

    @property
    def progress(self) -> Quiet:
        return self

    def say(self, line: str) -> None:
        self.said.append(line)


def test_a_worker_that_takes_anothers_place_prepares_the_arm_as_noted() -> None:
    from crushtest.pipeline.executors.on_ray.team import Team

    cluster, noted = Placed(), [64]
    known: Any = {"cluster": cluster, "run": Quiet(), "arm": Quiet(), "job": lambda: noted[-1]}
    team = Team(**known, note=lambda prepared: noted.append(prepared.engine["sizes"]["pack_tokens"]))
    team.begin()
    cluster.actors[0].dead = True
    noted.append(32)  # what was recorded meanwhile
    assert team.halve("choices")
    assert [actor.jobs for actor in cluster.actors] == [[64], [32]]
    assert team.describe()["sizes"] == {"pack_tokens": 16}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Refused("ModelError", "no such folder"), "another cannot prepare it (no such folder)"),
        (Refused("MemoryError", "out of memory"), "another cannot prepare it (out of memory)"),
        (Prepared({}, {"sizes": {"pack_tokens": 32}}, {}), "(sizes is {'pack_tokens': 32}, not {'pack_tokens': 64})"),
        (Prepared({}, {}, {}), "(sizes is None, not {'pack_tokens': 64})"),
        (Prepared({}, {"sizes": {"pack_tokens": 64}, "note": "x"}, {}), "(note is x, not None)"),
    ],
)
def test_a_second_worker_that_cannot_help_ends_no_arm(answer: Any, why: str) -> None:
    from crushtest.pipeline.executors.on_ray.cluster import Member
    from crushtest.pipeline.executors.on_ray.team import Team

    cluster, run, helper = Placed(), Quiet(), Actor()
    known: Any = {"cluster": cluster, "run": run, "arm": Quiet(), "job": lambda: 64, "note": lambda prepared: None}
    team = Team(**known)
    team.begin()

    def joined() -> Any:
        return answer

    team._joining.pending[joined] = Member(helper)
    team._welcome(joined)
    assert helper.dead
    assert not cluster.actors[0].dead
    assert why in run.said[-1]


@pytest.mark.parametrize("bug", [False, True])
def test_a_second_worker_whose_weights_die_with_the_first_is_let_go(bug: bool) -> None:
    from crushtest.pipeline.executors.on_ray.cluster import Member
    from crushtest.pipeline.executors.on_ray.team import Team

    lost = ray.exceptions.ObjectReconstructionFailedError("object", None, "where")
    cause = ValueError("a bug") if bug else lost
    cluster, run, helper = Placed(), Quiet(), Actor()
    known: Any = {"cluster": cluster, "run": run, "arm": Quiet(), "job": lambda: 64, "note": lambda prepared: None}
    team = Team(**known)
    team.begin()

    def joined() -> Any:
        raise ray.exceptions.RayTaskError("join", "lines", cause).as_instanceof_cause()

    team._joining.pending[joined] = Member(helper)
    with pytest.raises(ValueError, match="lines") if bug else nullcontext():
        team._welcome(joined)
    assert helper.dead is not bug
    assert not cluster.actors[0].dead


def test_memory_that_runs_out_on_a_worker_is_known_as_that_here() -> None:
    refused = Refused.of(RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"))
    assert is_out_of_memory(refused.error())
    assert "9 GiB" in str(refused.error())
    assert isinstance(Refused.of(EngineError("why")).error(), EngineError)
    with pytest.raises(RuntimeError, match="a bug"):
        Refused.of(RuntimeError("a bug"))


@pytest.mark.parametrize("dense", ["alike", "less at once", "failed"])
def test_an_arm_is_prepared_beside_dense_and_runs_as_much_at_once(tmp_path: Path, dense: str) -> None:
    from crushtest.pipeline.executors.on_ray.host import Workers
    from crushtest.pipeline.executors.on_ray.team import Team

    cluster, folder, ended = Placed(), StudyFolder(tmp_path), set[str]()
    options: dict[str, Any] = {"engine": "hf", "engine_options": {"pack_tokens": None}, "draw": 0, "repeat": 0}
    first, other = (SimpleNamespace(name=name, title=name, **options) for name in ("dense", "other"))
    run: Any = SimpleNamespace(folder=folder, progress=Quiet())
    host: Any = Workers(cluster, first, ended)  # type: ignore[arg-type]
    noted: list[Prepared] = []

    def meanwhile() -> None:
        assert [actor.jobs for actor in cluster.actors] == [[64]]
        if dense == "failed":
            ended.add("dense")
        else:
            facts = {"engine": "hf", "sizes": {"pack_tokens": 64 if dense == "alike" else 32}}
            manifest.update(folder.manifest, "arms", "dense", {"engine": facts})

    cluster.meanwhile = meanwhile

    def job() -> Any:
        return sized_options(folder, other)["pack_tokens"] or 64  # type: ignore[arg-type]

    known: Any = {"cluster": cluster, "run": run, "arm": other, "job": job, "note": noted.append}
    team = Team(**known, suits=lambda prepared: host._suits(run, other, prepared))
    team.begin()
    [actor] = cluster.actors
    assert (actor.jobs, actor.closed) == (([64, 32], 1) if dense == "less at once" else ([64], 0))
    assert [prepared.engine["sizes"]["pack_tokens"] for prepared in noted] == [cluster.actors[0].jobs[-1]]


def test_an_arm_that_waits_for_dense_gives_its_place_to_dense() -> None:
    from crushtest.pipeline.executors.on_ray.team import Team

    cluster, run = Placed(), Quiet()
    answers = iter([None, True])
    known: Any = {"cluster": cluster, "run": run, "arm": Quiet(), "job": lambda: 64, "note": lambda prepared: None}
    team = Team(**known, suits=lambda prepared: next(answers))
    team.begin()
    assert cluster.handed_on == cluster.actors[:1]
    assert [actor.closed for actor in cluster.actors] == [1, 0]
    assert team._members[0].actor is cluster.actors[1]


def test_an_arm_that_gave_its_place_away_has_one_after_dense() -> None:
    cluster = Slow(1)
    with cluster.turns.taken():
        worker = cluster.place("other", lambda line: None)
        cluster.queue_behind("dense", "other")
        cluster.hand_on(worker)
        got = []
        thread = Thread(target=lambda: got.append(placed(cluster, "other")))
        thread.start()
        with cluster.turns.away():
            time.sleep(0.2)
        assert not got
        assert cluster.placing == {"other"}
        assert cluster.place("dense", lambda line: None) is worker
        cluster.hand_on(worker)
        with cluster.turns.away():
            thread.join()
    assert got == [worker]


def placed(cluster: Cluster, title: str) -> Any:
    with cluster.turns.taken():
        return cluster.place(title, lambda line: None)


class Pending:
    """A worker of a cluster in which each needs a while to have its place; `where` is asked as of Ray's."""

    def __init__(self) -> None:
        self.where = self.get_ready = self

    def options(self, **_: Any) -> Pending:
        return self

    def remote(self) -> Pending:
        return self


class Slow(Cluster):
    """A cluster without processes, in which a worker has its place when it was waited for a few times."""

    def __init__(self, limit: int | None, need: Need = Need(1, 0)) -> None:  # noqa: B008  it is frozen
        super().__init__(Turns(), need, 1, limit)
        self.released: list[Pending] = []
        self.waits = 0

    def _start(self) -> Pending:
        worker = Pending()
        self._held.append(worker)
        return worker

    def ready(self, waited: Any) -> list[Any]:
        self.waits += 1
        return [] if self.waits % 4 else list(waited)

    def result(self, reference: Any) -> str:
        return "a node"

    def release(self, worker: Any) -> None:
        self._held.remove(worker)
        self.released.append(worker)


@pytest.mark.parametrize(("free", "limit", "count"), [(8.0, None, 3), (2.0, None, 2), (0.5, None, 0), (8.0, 1, 1)])
def test_workers_start_early_where_there_is_room_and_arms_get_them(
    monkeypatch: pytest.MonkeyPatch, free: float, limit: int | None, count: int
) -> None:
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": free})
    cluster = Slow(limit)
    cluster.start_early(3)
    early = list(cluster._held)
    assert len(early) == count
    cluster.expect(["one", "two"])
    with cluster.turns.taken():
        got = [cluster.place(title, lambda line: None) for title in ("one", "two")[: limit or 2]]
    assert got[:count] == early[:2]
    assert not cluster.released


def test_a_worker_without_an_arm_helps_another_before_a_new_one_is_started() -> None:
    cluster = Slow(None)
    cluster.expect(["one", "two"])
    with cluster.turns.taken():
        first = cluster.place("one", lambda line: None)
        cluster.hand_on(first)
        assert cluster.helper() is None  # an arm waits for it
        assert cluster.place("two", lambda line: None) is first
        cluster.hand_on(first)
        assert cluster.helper() is first
        assert cluster._held == [first]
        cluster.release_all()
    assert cluster.released == [first]


def test_a_wait_for_a_node_that_is_not_there_says_at_once_what_there_is(nodes: list[dict[str, Any]]) -> None:
    nodes.append({"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}})
    said: list[str] = []
    for need in (Need(1, 1), Need(2, 0), Need(1, 0)):
        cluster = Slow(None, need)
        with cluster.turns.taken():
            cluster.place("dense", said.append)
    has = "joins; the cluster has 2 CPUs and 0 GPUs on 2 nodes"
    assert [line for line in said if "waits" in line] == [
        f"dense waits until a node with 1 CPU and 1 GPU {has}",
        f"dense waits until a node with 2 CPUs {has}",  # which no node has alone
    ]


class Steps(Quiet):
    """Progress that notes which steps begin."""

    @contextmanager
    def step(self, title: str, total: int, **_: Any) -> Iterator[Callable[[int], None]]:
        self.said.append(title)
        yield lambda count: self.said.append(f"{count} done")


def test_loading_begins_when_the_arm_has_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from crushtest.pipeline.executors.on_ray import host

    class Dying(Placed):
        def place(self, title: str, say: Any) -> Actor:
            run.said.append("placed")
            actor = super().place(title, say)
            actor.dead = len(self.actors) == 1
            return actor

    run, cluster = Steps(), Dying()
    arm: Any = SimpleNamespace(title="third", recipe=None)
    monkeypatch.setattr(host, "note", lambda *_: None)
    monkeypatch.setattr(host.Workers, "_job", lambda *_: 64)
    host.Workers(cluster).prepare(run, arm)  # type: ignore[arg-type]
    first, begins, died, again, done = run.said
    assert (first, begins, again, done) == ("placed", "third · loading", "placed", "1 done")
    assert "a worker died and is replaced" in died
