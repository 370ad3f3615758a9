"""Engines for models that a scorer names."""

from __future__ import annotations

from crushtest.engines import load_engine
from crushtest.engines.base import Engine
from crushtest.errors import EngineError
from crushtest.records import DENSE


def only_named(model: str, engine: str) -> Engine:
    """Return the engine of a model; EngineError for `dense`, which only a study has."""
    if model == DENSE:
        raise EngineError("no dense model here: completions made elsewhere are scored without one")
    return load_engine(model, engine=engine)
