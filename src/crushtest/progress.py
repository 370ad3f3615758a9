"""Progress on stderr: bars in a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

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


class Bars:
    """Two rich bars: the whole run and the step at hand, each with the time left."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.console = Console(stderr=True)
        self._bars = RichProgress(
            TextColumn("{task.description:<44.44}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self.console,
        )
        self._whole = self._bars.add_task("[bold]study[/]", total=total)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, title: str, total: int, *, done: int = 0, weight: int = 0) -> Iterator[Advance]:
        bar = self._bars.add_task(title.replace("[", r"\["), total=total, completed=done)
        self._bars.advance(self._whole, done * weight)

        def advance(count: int) -> None:
            self._bars.advance(bar, count)
            self._bars.advance(self._whole, count * weight)

        try:
            yield advance
        finally:
            self._bars.remove_task(bar)

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False)


class Lines:
    """Plain lines: one when a step begins, one a minute while it lasts, one when it ends."""

    def __init__(self, total: int, *, every_s: float = 60.0) -> None:
        self._total = total
        self._every_s = every_s
        self._count = 0
        self._fresh = 0  # counted since the start, without what was done before
        self._began = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def step(self, title: str, total: int, *, done: int = 0, weight: int = 0) -> Iterator[Advance]:
        began = last = time.monotonic()
        self._count += done * weight
        if done < total:
            self.say(f"{title}: {total - done} to do" + (f", {done} done before" if done else ""))

        def advance(count: int) -> None:
            nonlocal done, last
            done += count
            self._count += count * weight
            self._fresh += count * weight
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
        if not self._fresh or self._count >= self._total:
            return ""
        seconds = (time.monotonic() - self._began) / self._fresh * (self._total - self._count)
        return f"; study {self._count} of {self._total}, about {seconds / 60:.0f} min left"


def show_progress(total: int) -> Bars | Lines:
    """Bars where stderr is a terminal, lines where it is not. `total` counts the things of all steps."""
    return Bars(total) if sys.stderr.isatty() else Lines(total)
