"""What tasks are about."""

from __future__ import annotations

from typing import Literal

Dimension = Literal[
    "degeneration harm",
    "representational harm",
    "refusal",
    "language and dialect",
    "language modelling",
    "downstream quality",
]
EARLIER_DIMENSIONS: dict[object, Dimension] = {"dialect bias": "language and dialect"}
"""What a dimension was called before -> its name, which policies and plug-ins with the earlier name are read as."""
