"""Tests of tasks read substitutes for the public files that the mirror lacks."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _substitutes(substitutes: None) -> None: ...
