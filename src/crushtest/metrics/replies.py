"""Metrics of letters read from replies: twins of those that need an option's choice alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from crushtest.metrics.choices import as_scores
from crushtest.metrics.formulas import rate
from crushtest.metrics.metric import Metric
from crushtest.records import ChoiceScores, Item, ReadChoice

READ = "_read"
"""Suffix of the metric that is computed from letters read from replies: a metric of its own, never compared with the
one from log-likelihoods."""
LETTERS_COUNT = "The answer is the letter that a reply gives; replies without a letter are left out."
"""What the meaning of such a metric gains."""


def with_read(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """Return the metrics, then those of letters read from replies: a twin of each that needs the pick alone, and how
    many replies gave a letter.

    >>> [metric.name for metric in with_read([accuracy()])]
    ['accuracy', 'accuracy_read', 'replies_read']
    """
    declared = tuple(metrics)
    twins = [_read_twin(metric) for metric in declared if metric.from_pick]
    return (*declared, *twins, replies_read()) if twins else declared


def _read_twin(metric: Metric) -> Metric:
    """Return the metric of the letters read from replies."""

    def scores(item: Item, answer: ReadChoice | tuple[ReadChoice, ...]) -> ChoiceScores | tuple[Any, ...]:
        if isinstance(answer, tuple):  # items measured together have as many options
            return tuple(scores(item, each) for each in answer)
        assert answer.pick is not None
        return as_scores(answer.pick, len(item.request.options))  # type: ignore[union-attr]

    flip_key = metric.flip_key
    return replace(
        metric,
        name=metric.name + READ,
        measure=lambda item, answer, score: metric.measure(item, scores(item, answer), score),
        flip_key=None if flip_key is None else lambda item, answer, score: flip_key(item, scores(item, answer), score),
        label=f"{metric.label or metric.name.replace('_', ' ')}, letters read from replies",
        meaning=f"{metric.meaning.replace('most likely answer', 'answer')} {LETTERS_COUNT}".strip(),
        from_pick=False,
        by_columns=None,
        reads="letter",
    )


def replies_read() -> Metric:
    """Measure the share of replies that give a letter of the options: the others count in no other metric."""
    return rate(
        "replies_read",
        lambda item, answer, score: answer.pick is not None,
        better="higher",
        flip_key=None,
        reads="reply",
        label="replies that give a letter",
        meaning="Share of replies from which a letter could be read; 1: all. The others count in no other measure.",
    )
