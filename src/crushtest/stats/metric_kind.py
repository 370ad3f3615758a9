"""Which metrics are plain proportions or plain means, for which there are closed forms."""

from __future__ import annotations

from typing import Literal

import numpy as np

from crushtest.metrics import Metric, ratio
from crushtest.stats.item_sums import Sums
from crushtest.stats.shared import Mask

Shape = Literal["rate", "mean", "other"]


def is_over_items(metric: Metric) -> bool:
    """Return whether a metric is a sum over a sum, as proportions and means over items are."""
    return metric.formula is ratio and metric.cell_of is None and len(metric.columns) == 2


def shape_of(metric: Metric, sums: Sums, used: Mask) -> Shape:
    """Return `rate` for outcomes 0 or 1 over items, `mean` for numbers over items, `other` for anything else."""
    if not is_over_items(metric):
        return "other"
    values, ones = sums.columns[used].T
    if not (ones == 1).all():
        return "other"
    return "rate" if np.isin(values, (0.0, 1.0)).all() and metric.outcome == metric.columns[0] else "mean"
