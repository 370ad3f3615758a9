"""What travels between a study's process and its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crushtest
from crushtest import errors
from crushtest.errors import CrushtestError, first_error_line
from crushtest.files.atomic import replacing
from crushtest.models.memory import is_out_of_memory
from crushtest.records import Answer, Kind, Sampling
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.plan import Plan, PlannedTask

if TYPE_CHECKING:
    from crushtest.compress.calibration import Calibration, CalibrationTokens

Files = dict[str, bytes]
"""Files of a study by their path in it."""


@dataclass(frozen=True)
class Job:
    """An arm to prepare.

    folder   where relative paths of models begin, if the worker sees it
    files    those of the study that say what it was measured with before
    version  of crushtest
    """

    arm: Arm
    plan: Plan
    calibration: Mapping[tuple[str, Calibration], CalibrationTokens]
    folder: str
    files: Files
    version: str = crushtest.__version__


@dataclass(frozen=True)
class Prepared:
    """An engine that is ready.

    noted    what the manifest says of the arm; None from a worker that was given the weights
    engine   what runs
    program  on what it computes
    files    what preparing wrote
    said     lines for whoever watches
    """

    noted: dict[str, Any] | None
    engine: dict[str, Any]
    program: dict[str, Any]
    files: Files = field(default_factory=dict)
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """One call of an engine; its requests travel apart."""

    kind: Kind
    sampling: Sampling


@dataclass(frozen=True)
class Comparison:
    """What an engine compares with the dense model for, and the files that it needs of that."""

    planned: PlannedTask
    files: Files


@dataclass(frozen=True)
class Batch:
    """Answers by the indexes of their requests, and the files that are to be written before them.

    truncated          requests that the whole call has cut; None before its end
    peak_memory_bytes  the most memory that the worker has held, by device
    """

    answers: Sequence[tuple[int, Answer]]
    files: Files = field(default_factory=dict)
    truncated: int | None = None
    peak_memory_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """An expected error of a worker, or memory that ran out there."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: Exception) -> Refused:
        """Return what travels of an error. Raises it again if it is no expected one."""
        if is_out_of_memory(error):
            return cls(MemoryError.__name__, first_error_line(error))
        if not isinstance(error, CrushtestError):
            raise error
        return cls(type(error).__name__, str(error))

    def error(self) -> Exception:
        """Return the error again."""
        if self.kind == MemoryError.__name__:
            return MemoryError(self.message)
        kind: type[CrushtestError] = getattr(errors, self.kind, CrushtestError)
        error = kind.__new__(kind)  # names are looked up when an UnknownName is made, but here the message is made
        error.args = (self.message,)
        return error


def accepted(result: Any) -> Any:
    """Return what a worker gave. Raises what it refused with."""
    if isinstance(result, Refused):
        raise result.error()
    return result


@dataclass(frozen=True)
class Where:
    """Where a worker is."""

    node: str
    gpus: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.node}, GPU {', '.join(self.gpus)}" if self.gpus else self.node


def read_files(root: Path, paths: Sequence[Path]) -> Files:
    """Return the files that exist, by their path below a root."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a root, each whole or not at all."""
    for name, content in files.items():
        with replacing(root / name) as temporary:
            temporary.write_bytes(content)


def noted_of(path: Path, arm: Arm) -> dict[str, Any] | None:
    """Return what a manifest says of an arm, repeat or draw; None if nothing."""
    noted = manifest.read(path)
    entry: dict[str, Any] | None
    entry = noted.get("draws" if arm.draw else "repeats" if arm.repeat else "arms", {}).get(arm.name)
    return entry if entry is None or not (arm.draw or arm.repeat) else entry.get(str(arm.draw or arm.repeat))


def program() -> dict[str, Any]:
    """Return on what a process computes: processor, and the packages that compute."""
    machine = manifest.machine()
    return {
        **{name: machine[name] for name in ("system", "architecture", "processor")},
        "packages": manifest.packages(),
    }
