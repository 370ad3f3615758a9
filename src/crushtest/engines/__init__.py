"""Engines: what runs a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crushtest.registry import ENGINES

DEFAULT_ENGINE = "hf"

if TYPE_CHECKING:
    from crushtest.engines.base import Engine
    from crushtest.models.load import LoadedModel


def load_engine(model: str | LoadedModel, *, engine: str = DEFAULT_ENGINE, **options: Any) -> Engine:
    """Return an engine that runs a model, given by its spec (see `load_model`) or already loaded.

    Options are the engine's own. UsageError for one that it does not have, with those that it has.
    """
    entry = ENGINES.get(engine)
    loaded: Engine = entry.function(model, **entry.bind(options))
    return loaded
