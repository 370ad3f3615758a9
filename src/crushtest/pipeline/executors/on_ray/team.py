"""The workers of one arm, which together are its engine."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from typing import Any

from crushtest.engines.base import Reference
from crushtest.errors import EngineError
from crushtest.pipeline.context import Run
from crushtest.pipeline.executors.on_ray.cluster import Cluster, Member, reason_of
from crushtest.pipeline.executors.on_ray.joining import Joining
from crushtest.pipeline.executors.on_ray.shares import MOST_FAILURES, Share, Shares
from crushtest.pipeline.executors.on_ray.travel import (
    Asked,
    Batch,
    Comparison,
    Files,
    Job,
    Prepared,
    Refused,
    accepted,
    write_files,
)
from crushtest.records import Choices, Passage, Prompt, Sampling
from crushtest.study.arms import Arm
from crushtest.study.plan import PlannedTask

FEW = 16
"""Requests of a call that one worker takes alone."""


class Team:
    """Answers as an engine does: with one worker, and with more while the cluster has room that no other arm needs.

    A worker that dies is replaced, and the new one is asked what is not answered.

    job     makes the arm's job, of what the manifest says by then: who comes later runs as much at once as the first
    note    writes down what a worker has prepared, or refuses it
    suits   says of what a worker has prepared whether it is to run like that; None: another arm needs its place first
    placed  is called when there is a worker, before it prepares the arm
    """

    def __init__(
        self,
        cluster: Cluster,
        run: Run,
        arm: Arm,
        *,
        job: Callable[[], Job],
        note: Callable[[Prepared], None],
        suits: Callable[[Prepared], bool | None] = lambda prepared: True,
        placed: Callable[[], object] = lambda: None,
    ) -> None:
        self.peak_memory_bytes: dict[str, int] = {}
        self.truncated = 0
        self._cluster = cluster
        self._run = run
        self._arm = arm
        self._job = job
        self._note = note
        self._suits = suits
        self._placed = placed
        self._members: list[Member] = []
        self._joining = Joining(cluster, run.progress.say, arm, job)
        self._running: dict[Any, tuple[Member, Share]] = {}
        self._comparison: Comparison | None = None
        self.prepared: Prepared

    def begin(self) -> None:
        """Have the arm prepared by a first worker."""
        self._retried(None)

    # ---- what an engine does

    def choices(self, requests: Sequence[Choices], *, done: Container[int] = ()) -> Iterator[tuple[int, Any]]:
        """Yield answers as they come from any of the workers."""
        return self._ask(Asked("choices", Sampling()), requests, done)

    def passages(self, requests: Sequence[Passage], *, done: Container[int] = ()) -> Iterator[tuple[int, Any]]:
        """Yield answers as they come from any of the workers."""
        return self._ask(Asked("passages", Sampling()), requests, done)

    def generate(
        self, requests: Sequence[Prompt], sampling: Sampling, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Any]]:
        """Yield answers as they come from any of the workers."""
        return self._ask(Asked("prompts", sampling), requests, done)

    def attach_reference(self, reference: Reference | None) -> None:
        """Do nothing: `compare` is called, because a reference that loads a model cannot travel."""

    def halve(self, kind: str) -> bool:
        """Let the first worker run half as much at once, and those that come from now on.

        Returns False if that was done before, or the engine cannot.
        """
        for member, _ in self._running.values():
            self._lose(member)
        for member in self._members[1:]:
            self._lose(member)
        self._joining.release()
        self._running = {}
        facts = self._retried(lambda member: member.actor.halve.remote(kind))
        if facts is None:
            return False
        self.prepared = replace(self.prepared, engine=facts)
        return True

    def compare(self, planned: PlannedTask, files: Files) -> None:
        """Let the engine compare a task's distributions with the dense model from now on."""
        self._comparison = Comparison(planned, files)

    def describe(self) -> dict[str, Any]:
        """Return what the first worker said that runs."""
        return {**self.prepared.engine, "truncated": self.truncated}

    def close(self) -> None:
        """End the workers; they are given time to let go of what would outlive them."""
        from ray.exceptions import RayError

        self._joining.release()
        for member, _ in self._running.values():  # after an error: what it computes is for nobody
            self._lose(member)
        closing = [(member, member.actor.close.remote()) for member in self._members]
        self._members = []
        for member, reference in closing:
            try:
                self._cluster.result(reference)
            except RayError:  # it is gone already, or could not let go
                self._cluster.release(member.actor)
            else:
                self._cluster.hand_on(member.actor)

    # ---- asking

    def _ask(self, asked: Asked, requests: Sequence[Any], done: Container[int]) -> Iterator[tuple[int, Any]]:
        import ray

        with self._cluster.turns.away():
            sent = ray.put(list(requests))
        mine = [index for index in range(len(requests)) if index not in done]
        compared = any(isinstance(request, Passage) and request.against_dense for request in requests)
        shared = not compared and not self._joining.over and len(mine) > FEW
        shares = Shares(self._parts(asked, sent, mine) if shared else [mine])
        truncated = 0
        while shares or self._running:
            self._give(asked, sent, shares, shared=shared, compared=compared)
            if shares and shared:
                self._joining.call(self._members)
            for reference in self._cluster.ready([*self._running, *self._joining.pending]) if self._running else ():
                if reference in self._joining.pending:
                    self._welcome(reference)
                    continue
                batch = self._received(reference, shares)
                if batch is not None:
                    truncated = max(truncated, batch.truncated or 0)  # every worker counts those of the whole call
                    yield from batch.answers
        self.truncated += truncated

    def _parts(self, asked: Asked, sent: Any, mine: Sequence[int]) -> list[list[int]]:
        """Return what is to be answered by the packs or batches that complete it."""
        if self._cluster.waiting:
            return [list(mine)]
        parts = self._retried(lambda member: member.actor.parts.remote(asked, sent))
        wanted = set(mine)
        kept = ([index for index in part if index in wanted] for part in parts)
        return [part for part in kept if part] or [[]]

    def _give(self, asked: Asked, sent: Any, shares: Shares, *, shared: bool, compared: bool) -> None:
        """Give every idle worker a share."""
        from ray.exceptions import RayError, RayTaskError

        if not self._members:
            self._retried(None)
        busy = {member for member, _ in self._running.values()}
        for member in [each for each in self._members if each not in busy]:
            if not shares:
                return
            share = shares.take(len(self._members), shared=shared and not self._cluster.waiting)
            try:
                if compared and self._comparison is not None and member.attached != self._comparison.planned.name:
                    self._accepted(member.actor.attach.remote(self._comparison.planned, self._comparison.files))
                    member.attached = self._comparison.planned.name
            except RayTaskError:
                raise
            except RayError as died:
                self._reopen(member, share, shares, died)
                continue
            self._running[member.actor.ask.remote(asked, sent, share.mine)] = (member, share)

    def _received(self, stream: Any, shares: Shares) -> Batch | None:
        """Return what has come from one worker; None if it has ended or died, and what it had is open again."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        member, share = self._running[stream]
        try:
            with self._cluster.turns.away():
                given: Batch | Refused = ray.get(next(stream))
        except StopIteration:
            del self._running[stream]
            return None
        except RayTaskError:
            raise
        except RayError as died:
            del self._running[stream]
            self._reopen(member, share, shares, died)
            return None
        if isinstance(given, Refused):
            del self._running[stream]
            raise given.error()
        write_files(self._run.folder.root, given.files)
        share.answered.update(index for index, _ in given.answers)
        for device, held in given.peak_memory_bytes.items():
            self.peak_memory_bytes[device] = max(held, self.peak_memory_bytes.get(device, 0))
        return given

    def _reopen(self, member: Member, share: Share, shares: Shares, died: Exception) -> None:
        """Give back what a worker had when it died."""
        self._lose(member)
        rest = share.rest()
        self._refuse_again(rest.failures, died)
        shares.give_back(rest)

    # ---- workers

    def _place(self) -> None:
        """Place a worker and let it prepare the arm, as a run does that begins or goes on."""
        while True:
            member = Member(self._cluster.place(self._arm.title, self._run.progress.say))
            self._members.append(member)
            self._placed()
            prepared: Prepared = self._accepted(member.actor.prepare.remote(self._job()))
            suits = self._suits(prepared)
            if suits:
                break
            self._accepted(member.actor.close.remote())
            if suits is False:
                prepared = self._accepted(member.actor.prepare.remote(self._job()))
                break
            self._members.remove(member)
            self._cluster.hand_on(member.actor)
        for line in prepared.said:
            self._run.progress.say(line)
        self._note(prepared)
        self.prepared = prepared

    def _retried(self, call: Callable[[Member], Any] | None) -> Any:
        """Return the result of a call of the first worker, or of those after it if it dies; three may.

        Without a call a worker is only there afterwards, and has prepared the arm.
        """
        from ray.exceptions import RayError, RayTaskError

        failures = 0
        while True:
            try:
                if not self._members:
                    self._place()
                return None if call is None else self._accepted(call(self._members[0]))
            except RayTaskError:
                raise
            except RayError as died:
                if self._members:
                    self._lose(self._members[0])
                failures += 1
                self._refuse_again(failures, died)

    def _accepted(self, reference: Any) -> Any:
        return accepted(self._cluster.result(reference))

    def _refuse_again(self, failures: int, died: Exception) -> None:
        if failures >= MOST_FAILURES:
            raise EngineError(f"given up after {failures} workers died of it; the last: {reason_of(died)}") from None
        self._run.progress.say(f"{self._arm.title}: a worker died and is replaced ({reason_of(died)})")

    def _lose(self, member: Member) -> None:
        self._members.remove(member)
        self._cluster.release(member.actor)

    def _welcome(self, reference: Any) -> None:
        member = self._joining.welcome(reference, self.prepared)
        if member is not None:
            self._members.append(member)
