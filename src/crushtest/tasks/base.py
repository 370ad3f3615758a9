"""The contract of a task: what its function returns, from which everything else about it follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from crushtest.metrics import Metric
from crushtest.records import Item, Kind, Sampling


@dataclass(frozen=True)
class Task:
    """What a task function returns: its items (built when called), its metrics, and what scores its completions.

    `scorers` are specs (`profanity`, `hf:ID#LABEL`); `sampling` holds for tasks of prompts. `cost` says, in words, what
    an arm costs beyond its own answers (questions to a judge, ...), for the user to read before it is spent.
    `likeliest` is for passages asked `against_dense`: of how many next tokens, for every token, the dense arm keeps the
    probabilities in files, with which the other arms are compared. None: with the dense model itself, in memory.
    `headline` names the metric that stands for the task where there is room for one. None: its first.
    """

    kind: Kind
    items: Callable[[], Sequence[Item]]
    metrics: tuple[Metric, ...]
    scorers: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    cost: str | None = None
    likeliest: int | None = None
    headline: str | None = None

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        if self.headline is not None and self.headline not in names:
            raise ValueError(f"headline {self.headline!r} is no metric of the task ({', '.join(names)})")

    @property
    def headline_metric(self) -> Metric:
        """The metric that `headline` names."""
        return next((metric for metric in self.metrics if metric.name == self.headline), self.metrics[0])
