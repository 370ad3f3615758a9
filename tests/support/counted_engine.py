"""An engine of a plug-in that notes every answer which it computes, in a file that all workers append to."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterator, Sequence
from typing import Any

from crushtest.registry import ENGINES, engine
from support.counted_plugin import HURRY, SETTING


class Counted:
    """An `hf` engine; a line for each answer says the process and what was answered."""

    def __init__(self, inner: Any, delay_s: float, fits: int | None) -> None:
        self._inner = inner
        self._delay_s = delay_s
        self._fits = fits
        self.truncated = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def choices(self, requests: Sequence[Any], *, done: Container[int] = ()) -> Iterator[tuple[int, Any]]:
        return noted(requests, self._within(self._inner.choices(requests, done=done)), self._delay_s)

    def passages(self, requests: Sequence[Any], *, done: Container[int] = ()) -> Iterator[tuple[int, Any]]:
        return noted(requests, self._inner.passages(requests, done=done), self._delay_s)

    def generate(
        self, requests: Sequence[Any], sampling: Any, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Any]]:
        return noted(requests, self._inner.generate(requests, sampling, done=done), self._delay_s)

    def parts(self, requests: Sequence[Any], sampling: Any) -> list[list[int]]:
        parts: list[list[int]] = self._inner.parts(requests, sampling)
        return parts

    def halve(self, kind: str) -> bool:
        halved: bool = self._inner.halve(kind)
        return halved

    def _within(self, answers: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Run out of memory after a few answers where packs are larger than what fits."""
        for number, answer in enumerate(answers):
            if self._fits is not None and self._inner.model.packed.size > self._fits and number == 3:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            yield answer


def noted(requests: Sequence[Any], answers: Iterator[tuple[int, Any]], delay_s: float) -> Iterator[tuple[int, Any]]:
    file = os.open(os.environ[SETTING], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for index, answer in answers:
            time.sleep(0 if os.path.exists(os.environ[SETTING] + HURRY) else delay_s)
            os.write(file, f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')} {index}/{len(requests)}\n".encode())
            yield index, answer
    finally:
        os.close(file)


@engine(
    "counted",
    runs="a test",
    answers=("choices", "passages", "prompts", "distributions"),
    in_process=True,
    takes_recipes=True,
)
def counted(
    model: Any, *, dtype: str = "float32", device: str = "auto", pack_tokens: int = 64, batch_size: int = 4,
    trust_remote_code: bool = False, allow_pickle: bool = False, delay_s: float = 0.0, fits: int | None = None,
) -> Counted:  # fmt: skip
    return Counted(ENGINES.get("hf").function(model, pack_tokens=pack_tokens, batch_size=batch_size), delay_s, fits)
