"""A lock at an address: an object that says which machine is writing, and that its writer renews."""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from crushtest.errors import StoreError, TakenOver
from crushtest.files.storage.index import OWN
from crushtest.files.storage.store import Store
from crushtest.printing import quoted

LOCK = f"{OWN}/lock.json"
BEAT_S = 30.0
GONE_AFTER = timedelta(minutes=5)
"""How long a writer may be silent before another machine takes over, by the two machines' clocks."""


@dataclass(frozen=True)
class Writer:
    """Who is writing.

    owner    a random name of the working copy, which a machine keeps: after a kill it knows its own lock
    renewed  when it was last heard from, in UTC
    """

    owner: str
    machine: str
    process: int
    since: str
    renewed: str

    def is_gone(self, now: datetime) -> bool:
        """Return True if it has not been heard from for so long that another machine may take over."""
        return now - _time(self.renewed) > GONE_AFTER


class Lock:
    """The lock of this process. `check` says whether it still holds it."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store = store
        now = _text(_now())
        self._own = Writer(owner=owner, machine=platform.node(), process=os.getpid(), since=now, renewed=now)
        self._guard = threading.Lock()

    def take(self) -> None:
        """Take the lock, also from this working copy's own killed run and from a writer that is gone.

        Raises StoreError, with who has it and the ways out, if another one is writing.
        """
        if self._store.create(LOCK, self._content()):
            return
        other = self._read()
        if other is not None and not self._is_own(other) and not other.is_gone(_now()):
            until = _time(other.renewed) + GONE_AFTER
            raise StoreError(
                f"{self._store.address}: {quoted(other.machine)} (process {other.process}) is writing to this study "
                f"and was last heard from at {_time(other.renewed):%H:%M:%S} UTC; wait for it or stop it. If it was "
                f"killed, run this again from {until:%H:%M:%S} UTC on, or remove {self._store.at(LOCK)}"
            )
        self._store.write(LOCK, self._content())

    def check(self) -> None:
        """Raise TakenOver if another machine has taken the lock. One that somebody removed is taken again."""
        with self._guard:
            other = self._read()
            if other is not None and not self._is_own(other):
                raise TakenOver(
                    f"{self._store.address}: {quoted(other.machine)} (process {other.process}) has taken over this "
                    "study; nothing of its was overwritten"
                )
            self._store.write(LOCK, self._content())

    def release(self) -> None:
        """Remove the lock if this process still holds it."""
        with self._guard:
            other = self._read()
            if other is not None and self._is_own(other):
                self._store.remove(LOCK)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take the lock, renew it while the block runs, and release it at the end.

        A renewal that fails is tried again: what is written checks the lock by itself.
        """
        self.take()
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(BEAT_S):
                with suppress(StoreError):
                    self.check()

        thread = threading.Thread(target=renew, daemon=True, name="renews the lock")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with suppress(StoreError):  # the network is gone; the lock runs out by itself
                self.release()

    def _is_own(self, writer: Writer) -> bool:
        return (writer.owner, writer.machine) == (self._own.owner, self._own.machine)

    def _content(self) -> bytes:
        return json.dumps(asdict(self._own) | {"renewed": _text(_now())}, indent=1).encode("utf-8")

    def _read(self) -> Writer | None:
        """Return who holds the lock, None if nobody does. Raises StoreError for something else in its place."""
        content = self._store.read(LOCK)
        if content is None:
            return None
        try:
            writer = Writer(**json.loads(content))
            _time(writer.renewed)
        except (TypeError, ValueError):
            raise StoreError(
                f"{self._store.at(LOCK)} is no lock of crushtest; remove it if nobody is writing"
            ) from None
        return writer


def _now() -> datetime:
    return datetime.now(UTC)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _time(text: str) -> datetime:
    """Return a time of a lock. Raises ValueError or TypeError for anything but one in UTC."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("no time zone")
    return time
