"""What a study costs, in numbers: tokens, time, memory, calls."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

KnownFrom = Literal["warm-up", "earlier run"]


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of processor time in this process."""

    clock_s: float = 0.0
    processor_s: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.clock_s + other.clock_s, self.processor_s + other.processor_s)

    @property
    def effort_s(self) -> float:
        """Seconds that the work would take if nobody else used the machine: what a measurement is bounded by.

        No more than the clock, where several threads share the work, and at least a fifth of it: an engine in another
        process uses no time of this one.
        """
        return max(min(self.clock_s, self.processor_s), self.clock_s / 5)

    def times(self, factor: float) -> Spent:
        """Return it so many times."""
        return Spent(self.clock_s * factor, self.processor_s * factor)

    def less(self, other: Spent) -> Spent:
        """Return what is left without another one, at least nothing."""
        return Spent(max(0.0, self.clock_s - other.clock_s), max(0.0, self.processor_s - other.processor_s))


def added(spent: Iterable[Spent]) -> Spent:
    """Return the sum."""
    return sum(spent, Spent())


@dataclass
class Watch:
    """Measures from when it was made."""

    clock: float = field(default_factory=time.monotonic)
    processor: float = field(default_factory=time.process_time)

    def spent(self) -> Spent:
        """Return what was spent so far."""
        return Spent(time.monotonic() - self.clock, time.process_time() - self.processor)


@dataclass(frozen=True)
class Calls:
    """Requests to a served model or to a service, with the tokens that they send and, at most, get back.

    counted   True if the tokens are counted; else they are estimated from characters
    """

    to: str
    requests: int
    read: int
    written: int
    counted: bool = True

    def and_also(self, other: Calls) -> Calls:
        """Return both together."""
        return Calls(
            self.to,
            self.requests + other.requests,
            self.read + other.read,
            self.written + other.written,
            self.counted and other.counted,
        )


@dataclass(frozen=True)
class TaskCost:
    """What the open items of a task cost one arm.

    items       still to be asked
    read        tokens that the model reads, shared prefixes once; None if the engine does not tell its tokens
    written     tokens that it writes at most
    expected    tokens that it is expected to write, after what it wrote in the warm-up; None without one
    truncated   lines and prompts that lose their beginning
    spent       None if nothing tells
    """

    task: str
    items: int
    read: int | None = None
    written: int = 0
    expected: float | None = None
    truncated: int = 0
    spent: Spent | None = None
    known_from: KnownFrom | None = None


@dataclass(frozen=True)
class ArmCost:
    """What an arm, a repeat or a draw costs.

    weights_bytes what its weights take, by device; empty for what this process does not run
    memory_bytes  the most that is held at once, by place (`process`, `accelerator`)
    preparing     loading and compressing; None if nothing tells
    calls         what is asked of a served model
    notes         what to know, in words
    """

    arm: str
    engine: str
    tasks: tuple[TaskCost, ...]
    weights_bytes: Mapping[str, int] = field(default_factory=dict)
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    preparing: Spent | None = None
    calls: Calls | None = None
    notes: tuple[str, ...] = ()

    @property
    def spent(self) -> Spent | None:
        """All of it; None if a part is unknown."""
        parts = [self.preparing, *(task.spent for task in self.tasks)]
        return None if None in parts else added(part for part in parts if part is not None)

    @property
    def items(self) -> int:
        """Items still to be asked."""
        return sum(task.items for task in self.tasks)


@dataclass(frozen=True)
class StudyCost:
    """What a study costs.

    before   starting and checking, as measured just now
    after    scoring, comparing and reporting, by rates of a machine with two cores
    scorers  what scorers ask of other models and services
    refused  why arms will not be compared
    notes    what else to know
    """

    arms: tuple[ArmCost, ...]
    before: Spent
    after: Spent
    scorers: tuple[Calls, ...] = ()
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def spent(self) -> Spent | None:
        """All of it; None if a part is unknown."""
        parts = [arm.spent for arm in self.arms]
        if None in parts:
            return None
        return added([self.before, self.after, *(part for part in parts if part is not None)])

    def noting(self, notes: Iterable[str]) -> StudyCost:
        """Return it with more to know."""
        return replace(self, notes=(*self.notes, *notes))
