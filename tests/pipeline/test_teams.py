"""The workers of an arm: whoever takes the place of another has prepared the arm, and memory may run out on them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from crushtest.errors import EngineError
from crushtest.models.memory import is_out_of_memory
from crushtest.pipeline.executors.on_ray.travel import Prepared, Refused

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Ray is tried on Linux")


class Actor:
    """A worker without a process; `dead` ones answer nothing."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
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

    def place(self, title: str, say: Any) -> Actor:
        self.actors.append(Actor())
        return self.actors[-1]

    def result(self, reference: Callable[[], Any]) -> Any:
        return reference()

    def release(self, actor: Actor) -> None:
        actor.dead = True


class Quiet:
    """A run, an arm and their progress, of which only names are read."""

    title = "dense"

    @property
    def progress(self) -> Quiet:
        return self

    def say(self, line: str) -> None:
        """Say nothing."""


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


def test_memory_that_runs_out_on_a_worker_is_known_as_that_here() -> None:
    refused = Refused.of(RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"))
    assert is_out_of_memory(refused.error())
    assert "9 GiB" in str(refused.error())
    assert isinstance(Refused.of(EngineError("why")).error(), EngineError)
    with pytest.raises(RuntimeError, match="a bug"):
        Refused.of(RuntimeError("a bug"))
