"""Which metric stands for a task where there is room for one."""

from __future__ import annotations

from collections.abc import Sequence

from crushtest.metrics import Metric

PREFERRED = (
    "bias_ambiguous",
    "stereotype_bias",
    "stereotype_gap",
    "icat_score",
    "profanity_rate",
    "toxicity_rate",
    "dialect_gap_bits",
    "dialect_gap_perplexity",
    "perplexity",
    "bits_per_byte",
    "accuracy",
    "rougeL",
)
"""The first of these that a task has is its headline; a task that has none of them is headed by its first metric."""


def headline(metrics: Sequence[Metric]) -> Metric:
    """The metric that heads a task's column."""
    by_name = {metric.name: metric for metric in metrics}
    return next((by_name[name] for name in PREFERRED if name in by_name), metrics[0])
