"""Contrasts for tests, changed by the columns of contrasts.parquet."""

from __future__ import annotations

from crushtest.results import Contrast
from crushtest.study.contrast_table import CONTRASTS, contrast_from_row, contrast_row


def make_contrast(**columns: object) -> Contrast:
    """Return the contrast of a row with these columns, the others empty."""
    return contrast_from_row(dict.fromkeys(CONTRASTS.schema) | columns)


def with_columns(row: Contrast, **columns: object) -> Contrast:
    """Return the contrast with these columns changed."""
    return contrast_from_row(contrast_row(row) | columns)
