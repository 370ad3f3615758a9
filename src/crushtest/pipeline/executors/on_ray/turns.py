"""Threads of which one at a time works on a study; who waits for a worker lets the others go on.

So nothing that runs in this process (logs, manifest, scorers, progress) need know that arms are asked side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Stopped(BaseException):
    """The run was interrupted: every thread leaves at its next wait."""


class Turns:
    """One turn at a time."""

    def __init__(self) -> None:
        self._turn = Lock()
        self.stopping = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn, and give it back at the end."""
        with self._turn:
            yield

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let others have the turn meanwhile. Raises Stopped afterwards if the run was interrupted."""
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()
        if self.stopping:
            raise Stopped
