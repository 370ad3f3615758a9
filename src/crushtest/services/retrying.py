"""Ask a service that fails now and then, so that no answer is lost, invented or counted twice."""

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
    """The request may succeed if it is repeated.

    wait_s      how long the service asks to wait
    of_service  whether no text can be why: the service is busy, or not there
    """

    def __init__(self, reason: str, wait_s: float = 0.0, *, of_service: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.of_service = of_service


class Refused(Exception):
    """The service will never answer this request, because a text in it is at fault."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often to retry. Waits are drawn between 0 and first_wait_s, then twice that, up to longest_wait_s.

    longest_retry_after_s   the longest wait that a service may ask for
    probe_after             consecutive failures of single texts after which the service itself is probed
    """

    attempts: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    longest_retry_after_s: float = 600.0
    probe_after: int = 5


def persist(
    ask: Callable[[], Result],
    policy: RetryPolicy,
    sleep: Callable[[float], None] = time.sleep,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Return what `ask` returns, called again with growing, jittered waits as long as it raises Transient.

    `say` is given a line before each wait: what went wrong, and which attempt comes next.

    Raises the last Transient when the attempts are spent, ModelError if the service asks to wait too long.
    """
    from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
    from tenacity.wait import wait_base

    backoff = wait_random_exponential(multiplier=policy.first_wait_s, max=policy.longest_wait_s)

    class Wait(wait_base):
        def __call__(self, retry_state: object) -> float:
            told = retry_state.outcome.exception().wait_s  # type: ignore[attr-defined]
            jitter = random.uniform(0, policy.first_wait_s)  # so that not all clients come back at once
            return max(backoff(retry_state), told + jitter if told else 0.0)  # type: ignore[arg-type]

    def attempt() -> Result:
        try:
            return ask()
        except Transient as problem:
            if problem.wait_s > policy.longest_retry_after_s:
                raise ModelError(
                    f"{problem}: the service asks to wait {problem.wait_s:.0f} s; what is answered is kept, run "
                    f"this again later"
                ) from None
            raise

    def tell(retry_state: RetryCallState) -> None:
        if say is not None and retry_state.outcome is not None:
            again = f"trying again ({retry_state.attempt_number + 1} of {policy.attempts})"
            say(f"{retry_state.outcome.exception()}; {again}")

    retrying = Retrying(
        stop=stop_after_attempt(policy.attempts),
        wait=Wait(),
        retry=retry_if_exception_type(Transient),
        sleep=sleep,
        before_sleep=tell,
        reraise=True,
    )
    return retrying(attempt)


@dataclass
class BatchClient(Generic[Answer]):
    """A client of a service that answers several texts at a time.

    ask      returns the answers to a batch, all of them and in order, or raises Transient or Refused; any other error
             (a wrong key) ends everything
    keep     called with every text and its answer as soon as it arrives
    policy   how often to retry
    sleep    waits for some seconds; tests replace it
    """

    ask: Callable[[Sequence[str]], list[Answer]]
    keep: Callable[[str, Answer], None]
    batch_size: int
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], None] = time.sleep
    _failures_in_a_row: int = 0

    def answers(self, texts: Sequence[str]) -> dict[str, Answer | str]:
        """Return, for each text, its answer or the reason why there is none. Equal texts are asked once.

        Raises ModelError if the service does not answer at all; answers up to then have been kept.
        """
        results: dict[str, Answer | str] = {}
        distinct = list(dict.fromkeys(texts))
        for start in range(0, len(distinct), self.batch_size):
            self._settle(distinct[start : start + self.batch_size], results)
        return results

    def _settle(self, batch: Sequence[str], results: dict[str, Answer | str]) -> None:
        """Fill in a result for every text of a batch; halve a batch that keeps failing down to the text at fault.

        A batch whose failure is the service's own is asked whole once more, after the service has answered a probe.
        """
        try:
            answers = self._persist_with_probe(batch)
        except (Transient, Refused) as problem:
            if len(batch) > 1:
                middle = len(batch) // 2
                self._settle(batch[:middle], results)
                self._settle(batch[middle:], results)
                return
            self._probe_service(problem)
            results[batch[0]] = str(problem)
            return
        self._failures_in_a_row = 0
        for text, answer in zip(batch, answers, strict=True):
            self.keep(text, answer)
            results[text] = answer

    def _persist(self, batch: Sequence[str]) -> list[Answer]:
        """Return the answers to a batch, asked again with growing, jittered waits while that may help."""
        return persist(lambda: self.ask(batch), self.policy, self.sleep)

    def _persist_with_probe(self, batch: Sequence[str]) -> list[Answer]:
        try:
            return self._persist(batch)
        except Transient as problem:
            if not problem.of_service:
                raise
            self._probe(problem)
        try:
            return self._persist(batch)
        except Transient as problem:
            if problem.of_service:
                raise _stopped(problem) from None
            raise

    def _probe_service(self, problem: Exception) -> None:
        """After several failures in a row, check that the service answers anything at all. Raises ModelError if not."""
        if isinstance(problem, Refused):
            return
        self._failures_in_a_row += 1
        if self._failures_in_a_row < self.policy.probe_after:
            return
        self._failures_in_a_row = 0
        self._probe(problem)

    def _probe(self, problem: Exception) -> None:
        try:
            self._persist([PROBE])
        except (Transient, Refused):
            raise _stopped(problem) from None


def _stopped(problem: Exception) -> ModelError:
    return ModelError(f"the service has stopped answering ({problem}); scores so far are kept, run this again later")
