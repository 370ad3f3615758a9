"""Workers that join an arm which has one, while the cluster has room that no other arm needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crushtest.errors import CrushtestError
from crushtest.pipeline.executors.on_ray.cluster import BESIDE, Cluster, Member, is_raised_by_code
from crushtest.pipeline.executors.on_ray.travel import Job, Prepared, accepted
from crushtest.study.arms import Arm


class Joining:
    """Calls workers for an arm one after another, and takes in those that run it as the first one does.

    pending  the worker that loads the arm now, by the call that says when it has
    over     True after a worker that could not help: no other is called
    """

    def __init__(self, cluster: Cluster, say: Callable[[str], None], arm: Arm, job: Callable[[], Job]) -> None:
        self.pending: dict[Any, Member] = {}
        self.over = False
        self._cluster = cluster
        self._say = say
        self._arm = arm
        self._job = job

    def call(self, members: Sequence[Member]) -> None:
        """Ask for another worker, which gets the weights as the first of these has compressed them."""
        if self.pending or self.over or not members:
            return
        actor = self._cluster.helper()
        if actor is None:
            return
        weights = None
        if self._arm.recipe is not None:
            weights = members[0].actor.weights.options(concurrency_group=BESIDE).remote()
        self.pending[actor.join.remote(self._job(), weights)] = Member(actor)

    def welcome(self, reference: Any, first: Prepared) -> Member | None:
        """Return a worker that has loaded the arm; None if it died, or would not run it as the first one does."""
        from ray.exceptions import RayError

        member = self.pending.pop(reference)
        try:
            prepared: Prepared = accepted(self._cluster.result(reference))
        except RayError as died:  # itself, or the worker that was to give it the weights
            if is_raised_by_code(died):
                raise
            self._cluster.release(member.actor)
        except (CrushtestError, MemoryError) as refused:  # what one node lacks ends no arm that another one runs
            self._give_up(member, f"cannot prepare it ({refused})")
        else:
            if prepared.engine == first.engine:
                return member
            either = {**first.engine, **prepared.engine}  # one may say what the other has no word for
            differs = next(key for key in either if prepared.engine.get(key) != first.engine.get(key))
            now, before = prepared.engine.get(differs), first.engine.get(differs)
            self._give_up(member, f"would run it otherwise ({differs} is {now}, not {before})")
        return None

    def release(self) -> None:
        """End the worker that loads the arm."""
        for member in self.pending.values():
            self._cluster.release(member.actor)
        self.pending = {}

    def _give_up(self, member: Member, why: str) -> None:
        self._say(f"{self._arm.title} stays with one worker: another {why}")
        self.over = True
        self._cluster.release(member.actor)
