"""crushtest: crash tests for compressed language models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crushtest.records import Choices, Passage, Prompt, Sampling

if TYPE_CHECKING:
    from crushtest.engines import load_engine
    from crushtest.models.load import load_model
    from crushtest.pipeline.from_python import run_study
    from crushtest.study.tables import Study

__version__ = "0.1.0"

__all__ = [
    "Choices",
    "Passage",
    "Prompt",
    "Sampling",
    "Study",
    "__version__",
    "load_engine",
    "load_model",
    "run_study",
]

# Loaded on first use: some bring torch with them, and `crushtest list` must not wait for it.
_LATER = {
    "Study": "crushtest.study.tables",
    "load_engine": "crushtest.engines",
    "load_model": "crushtest.models.load",
    "run_study": "crushtest.pipeline.from_python",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'crushtest' has no attribute {name!r}")
