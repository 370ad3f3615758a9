"""Metrics that mean something for a model only if others of its task say so (`Metric.valid_if`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crushtest.metrics import ALL, Metric, by_reported_name
from crushtest.results import Contrast
from crushtest.stats.verdicts import INCONCLUSIVE, UNDEFINED


def without_invalid(rows: Sequence[Contrast], metrics: Sequence[Metric]) -> list[Contrast]:
    """Return the rows of an arm and task; those of a metric that is not valid for the model are inconclusive.

    Their reason says what the metric lacks. They have no p, so that they are in no family.
    """
    dense = {row.metric: row.dense for row in rows if row.group == ALL}
    labels = {metric.name: metric.label or metric.name for metric in metrics}
    lacking = {metric.name: _lacking(metric, dense, labels) for metric in metrics}
    declared = by_reported_name(metrics)
    return [_marked(row, lacking[declared[row.metric].name]) for row in rows]


def _lacking(metric: Metric, dense: dict[str, float | None], labels: dict[str, str]) -> str | None:
    for name, least in metric.valid_if.items():
        value = dense.get(name)
        if value is None:
            return f"{labels[name]} is unknown"
        if value < least:
            return f"{labels[name]} is {value:.2g}, and {least:g} is needed"
    return None


def _marked(row: Contrast, lacking: str | None) -> Contrast:
    if lacking is None or row.verdict == UNDEFINED:
        return row
    return replace(row, verdict=INCONCLUSIVE, reason=f"not valid for this model: {lacking}", p=None, mde=None)
