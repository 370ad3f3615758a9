"""Show progress on stderr: bars in a terminal, a line per minute elsewhere. Both say how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from crushtest.printing import line as one_line

Advance = Callable[[int], None]
"""Called with the number of things done since the last call. Called with 0, it keeps what happened since from counting
as time that the next thing took."""
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


class Progress(Protocol):
    """Shows how far a run has come."""

    def step(
        self, title: str, total: int, *, done: int = 0, kind: str | None = None, percent: bool = False
    ) -> AbstractContextManager[Advance]:
        """Begin a step with `total` things to do, of which an earlier run did `done`. Steps may be nested.

        kind     of which of the run's kinds of work the things are; None for work that was not announced
        percent  whether the things are hundredths of one
        """
        ...

    def say(self, line: str) -> None:
        """Print a line that stays."""
        ...


@dataclass
class _Kind:
    """A kind of work: what is left of it, and what things of it took.

    Engines give answers in bursts: a pack of questions takes a while, then its answers come at once. The first of them
    has waited for all, so the last burst may not say that one thing takes longer than those before it until it is over.
    """

    work: Work
    left: int
    seconds: float = 0.0
    things: int = 0
    burst_s: float = 0.0
    burst_first_s: float = 0.0
    burst: int = 0

    def took(self, seconds: float, count: int, usual_s: float | None) -> None:
        """Note that things are done, so many seconds after the last ones; one is known to take `usual_s`."""
        if self.burst and (seconds >= self.burst_first_s / 2 or (usual_s is not None and seconds > usual_s)):
            self.close()
        if not self.burst:
            self.burst_first_s = seconds
        self.burst_s, self.burst = self.burst_s + seconds, self.burst + count
        if count > 1:
            self.close()

    def close(self) -> None:
        """Count the last burst as over."""
        self.seconds, self.things = self.seconds + self.burst_s, self.things + self.burst
        self.burst_s, self.burst_first_s, self.burst = 0.0, 0.0, 0

    def one_s(self, usual_s: float | None) -> float | None:
        """Return what one thing takes; None if nothing tells.

        usual_s  what one took until the last burst, or should take
        """
        if not self.burst:
            return usual_s
        burst_s = self.burst_s if usual_s is None else min(self.burst_s, usual_s * self.burst)
        return (self.seconds + burst_s) / (self.things + self.burst)


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
            kind.close()
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
                    other.close()
            known.took(now - self._since, count, self._usual_s(known))
            self.skip(kind, count)
        self._since = now

    def left_s(self) -> float | None:
        """Return the seconds that announced work will still take, at least 1; None if nothing tells or none is left."""
        kinds = self._kinds.values()
        if self._pace() is None or not any(kind.left for kind in kinds):
            return None
        return max(1.0, sum(max(0, kind.left) * (kind.one_s(self._usual_s(kind)) or 0.0) for kind in kinds))

    def _usual_s(self, kind: _Kind) -> float | None:
        """Return what one thing of a kind took until the last burst, or should take; None if nothing tells."""
        if kind.things:
            return kind.seconds / kind.things
        if kind.work.took_s is not None:
            return kind.work.took_s
        pace = self._pace()
        return None if pace is None or not kind.work.cost else kind.work.cost * pace

    def _pace(self) -> float | None:
        """Return seconds per unit of cost: of what was done, or else of earlier runs; None if nothing tells."""
        done = [(kind.seconds, kind.things * kind.work.cost) for kind in self._kinds.values()]
        earlier = [(kind.work.took_s or 0.0, kind.work.cost) for kind in self._kinds.values() if kind.work.took_s]
        for known in (done, earlier):
            if cost := sum(cost for _, cost in known):
                return sum(seconds for seconds, cost in known if cost) / cost
        return None


def in_words(seconds: float) -> str:
    """Return a duration: minutes from 90 seconds on, hours from 90 minutes on."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1.0, seconds):.0f} s"


def _counts(done: int, total: int, *, percent: bool) -> str:
    return f"{done}%" if percent and total == 100 else f"{done} of {total}"


NAME, BAR, TIMES = 44, 10, 25
"""Columns of a name at most, of a bar, and of the time gone by, the time left and the gaps."""


class Bars:
    """Show two rich bars, the whole run and the current step, with the time that the run has left."""

    def __init__(self, works: Iterable[Work] = ()) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._pace = Pace(works, time.monotonic)
        self.console = Console(stderr=True)
        counts = len(_counts(self._pace.total, self._pace.total, percent=False))
        name = min(NAME, max(BAR, self.console.width - BAR - TIMES - counts))
        self._bars = RichProgress(
            TextColumn(f"{{task.description:<{name}.{name}}}"),
            BarColumn(BAR),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
        )
        total = self._pace.total
        self._study = self._bars.add_task("[bold]study[/]", total=total, visible=total > 0, counts="", left="")

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def step(
        self, title: str, total: int, *, done: int = 0, kind: str | None = None, percent: bool = False
    ) -> Iterator[Advance]:
        name, counts = one_line(title).replace("[", r"\["), _counts(done, total, percent=percent)
        step = self._bars.add_task(name, total=total, completed=done, counts=counts, left="")
        self._pace.skip(kind, done)
        self._pace.restart()

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._pace.done(kind, count)
            self._bars.update(step, completed=done, counts=_counts(done, total, percent=percent))
            self._show()

        self._show()
        try:
            yield advance
        finally:
            self._bars.remove_task(step)
            self._pace.restart()
            self._show()

    def say(self, line: str) -> None:
        self.console.print(one_line(line), markup=False, highlight=False)

    def _show(self) -> None:
        """Bring the bar of the run up to date."""
        left, completed = self._pace.left_s(), self._pace.completed
        self._bars.update(
            self._study,
            completed=completed,
            counts=_counts(completed, self._pace.total, percent=False),
            left="" if left is None else f"{in_words(left)} left",
        )


class Lines:
    """Print a line when a step begins, one per minute while it lasts, and one when it ends."""

    def __init__(self, works: Iterable[Work] = (), *, every_s: float = 60.0, clock: Clock = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._pace = Pace(works, clock)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def step(
        self, title: str, total: int, *, done: int = 0, kind: str | None = None, percent: bool = False
    ) -> Iterator[Advance]:
        began = last = self._clock()
        before = done
        self._pace.skip(kind, done)
        self._pace.restart()
        if done < total:
            begins = title if total == 1 or percent else f"{title}: {total - done} to do"
            self.say(begins + (f", {done} done before" if done else ""))

        def advance(count: int) -> None:
            nonlocal done, last
            done += count
            self._pace.done(kind, count)
            if self._clock() - last >= self._every_s:
                last = self._clock()
                self.say(f"{title}: {_counts(done, total, percent=percent)}{self._left()}")

        yield advance
        self._pace.restart()
        if before < total:
            seconds = self._clock() - began
            self.say(f"{title}: {_counts(done, total, percent=percent)} in {seconds:.0f} s{self._left()}")

    def say(self, line: str) -> None:
        print(one_line(line), file=sys.stderr, flush=True)

    def _left(self) -> str:
        if not 0 < self._pace.completed < self._pace.total:
            return ""
        left = self._pace.left_s()
        line = f"; study {self._pace.completed} of {self._pace.total}"
        return line if left is None else f"{line}, about {in_words(left)} left"


@contextmanager
def show_progress(works: Iterable[Work] = ()) -> Iterator[Progress]:
    """Show bars if stderr is a terminal, otherwise lines. `works` announces what the run has to do."""
    with Bars(works) if sys.stderr.isatty() else Lines(works) as progress:
        yield progress
