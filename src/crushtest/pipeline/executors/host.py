"""Where an arm's engine runs: here, or with a worker elsewhere. What is asked and written is the same."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from crushtest.models.memory import peak_memory_bytes
from crushtest.models.threads import on_threads
from crushtest.pipeline import prepare
from crushtest.pipeline.context import Run
from crushtest.study.arms import Arm
from crushtest.study.plan import PlannedTask

if TYPE_CHECKING:
    from crushtest.engines.base import Engine


class Host(Protocol):
    """Runs the engines of arms; `is_here` says whether in this process."""

    @property
    def is_here(self) -> bool: ...

    def prepare(self, run: Run, arm: Arm) -> Engine:
        """Return an arm's engine, its model loaded and compressed, and write both down."""
        ...

    def attach_reference(self, run: Run, engine: Engine, arm: Arm, planned: PlannedTask) -> None:
        """Give an engine what a task compares its distributions with."""
        ...

    def on_threads(self, arm: Arm) -> AbstractContextManager[None]:
        """Compute on as many threads as an arm asks for."""
        ...

    def peak_memory_bytes(self, engine: Engine) -> dict[str, int]:
        """Return the most memory that the process which runs an engine has held, by device."""
        ...


class Here:
    """Runs engines in this process."""

    @property
    def is_here(self) -> bool:
        """True: in this process."""
        return True

    def prepare(self, run: Run, arm: Arm) -> Engine:
        """Return an arm's engine, its model loaded and compressed, and write both down."""
        return prepare.prepare(run, arm)

    def attach_reference(self, run: Run, engine: Engine, arm: Arm, planned: PlannedTask) -> None:
        """Give an engine what a task compares its distributions with."""
        prepare.attach_reference(run, engine, arm, planned)

    def on_threads(self, arm: Arm) -> AbstractContextManager[None]:
        """Compute on as many threads as an arm asks for."""
        return on_threads(arm.threads)

    def peak_memory_bytes(self, engine: Engine) -> dict[str, int]:
        """Return the most memory that this process has held, by device."""
        return peak_memory_bytes()


HERE = Here()
