"""How long announced work will still take, from the pace of what was done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True)
class Work:
    """Things of one kind that a run has to do.

    cost     roughly what one costs, in a unit that all kinds share; 0 if nothing is known until one is done
    counted  whether they are among the things that the run's count shows
    took_s   seconds that one took in an earlier run; None if none tells
    """

    kind: str
    count: int
    cost: float = 0.0
    counted: bool = True
    took_s: float | None = None


STEADY = 64
"""What is known of a kind of work when a step begins counts as much as so many things of the step: as many as an engine
runs at once, because the first one to be done has waited for the others."""


@dataclass
class _Kind:
    """A kind of work: what is left of it, and what things of it took.

    Engines give answers in bursts: a pack of questions takes a while, then its answers come at once. The last burst may
    not say that one thing takes longer than those before it until it is over.
    """

    work: Work
    left: int
    seconds: float = 0.0  # of the steps before
    things: int = 0
    step_s: float = 0.0  # of this step's bursts but the last
    step: int = 0
    burst_s: float = 0.0
    burst_first_s: float = 0.0
    burst: int = 0

    def took(self, seconds: float, count: int, known_s: float | None) -> None:
        """Note that things are done, so many seconds after the last ones; one was known to take `known_s`."""
        usual_s = self._usual_s(known_s)
        if self.burst and (seconds >= self.burst_first_s / 2 or (usual_s is not None and seconds > usual_s)):
            self._end_burst()
        if not self.burst:
            self.burst_first_s = seconds
        self.burst_s, self.burst = self.burst_s + seconds, self.burst + count
        if count > 1:
            self._end_burst()

    def end_step(self) -> None:
        """Count all as over: only then does it stand for what is left."""
        self._end_burst()
        self.seconds, self.things = self.seconds + self.step_s, self.things + self.step
        self.step_s, self.step = 0.0, 0

    def one_s(self, known_s: float | None) -> float | None:
        """Return what one thing takes, given what it was known to take when the step began; None if nothing tells."""
        usual_s = self._usual_s(known_s)
        if not self.burst:
            return usual_s
        if usual_s is None:
            return self.burst_s / self.burst
        weight = self.step + (STEADY if known_s is not None else 0)
        return (usual_s * weight + min(self.burst_s, usual_s * self.burst)) / (weight + self.burst)

    def _usual_s(self, known_s: float | None) -> float | None:
        """Return what one took until the last burst."""
        if known_s is None:
            return self.step_s / self.step if self.step else None
        return (known_s * STEADY + self.step_s) / (STEADY + self.step)

    def _end_burst(self) -> None:
        self.step_s, self.step = self.step_s + self.burst_s, self.step + self.burst
        self.burst_s, self.burst_first_s, self.burst = 0.0, 0.0, 0


class Pace:
    """Estimates the time left.

    Of every kind of work it is known what one thing took so far, in this run or else in an earlier one. Kinds of which
    neither is known are taken to cost what they were announced to cost, at the pace of the others.
    """

    def __init__(self, works: Iterable[Work], clock: Clock) -> None:
        listed = list(works)
        self._clock = clock
        self._kinds = {work.kind: _Kind(work, work.count) for work in listed}
        self._since = clock()
        self.total = sum(work.count for work in listed if work.counted)
        self.completed = 0

    def restart(self) -> None:
        """Count the time until now for no kind of work."""
        for kind in self._kinds.values():
            kind.end_step()
        self._since = self._clock()

    def skip(self, kind: str | None, count: int) -> None:
        """Take away things that an earlier run did: they say nothing about the pace."""
        if kind is not None and (known := self._kinds.get(kind)) is not None:
            known.left -= count
            self.completed += count if known.work.counted else 0

    def done(self, kind: str | None, count: int) -> None:
        """Count things as done; the time since the last were done was theirs."""
        now = self._clock()
        if kind is not None and count and (known := self._kinds.get(kind)) is not None:
            for other in self._kinds.values():
                if other is not known:
                    other.end_step()
            known.took(now - self._since, count, self._known_s(known))
            self.skip(kind, count)
        self._since = now

    def left_s(self) -> float | None:
        """Return the seconds that announced work will still take, at least 1; None if nothing tells or none is left."""
        kinds = self._kinds.values()
        if self._pace() is None or not any(kind.left for kind in kinds):
            return None
        return max(1.0, sum(max(0, kind.left) * (kind.one_s(self._known_s(kind)) or 0.0) for kind in kinds))

    def _known_s(self, kind: _Kind) -> float | None:
        """Return what one thing of a kind took in the steps before, or should take; None if nothing tells."""
        if kind.things:
            return kind.seconds / kind.things
        if kind.work.took_s is not None:
            return kind.work.took_s
        pace = self._pace(kind)
        return None if pace is None or not kind.work.cost else kind.work.cost * pace

    def _pace(self, but: _Kind | None = None) -> float | None:
        """Return seconds per unit of cost: of what was done, or else of earlier runs; None if nothing tells.

        but  a kind that is left out
        """
        done = [
            (kind.seconds + kind.step_s, (kind.things + kind.step) * kind.work.cost)
            for kind in self._kinds.values()
            if kind is not but
        ]
        earlier = [(kind.work.took_s or 0.0, kind.work.cost) for kind in self._kinds.values() if kind.work.took_s]
        for known in (done, earlier):
            if cost := sum(cost for _, cost in known):
                return sum(seconds for seconds, cost in known if cost) / cost
        return None
