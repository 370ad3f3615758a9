"""Show progress on stderr: bars in a terminal, a line per minute elsewhere. Both say how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from crushtest.printing import line as one_line
from crushtest.progress.pace import Clock, Pace, Work

Advance = Callable[[int], None]
"""Called with the number of things done since the last call. Called with 0, it keeps what happened since from counting
as time that the next thing took."""


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
