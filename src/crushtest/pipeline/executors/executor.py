"""How the arms of a study are measured: one after another in this process, or by workers on a cluster."""

from __future__ import annotations

from typing import Protocol

from crushtest.pipeline.arm import run_arm, run_draw
from crushtest.pipeline.context import Run
from crushtest.study.plan import Plan


class Executor(Protocol):
    """Measures the arms of a study.

    is_here  True if models are run on this machine, so that its devices are checked before anything else
    """

    @property
    def is_here(self) -> bool: ...

    def check(self, plan: Plan) -> None:
        """Raise UsageError for what this executor cannot run, before anything is loaded."""
        ...

    def run_arms(self, run: Run) -> None:
        """Ask every arm its open items."""
        ...


class Local:
    """Measures one arm after another in this process."""

    @property
    def is_here(self) -> bool:
        """True: models run on this machine."""
        return True

    def check(self, plan: Plan) -> None:
        """Raise nothing: every plan runs here."""

    def run_arms(self, run: Run) -> None:
        """Ask every arm its open items."""
        for arm in run.plan.measured:
            (run_draw if arm.draw else run_arm)(run, arm)


LOCAL = Local()
