"""The contract of a task: the record that its function returns, from which everything else follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crushtest.metrics import Metric
from crushtest.records import Completion, Item, Kind, Sampling, Score
from crushtest.tasks.sampling import stratified_sample


class Outcome(NamedTuple):
    """What became of an item, in a word, and why it counts as that."""

    word: str
    reason: str


UNSCORED = "unscored"
"""The word for an item that has no outcome."""


@dataclass(frozen=True)
class FromDense:
    """How a task's items are made from what the dense arm answered to another task, once and for all arms.

    task      that other task, which the study asks before this one, with the same items
    detects   what the scorers of that task detect whose scores `make` is given; others may need a model of their own
    make      given the drawn items, and dense's answers by item and scores by scorer and item: the items to ask
    again     given the items drawn today and those that the study holds: today's as `make` made the others
    """

    task: str
    detects: str
    make: Callable[[Sequence[Item], Mapping[str, Any], Mapping[str, Mapping[str, Score]]], list[Item]]
    again: Callable[[Sequence[Item], Sequence[Item]], list[Item]]


@dataclass(frozen=True)
class Task:
    """What a task function returns.

    items          build and return all items
    metrics        the metrics that are computed from the answers
    scorers        specs of the scorers that read completions (`profanity`, `hf:ID#LABEL`)
    sampling       how completions are drawn
    cost           given the number of items asked, say in words what an arm costs beyond its own answers (questions to
                   a judge, ...), for the user to read before it is spent
    likeliest      for passages asked `against_dense`: how many of the most probable next tokens the dense arm keeps in
                   files for the other arms to compare with. None: they compare with the dense model itself, in memory
    headline       the name of the metric that stands for the task when only one can be shown. None: the first
    also_headline  names of metrics that head the task as well, because its headline alone would praise what is worse
    draw           given a limit and a seed, return about that many items, and never part of a unit whose items belong
                   together. None: draw evenly over the combinations of groups
    block          what the items that share a context, and so most of the work, have in common: an arm that may stop
                   early is asked all of them or none. None: only items of equal contexts are kept together
    outcome        given an item, its completion and what each scorer says of it, return what became of it, and why.
                   None: the task only has numbers
    needs_chat     requests make sense in a chat template only, and a model without one is refused before any work: what
                   to do in place of that. None: such a model is asked in plain text
    default_limit  how many items are drawn if a study sets no limit. None: all
    from_dense     what makes the items of the dense arm's own answers. None: they are asked as they are drawn
    """

    kind: Kind
    items: Callable[[], Sequence[Item]]
    metrics: tuple[Metric, ...]
    scorers: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    cost: Callable[[int], str] | None = None
    likeliest: int | None = None
    headline: str | None = None
    also_headline: tuple[str, ...] = ()
    draw: Callable[[int, int], Sequence[Item]] | None = None
    default_limit: int | None = None
    from_dense: FromDense | None = None
    needs_chat: str | None = None
    block: Callable[[Item], str] | None = None
    outcome: Callable[[Item, Completion, Mapping[str, Score]], Outcome] | None = None

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        for headline in filter(None, (self.headline, *self.also_headline)):
            if headline not in names:
                raise ValueError(f"headline {headline!r} is no metric of the task ({', '.join(names)})")

    def sample_items(self, limit: int | None, seed: int) -> list[Item]:
        """Return the items that a study asks: all of them, or about `limit`."""
        if limit is None:
            return list(self.items())
        return list(self.draw(limit, seed)) if self.draw else stratified_sample(self.items(), limit, seed)

    @property
    def headline_metric(self) -> Metric:
        """The metric that `headline` names, or the first metric."""
        return next((metric for metric in self.metrics if metric.name == self.headline), self.metrics[0])

    @property
    def headline_metrics(self) -> tuple[Metric, ...]:
        """The metrics that head the task, `headline_metric` first."""
        others = (metric for metric in self.metrics if metric.name in self.also_headline)
        return self.headline_metric, *(metric for metric in others if metric != self.headline_metric)
