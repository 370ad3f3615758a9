"""Show progress on stderr: bars in a terminal, a line per minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from crushtest.printing import line as one_line

Advance = Callable[[int], None]
"""Called with the number of things done since the last call."""

PACE_S = 600.0
"""The time left is estimated from the pace of the last ten minutes, because tasks differ in pace."""


class Progress(Protocol):
    """Shows how far a run has come."""

    def step(self, title: str, total: int, *, done: int = 0, weight: int = 0) -> AbstractContextManager[Advance]:
        """Begin a step with `total` things to do, of which an earlier run did `done`.

        `weight` says how many of the run's things each thing counts for; 0 for work that is not counted.
        """
        ...

    def say(self, line: str) -> None:
        """Print a line that stays."""
        ...


class Bars:
    """Show two rich bars, the whole run and the current step, each with the time left."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.console = Console(stderr=True)
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("left"))
        name = TextColumn("{task.description:<44.44}")
        self._bars = RichProgress(name, *columns, console=self.console, speed_estimate_period=PACE_S)
        self._study = self._bars.add_task("[bold]study[/]", total=total, visible=total > 0)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, title: str, total: int, *, done: int = 0, weight: int = 0) -> Iterator[Advance]:
        step = self._bars.add_task(one_line(title).replace("[", r"\["), total=total, completed=done)
        # Set directly, because advance() would count what an earlier run did towards this run's pace.
        self._bars.tasks[0].completed += done * weight

        def advance(count: int) -> None:
            self._bars.advance(step, count)
            self._bars.advance(self._study, count * weight)

        try:
            yield advance
        finally:
            self._bars.remove_task(step)

    def say(self, line: str) -> None:
        self.console.print(one_line(line), markup=False, highlight=False)


class Lines:
    """Print a line when a step begins, one per minute while it lasts, and one when it ends."""

    def __init__(self, total: int, *, every_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._total = total
        self._done = 0
        self._paced = 0  # of these, done since the clock started
        self._began: float | None = None  # with the first thing done: loading a model is not part of the pace

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def step(self, title: str, total: int, *, done: int = 0, weight: int = 0) -> Iterator[Advance]:
        began = last = self._clock()
        before = done
        self._done += done * weight
        if done < total:
            begins = title if total == 1 else f"{title}: {total - done} to do"
            self.say(begins + (f", {done} done before" if done else ""))

        def advance(count: int) -> None:
            nonlocal done, last
            done += count
            self._count(count * weight)
            if self._clock() - last >= self._every_s:
                last = self._clock()
                self.say(f"{title}: {done} of {total}{self._left()}")

        yield advance
        if before < total:
            self.say(f"{title}: {done} of {total} in {self._clock() - began:.0f} s{self._left()}")

    def say(self, line: str) -> None:
        print(one_line(line), file=sys.stderr, flush=True)

    def _count(self, count: int) -> None:
        self._done += count
        if self._began is not None:
            self._paced += count
        elif count:
            self._began = self._clock()

    def _left(self) -> str:
        if not 0 < self._done < self._total:
            return ""
        line = f"; study {self._done} of {self._total}"
        if self._began is None or not self._paced:
            return line
        left_s = (self._clock() - self._began) / self._paced * (self._total - self._done)
        return f"{line}, about {left_s / 60:.0f} min left" if left_s >= 90 else f"{line}, about {left_s:.0f} s left"


@contextmanager
def show_progress(total: int) -> Iterator[Progress]:
    """Show bars if stderr is a terminal, otherwise lines. `total` counts the things of all steps."""
    with Bars(total) if sys.stderr.isatty() else Lines(total) as progress:
        yield progress
