"""A contrast and its row in contrasts.parquet say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.results import Contrast
from crushtest.study.contrast_table import CONTRASTS, contrast_from_row, contrast_row

ANY_CONTRAST = st.from_type(Contrast).filter(lambda contrast: "nan" not in str(contrast))


@given(ANY_CONTRAST)
def test_a_contrast_comes_back_from_its_row(contrast: Contrast) -> None:
    assert contrast_from_row(contrast_row(contrast)) == contrast


@given(ANY_CONTRAST)
def test_a_row_has_the_columns_of_the_table_in_order(contrast: Contrast) -> None:
    assert list(contrast_row(contrast)) == list(CONTRASTS.schema)


@pytest.mark.parametrize("change", [{"low": None}, {"high90": None}, {"p": None}])
def test_a_row_without_all_parts_of_a_group_has_none_of_it(change: dict[str, None]) -> None:
    row = dict.fromkeys(CONTRASTS.schema) | {"low": 0.0, "high": 1.0, "low90": 0.1, "high90": 0.9, "p": 0.5}
    contrast = contrast_from_row(row | change)
    assert (contrast.p if "p" in change else contrast.intervals) is None
