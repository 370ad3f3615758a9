"""Progress on stderr: bars in a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

ENOUGH_SHARE = 0.05
ENOUGH = 10
ENOUGH_S = 20.0
"""How much must be done before the time left is said: this share, or so many things in so many seconds."""

Advance = Callable[[int], None]
"""Called with the number of things done since the last call."""


class Progress(Protocol):
    """Shows how far a run has come."""

    def step(self, title: str, total: int, *, done: int = 0, weight: int = 0) -> AbstractContextManager[Advance]:
        """One step with `total` things to do, of which `done` are done.

        `weight` says how many of the run's things each thing counts for; 0 for work that is not counted.
        """
        ...

    def say(self, line: str) -> None:
        """One line that stays."""
        ...


class Pace:
    """How long the rest of a count will take, once enough is done to say.

    The clock starts with the first thing done: what was loaded before that is not the pace of what follows.
    """

    def __init__(self, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._timed = 0  # done since the clock started
        self._began: float | None = None

    def skip(self, count: int) -> None:
        """Count what was done before."""
        self.done += count

    def advance(self, count: int) -> None:
        """Count what was done now."""
        self.done += count
        if not count:
            return
        if self._began is None:
            self._began = self._clock()
        else:
            self._timed += count

    def left_s(self) -> float | None:
        """Seconds left; None before 5% of what was to do is done, or ten things in 20 s or more."""
        left = self.total - self.done
        if self._began is None or not self._timed or left <= 0:
            return None
        passed_s = self._clock() - self._began
        if self._timed < ENOUGH_SHARE * (self._timed + left) and (self._timed < ENOUGH or passed_s < ENOUGH_S):
            return None
        return passed_s / self._timed * left


class Bars:
    """Two rich bars: the whole run and the step at hand, each with the time left."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self.console = Console(stderr=True)
        self._bars = RichProgress(
            TextColumn("{task.description:<44.44}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
        )
        self._whole = self._bars.add_task("[bold]study[/]", total=total, visible=total > 0, left="")
        self._pace = Pace(total)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, title: str, total: int, *, done: int = 0, weight: int = 0) -> Iterator[Advance]:
        bar = self._bars.add_task(title.replace("[", r"\["), total=total, completed=done, left="")
        self._bars.advance(self._whole, done * weight)
        pace = Pace(total)
        pace.skip(done)
        self._pace.skip(done * weight)

        def advance(count: int) -> None:
            for shown, paced, more in ((bar, pace, count), (self._whole, self._pace, count * weight)):
                paced.advance(more)
                self._bars.update(shown, advance=more, left=left_text(paced))

        try:
            yield advance
        finally:
            self._bars.remove_task(bar)

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False)


class Lines:
    """Plain lines: one when a step begins, one a minute while it lasts, one when it ends."""

    def __init__(self, total: int, *, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._pace = Pace(total)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def step(self, title: str, total: int, *, done: int = 0, weight: int = 0) -> Iterator[Advance]:
        began = last = time.monotonic()
        self._pace.skip(done * weight)
        if done < total:
            begins = title if total == 1 else f"{title}: {total - done} to do"
            self.say(begins + (f", {done} done before" if done else ""))

        def advance(count: int) -> None:
            nonlocal done, last
            done += count
            self._pace.advance(count * weight)
            if time.monotonic() - last >= self._every_s:
                last = time.monotonic()
                self.say(f"{title}: {done} of {total}{self._left()}")

        before = done
        yield advance
        if before < total:
            self.say(f"{title}: {done} of {total} in {time.monotonic() - began:.0f} s{self._left()}")

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def _left(self) -> str:
        if not self._pace.done or self._pace.done >= self._pace.total:
            return ""
        left = left_text(self._pace)
        return f"; study {self._pace.done} of {self._pace.total}" + (f", {left}" if left else "")


def left_text(pace: Pace) -> str:
    """`about 12 min left`; the empty text where it is too early to say."""
    seconds = pace.left_s()
    if seconds is None:
        return ""
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


def show_progress(total: int) -> Bars | Lines:
    """Bars where stderr is a terminal, lines where it is not. `total` counts the things of all steps."""
    return Bars(total) if sys.stderr.isatty() else Lines(total)
