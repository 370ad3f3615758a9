"""Progress that uploads: a step that ends is a finished part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from crushtest.pipeline.remote.working_copy import WorkingCopy
from crushtest.progress import Advance, Progress


class SavingProgress:
    """Show progress as another one does, and upload the study after each step and now and then within it.

    All of it happens between two answers, so that what is uploaded is what a kill at that moment would leave.
    """

    def __init__(self, shown: Progress, copy: WorkingCopy) -> None:
        self._shown = shown
        self._copy = copy

    @contextmanager
    def step(
        self, title: str, total: int, *, done: int = 0, kind: str | None = None, percent: bool = False
    ) -> Iterator[Advance]:
        """Show a step; upload at its end what it did."""
        with self._shown.step(title, total, done=done, kind=kind, percent=percent) as advance:

            def advance_and_save(count: int) -> None:
                advance(count)
                if count and self._copy.tick(self.say):
                    advance(0)  # uploading was no work of this step

            yield advance_and_save
        self._copy.part_done(self.say)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._shown.say(line)


def saving(shown: Progress, copy: WorkingCopy | None) -> Progress:
    """Return progress that uploads to where a working copy belongs; `shown` itself for a folder of this machine."""
    return shown if copy is None else SavingProgress(shown, copy)
