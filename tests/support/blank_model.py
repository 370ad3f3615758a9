"""A model that keeps another's tokenizer and limits, and answers without multiplying a weight."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

from crushtest.engines.packing import Line
from crushtest.records import Completion, Sampling


class Blank:
    """Scores every line 0 and continues every prompt with nothing."""

    def __init__(self, model: Any) -> None:
        self.can, self.tokenizer, self.context, self.batch = model.can, model.tokenizer, model.context, model.batch

    def score(self, groups: Sequence[Sequence[Line]], done: Container[int]) -> Iterator[tuple[int, list[float]]]:
        yield from ((index, [0.0] * len(group)) for index, group in enumerate(groups))

    def continue_batch(self, prompts: Any, texts: Any, sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        yield from ((text.index, Completion("", 0, "eos")) for text in texts)

    def describe(self) -> dict[str, Any]:
        return {"model": "blank"}
