"""Which metric stands for a task where there is room for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crushtest.metrics import Metric

if TYPE_CHECKING:
    from crushtest.records import Contrast
    from crushtest.report.gather import StudyView

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
    "accuracy_normalised",
    "accuracy",
    "rougeL",
)
"""The first of these that a task has is its headline; a task that has none of them is headed by its first metric."""


def headline(metrics: Sequence[Metric]) -> Metric:
    """The metric that heads a task's column."""
    by_name = {metric.name: metric for metric in metrics}
    return next((by_name[name] for name in PREFERRED if name in by_name), metrics[0])


RATIOS = {"dialect_gap_bits": "dialect_ratio", "dialect_gap_perplexity": "dialect_perplexity_ratio"}
"""A gap may widen while the ratio of the same two sides shrinks, so that neither is shown alone."""


def as_ratio(study: StudyView, contrast: Contrast) -> str:
    """What a gap is as a ratio, dense's and the arm's: `; ratio 1.210 to 1.172`. Empty for what has none."""
    found = study.contrast(contrast.arm, contrast.task, RATIOS.get(contrast.metric, ""), contrast.group)
    if found is None or found.dense is None or found.value is None:
        return ""
    return f"; ratio {found.dense:.3f} to {found.value:.3f}"
