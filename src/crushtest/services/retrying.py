"""Asking a service that fails now and then, so that no answer is lost, none is made up and none is counted twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from crushtest.errors import ModelError

Answer = TypeVar("Answer")
Result = TypeVar("Result")

PROBE = "The weather was fine."
"""A text that no service has a reason to refuse."""


class Transient(Exception):
    """The request may succeed when it is made again; `wait_s` is how long the service asks to wait."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Refused(Exception):
    """The service will not answer this request, however often it is made: a text in it is at fault."""


@dataclass(frozen=True)
class Patience:
    """How long to try: waits are drawn between 0 and first_wait_s, then twice that, up to longest_wait_s.

    longest_told_s   a service that asks to wait longer than this is not waited for
    suspicious       so many single texts failing in a row may be the service and not the texts: it is probed
    """

    attempts: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    longest_told_s: float = 600.0
    suspicious: int = 5


def persist(ask: Callable[[], Result], patience: Patience, sleep: Callable[[float], None] = time.sleep) -> Result:
    """Return what `ask` returns, called again with growing, jittered waits as long as it raises Transient.

    Raises the last Transient when the attempts are spent, ModelError if the service asks to wait too long.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
    from tenacity.wait import wait_base

    backoff = wait_random_exponential(multiplier=patience.first_wait_s, max=patience.longest_wait_s)

    class Wait(wait_base):
        def __call__(self, retry_state: object) -> float:
            told = retry_state.outcome.exception().wait_s  # type: ignore[attr-defined]
            jitter = random.uniform(0, patience.first_wait_s)  # so that not all clients come back at once
            return max(backoff(retry_state), told + jitter if told else 0.0)  # type: ignore[arg-type]

    def attempt() -> Result:
        try:
            return ask()
        except Transient as problem:
            if problem.wait_s > patience.longest_told_s:
                raise ModelError(
                    f"{problem}: the service asks to wait {problem.wait_s:.0f} s; what is answered is kept, run "
                    f"this again later"
                ) from None
            raise

    retrying = Retrying(
        stop=stop_after_attempt(patience.attempts),
        wait=Wait(),
        retry=retry_if_exception_type(Transient),
        sleep=sleep,
        reraise=True,
    )
    return retrying(attempt)


@dataclass
class Asking(Generic[Answer]):
    """Answers to texts from a service that takes several at a time.

    ask      the answers to a batch, all of them and in order, or Transient, or Refused; what it raises besides ends
             the asking (a wrong key)
    keep     called with every text and its answer as soon as it is there
    sleep    waits so many seconds; tests replace it
    """

    ask: Callable[[Sequence[str]], list[Answer]]
    keep: Callable[[str, Answer], None]
    batch_size: int
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    _failures_in_a_row: int = 0

    def answers(self, texts: Sequence[str]) -> dict[str, Answer | str]:
        """Text -> its answer, or the reason why there is none. Equal texts are asked once.

        Raises ModelError where the service does not answer at all: what is done by then has been kept.
        """
        found: dict[str, Answer | str] = {}
        distinct = list(dict.fromkeys(texts))
        for start in range(0, len(distinct), self.batch_size):
            self._settle(distinct[start : start + self.batch_size], found)
        return found

    def _settle(self, batch: Sequence[str], found: dict[str, Answer | str]) -> None:
        """Bring every text of a batch to an end; a batch that keeps failing is halved down to the text at fault."""
        try:
            answers = self._persist(batch)
        except (Transient, Refused) as problem:
            if len(batch) > 1:
                middle = len(batch) // 2
                self._settle(batch[:middle], found)
                self._settle(batch[middle:], found)
                return
            self._doubt(problem)
            found[batch[0]] = str(problem)
            return
        self._failures_in_a_row = 0
        for text, answer in zip(batch, answers, strict=True):
            self.keep(text, answer)
            found[text] = answer

    def _persist(self, batch: Sequence[str]) -> list[Answer]:
        """The answers to a batch, asked again with growing, jittered waits for as long as that may help."""
        return persist(lambda: self.ask(batch), self.patience, self.sleep)

    def _doubt(self, problem: Exception) -> None:
        """After several texts that failed in a row, see whether the service answers to anything at all."""
        if isinstance(problem, Refused):
            return
        self._failures_in_a_row += 1
        if self._failures_in_a_row < self.patience.suspicious:
            return
        self._failures_in_a_row = 0
        try:
            self._persist([PROBE])
        except (Transient, Refused):
            raise ModelError(
                f"the service has stopped answering ({problem}); what is scored is kept, run this again later"
            ) from None
