"""An engine of a plug-in without a model, whose packs show, and which notes what it computes in a file of all workers.

An answer is a hash of everything that is in its pack. So it is another one where packs are not those of a run in one
process, as it is, in the last digits, with models.
"""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterator, Sequence
from hashlib import sha256
from typing import Any

from crushtest.engines.fake.engine import FakeEngine
from crushtest.registry import engine
from support.noting_plugin import HURRY, SETTING


class Noting:
    """Answers in packs.

    fits   the largest pack for which it has memory; None: any
    holds  answers after which it waits until it is hurried; None: it never does
    """

    def __init__(self, seed: int, pack_size: int, delay_s: float, fits: int | None, holds: int | None) -> None:
        self.truncated = 0
        self._seed = seed
        self._pack_size = pack_size
        self._delay_s = delay_s
        self._fits = fits
        self._holds = holds
        self._answered = 0
        self._was_halved = False

    def choices(self, requests: Sequence[Any], *, done: Container[int] = ()) -> Iterator[tuple[int, Any]]:
        return self._answers(requests, done, lambda inner: inner.choices)

    def passages(self, requests: Sequence[Any], *, done: Container[int] = ()) -> Iterator[tuple[int, Any]]:
        return self._answers(requests, done, lambda inner: inner.passages)

    def generate(
        self, requests: Sequence[Any], sampling: Any, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Any]]:
        return self._answers(requests, done, lambda inner: lambda asked: inner.generate(asked, sampling))

    def attach_reference(self, reference: Any) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {"engine": "noting", "model": None, "seed": self._seed, "sizes": {"pack_size": self._pack_size}}

    def parts(self, requests: Sequence[Any], sampling: Any) -> list[list[int]]:
        """Return requests in packs; what is near each other in the list is not in one pack."""
        order = sorted(range(len(requests)), key=lambda index: digest(repr(requests[index])))
        return [order[at : at + self._pack_size] for at in range(0, len(order), self._pack_size)]

    def halve(self, kind: str) -> bool:
        self._was_halved, before = True, self._was_halved
        self._pack_size //= 1 if before else 2
        return not before

    def _answers(self, requests: Sequence[Any], done: Container[int], asking: Any) -> Iterator[tuple[int, Any]]:
        file, call = os.open(os.environ[SETTING], os.O_WRONLY | os.O_APPEND), digest(f"{self._seed} {requests}")
        try:
            for number, part in enumerate(self.parts(requests, None)):
                if self._fits is not None and self._pack_size > self._fits and number == 1:
                    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
                together = digest(f"{self._seed} {[requests[index] for index in part]}")
                ask = asking(FakeEngine(seed=int(together, 16)))
                for index in part:
                    if index not in done:
                        self._wait()
                        [(_, answer)] = ask([requests[index]])
                        gpus, request = os.environ.get("CUDA_VISIBLE_DEVICES"), f"{call}/{index}"
                        os.write(file, f"{os.getpid()} {gpus} {request} {time.monotonic()}\n".encode())
                        yield index, answer
        finally:
            os.close(file)

    def _wait(self) -> None:
        hurried = os.environ[SETTING] + HURRY
        time.sleep(0 if os.path.exists(hurried) else self._delay_s)
        while self._answered == self._holds and not os.path.exists(hurried):
            time.sleep(0.02)
        self._answered += 1


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


@engine("noting", runs="a test", answers=("choices", "passages", "prompts"), has_model=False)
def noting(
    model: Any,
    *,
    seed: int = 0,
    pack_size: int = 8,
    delay_s: float = 0.02,
    fits: int | None = None,
    holds: int | None = None,
) -> Noting:
    return Noting(seed, pack_size, delay_s, fits, holds)
