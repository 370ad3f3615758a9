"""What every engine answers, and how."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any, Protocol

from crushtest.records import Choices, ChoiceScores, Completion, Passage, PassageScore, Prompt, Sampling


class Engine(Protocol):
    """Runs one model.

    Each method yields `(index of the request, its answer)` as answers come, in an order of its own choosing.

    `done` are the indexes that are answered already. An engine lays out its work (packs, batches) from all requests
    and then leaves out what is wholly done, so that an answer never depends on where a study was interrupted: the
    numbers of a resumed run are those of an uninterrupted one, bit for bit. A done index is never yielded.
    """

    def choices(self, requests: Sequence[Choices], *, done: Container[int] = ()) -> Iterator[tuple[int, ChoiceScores]]:
        """Log-likelihood of every option after its context (nats, tokens, bytes per option)."""
        ...

    def passages(self, requests: Sequence[Passage], *, done: Container[int] = ()) -> Iterator[tuple[int, PassageScore]]:
        """Rolling log-likelihood of whole texts."""
        ...

    def generate(
        self, requests: Sequence[Prompt], sampling: Sampling, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Completion]]:
        """One completion a prompt."""
        ...

    def describe(self) -> dict[str, Any]:
        """What ran, for the manifest (JSON values): engine, model, dtype, device, scoring path, chat template."""
        ...
