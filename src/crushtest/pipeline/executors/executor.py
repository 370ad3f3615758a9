"""How the arms of a study are measured: one after another in this process, or by workers on a cluster."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from crushtest.pipeline.arm import run_arm, run_draw
from crushtest.pipeline.context import Run
from crushtest.pipeline.dtypes import is_on_cpu
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan


class Executor(Protocol):
    """Measures the arms of a study. It is connected to what it needs for that as a context, and checks plans without.

    is_here  True if models are run on this machine, so that its devices are checked before anything else
    """

    @property
    def is_here(self) -> bool: ...
    def __enter__(self) -> Executor: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def is_on_cpu(self, device: str) -> bool:
        """Return True if models that are loaded to a device (`auto`, `cpu`, `cuda:1`) run on processors."""
        ...

    def check(self, plan: Plan) -> None:
        """Raise UsageError for what this executor cannot run, before anything is loaded."""
        ...

    def get_ready(self, folder: StudyFolder, plan: Plan) -> None:
        """Begin what takes long before arms can be asked, while the plan is still checked."""
        ...

    def run_arms(self, run: Run) -> None:
        """Ask every arm its open items."""
        ...


class Local:
    """Measures one arm after another in this process."""

    def __enter__(self) -> Local:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    @property
    def is_here(self) -> bool:
        """True: models run on this machine."""
        return True

    def is_on_cpu(self, device: str) -> bool:
        """Return True if models that are loaded to a device run on this machine's processors."""
        return is_on_cpu(device)

    def check(self, plan: Plan) -> None:
        """Raise nothing: every plan runs here."""

    def get_ready(self, folder: StudyFolder, plan: Plan) -> None:
        """Do nothing: this process loads its models when they are asked."""

    def run_arms(self, run: Run) -> None:
        """Ask every arm its open items."""
        for arm in run.plan.measured:
            (run_draw if arm.draw else run_arm)(run, arm)


LOCAL = Local()
