"""crushtest: crash tests for compressed language models."""

from __future__ import annotations

from typing import Any

from crushtest.records import Choices, Passage, Prompt, Sampling

__version__ = "0.1.0"

__all__ = ["Choices", "Passage", "Prompt", "Sampling", "__version__", "load_engine", "load_model"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: both bring torch with them, and `crushtest list` must not wait for it.
    if name == "load_engine":
        from crushtest.engines import load_engine

        return load_engine
    if name == "load_model":
        from crushtest.models.load import load_model

        return load_model
    raise AttributeError(f"module 'crushtest' has no attribute {name!r}")
