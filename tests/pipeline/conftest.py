"""What tests of the pipeline share."""

from __future__ import annotations

import pytest

from support.empty_page import leave_out_pages


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies end with an empty page."""
    leave_out_pages(monkeypatch)
