"""Kill what a study on a cluster consists of, at moments of its progress, and go on with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from threading import Thread

from support.noting_plugin import Notes, asked_again
from support.ray_cluster import RayCluster
from support.warm_commands import Command

WORKER, NODE, COMMAND = "worker", "node with its worker", "command"


@dataclass(frozen=True)
class Kill:
    """What was killed.

    ended  the processes of workers that this ended
    """

    what: str
    ended: frozenset[int]


@dataclass
class Killing:
    """A study that runs although somebody keeps killing.

    start   starts the command that runs it, or goes on with it
    kills   so far
    runs    how often the command was started
    """

    cluster: RayCluster
    notes: Notes
    start: Callable[[], Command]
    random: Random
    kills: list[Kill] = field(default_factory=list)
    runs: int = 0
    _joining: Thread | None = None

    def survive(self, moments: Sequence[tuple[int, str]]) -> None:
        """Kill what each moment says once so many answers are computed, and let the study end."""
        command = self._started()
        for count, what in moments:
            while self.notes.count() < count or not self._kill(what, command):
                assert command.poll() in (None, 1), command.said.read_text()
                if command.returncode is not None:  # given up, because workers died too often of the same questions
                    command = self._started()
                time.sleep(0.1)
            if what == COMMAND:
                command.wait()
                command = self._started()
        command.wait()
        if command.returncode == 1:
            command = self._started()
            command.wait()
        assert command.returncode == 0, command.said.read_text()
        if self._joining is not None:
            self._joining.join()

    def _started(self) -> Command:
        self.runs += 1
        return self.start()

    def _kill(self, what: str, command: Command) -> bool:
        """Kill; return False if there is nothing to kill at this moment."""
        workers = self.cluster.workers()
        if not workers:
            return False
        if what == COMMAND:
            command.send_signal(signal.SIGKILL)
        elif what == NODE:
            if self._joining is not None:
                self._joining.join()
            raylet = self.cluster.tell("kill")
            workers = [each for each in workers if each.parent == raylet]
            self._joining = Thread(target=self.cluster.tell, args=("add", 1, 0))
            self._joining.start()
        else:
            workers = [self.random.choice(workers)]
            os.kill(workers[0].pid, signal.SIGKILL)
        self.kills.append(Kill(what, frozenset(each.pid for each in workers)))
        return True

    def asked_again(self) -> list[int]:
        """Return by kill how many questions were asked again because of it, and at the end those of no kill."""
        again = asked_again(self.notes.read())
        counts = [sum(again.pop(process, 0) for process in kill.ended) for kill in self.kills]
        return [*counts, again.total()]
