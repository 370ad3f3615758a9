"""The published points, read once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.data.published.point import Point
from crushtest.data.published.xu2024.source import read


@pytest.fixture(scope="session")
def points(data: Path) -> list[Point]:
    """Every number of Xu et al. 2024; the test skips where the mirror has no such tables."""
    if not (data / "xu2024" / "bbq.csv").is_file():
        pytest.skip("the mirror has no xu2024")
    return read()
