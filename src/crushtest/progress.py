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
    """

    kind: str
    count: int
    cost: float = 0.0
    counted: bool = True


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


class Pace:
    """Estimates the time left.

    Of every kind of work it is known what one thing took so far. Kinds of which none is done yet are taken to cost what
    they were announced to cost, at the pace of the others.
    """

    def __init__(self, works: Iterable[Work], clock: Clock) -> None:
        listed = list(works)
        self._clock = clock
        self._cost = {work.kind: work.cost for work in listed}
        self._left = {work.kind: work.count for work in listed}
        self._counted = {work.kind for work in listed if work.counted}
        self._took: dict[str, tuple[float, int]] = {}  # seconds, things
        self._since = clock()
        self.total = sum(work.count for work in listed if work.counted)
        self.completed = 0

    def restart(self) -> None:
        """Count the time until now for no kind of work."""
        self._since = self._clock()

    def skip(self, kind: str | None, count: int) -> None:
        """Take away things that an earlier run did: they say nothing about the pace."""
        if kind in self._left:
            self._left[kind] -= count
            self.completed += count if kind in self._counted else 0

    def done(self, kind: str | None, count: int) -> None:
        """Count things as done; the time since the last were done was theirs."""
        now = self._clock()
        if kind in self._left and count:
            seconds, things = self._took.get(kind, (0.0, 0))
            self._took[kind] = seconds + now - self._since, things + count
            self.skip(kind, count)
        self._since = now

    def left_s(self) -> float | None:
        """Return the seconds that announced work will still take, at least 1; None if nothing tells or none is left."""
        spent = sum(seconds for kind, (seconds, _) in self._took.items() if self._cost[kind])
        cost = sum(things * self._cost[kind] for kind, (_, things) in self._took.items())
        if not cost or not any(self._left.values()):
            return None
        of_one = {kind: seconds / things for kind, (seconds, things) in self._took.items()}
        left = sum(
            max(0, count) * of_one.get(kind, self._cost[kind] * spent / cost) for kind, count in self._left.items()
        )
        return max(1.0, left)


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
