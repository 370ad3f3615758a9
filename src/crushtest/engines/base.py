"""What every engine answers, and how."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from crushtest.records import (
    Choices,
    ChoiceScores,
    Completion,
    Passage,
    PassageScore,
    Prompt,
    ReadChoice,
    Request,
    Sampling,
    Unanswered,
)

if TYPE_CHECKING:
    from crushtest.models.load import LoadedModel


@dataclass(frozen=True)
class Reference:
    """The dense model, for an engine that compares next-token distributions with it.

    load     returns the dense model in memory; None if the engine's own model is the dense model
    top_k    how many likeliest tokens of the dense model are kept per predicted token, to compare with these alone;
             None to compare with the model itself
    folder   where they are kept
    keep     whether this engine writes them
    options  options of the dense arm's engine, if it is the same as this one
    """

    load: Callable[[], LoadedModel] | None
    top_k: int | None
    folder: Path
    keep: bool
    options: Mapping[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """Runs one model.

    Each method yields `(index of the request, its answer)` as answers come, in an order of its own choosing. An engine
    that cannot answer one request, and could not if it asked again, yields the reason (`Unanswered`).

    `done` are the indexes that are answered already. An engine lays out its work (packs, batches) from all requests
    and then leaves out what is wholly done, so that an answer never depends on where a study was interrupted: the
    numbers of a resumed run are those of an uninterrupted one, bit for bit. A done index is never yielded.
    """

    def choices(
        self, requests: Sequence[Choices], *, done: Container[int] = ()
    ) -> Iterator[tuple[int, ChoiceScores | ReadChoice | Unanswered]]:
        """Yield the log-likelihood of each option after its context (nats, tokens, bytes per option).

        An engine without log-likelihoods may yield the option whose letter a reply gives, if it says so.
        """
        ...

    def passages(
        self, requests: Sequence[Passage], *, done: Container[int] = ()
    ) -> Iterator[tuple[int, PassageScore | Unanswered]]:
        """Yield the log-likelihood of whole texts."""
        ...

    def generate(
        self, requests: Sequence[Prompt], sampling: Sampling, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Completion | Unanswered]]:
        """Yield a completion per prompt."""
        ...

    def attach_reference(self, reference: Reference | None) -> None:
        """Compare passages asked `against_dense` with this reference from now on.

        If it is None they are scored without a divergence. An engine that gives no next-token distributions ignores
        the reference and never loads it.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return what ran, for the manifest (JSON values): engine, model, dtype, device, scoring path, template."""
        ...


@runtime_checkable
class Closing(Protocol):
    """An engine that holds what would outlive it: processes, or memory that its program keeps. No engine must be one.

    An arm closes its engine once, after the last answer or an error; it is asked nothing afterwards.
    """

    def close(self) -> None:
        """Let go of everything; of a program that is dead already, too."""
        ...


@runtime_checkable
class LaidOut(Protocol):
    """An engine that says how it lays out its work, so that several may share it. No engine must be one."""

    def parts(self, requests: Sequence[Request], sampling: Sampling) -> list[list[int]]:
        """Return the requests' indexes, each once, by the pack or batch that completes them, in the order of these.

        Engines that each take some of the parts, and the others' indexes as `done`, together do little more than one
        would, and give its numbers bit for bit. All requests are of one kind.
        """
        ...


@runtime_checkable
class Halving(Protocol):
    """An engine that can run half as much at once where memory ran out. No engine must be one.

    truncated  requests that were cut to fit, so far; whoever asks a call again takes back what it counted
    """

    truncated: int

    def halve(self, kind: str) -> bool:
        """Run half as much at once for a kind of request (`choices`, `passages`, `prompts`).

        Returns False if that was done before, or cannot be.
        """
        ...


def close(engine: object) -> None:
    """Close an engine, or a model of one, that needs it."""
    if isinstance(engine, Closing):
        engine.close()
