"""Metrics: functions of per-item sums.

A metric names a few per-item columns and a formula over their totals. Totals over any group, over both arms and
over every bootstrap replicate are then plain sums, so one vectorised cluster bootstrap serves every metric.
"""

from __future__ import annotations

from crushtest.metrics.choices import (
    NOT_FINITE,
    TIED,
    Chosen,
    NoChoice,
    as_scores,
    choice,
    choice_per_byte,
    choice_per_token,
    highest,
)
from crushtest.metrics.formulas import accuracy, bits_per_byte, exp_ratio, mean, perplexity, rate, ratio
from crushtest.metrics.metric import (
    AGAINST_REST,
    ALL,
    CONTROL,
    GAP,
    WORST,
    Array,
    ByColumns,
    Measure,
    Metric,
    Role,
    about_people,
    by_reported_name,
    every_group,
    everywhere,
    option_chosen,
    reported_names,
)
from crushtest.metrics.replies import LETTERS_COUNT, READ, replies_read, with_read

__all__ = [
    "AGAINST_REST",
    "ALL",
    "CONTROL",
    "GAP",
    "LETTERS_COUNT",
    "NOT_FINITE",
    "READ",
    "TIED",
    "WORST",
    "Array",
    "ByColumns",
    "Chosen",
    "Measure",
    "Metric",
    "NoChoice",
    "Role",
    "about_people",
    "accuracy",
    "as_scores",
    "bits_per_byte",
    "by_reported_name",
    "choice",
    "choice_per_byte",
    "choice_per_token",
    "every_group",
    "everywhere",
    "exp_ratio",
    "highest",
    "mean",
    "option_chosen",
    "perplexity",
    "rate",
    "ratio",
    "replies_read",
    "reported_names",
    "with_read",
]
