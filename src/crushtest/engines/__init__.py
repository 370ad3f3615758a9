"""Engines: what runs a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crushtest.registry import ENGINES
from crushtest.services.addresses import is_address

DEFAULT_ENGINE = "hf"
SERVED_ENGINE = "openai"
"""The engine of models behind an address."""

if TYPE_CHECKING:
    from crushtest.engines.base import Engine
    from crushtest.models.load import LoadedModel


def engine_for(model: str, engine: str) -> str:
    """Return the engine (with its options) that runs a model: the one named, unless it cannot take an address."""
    has_model = ENGINES.get(engine.partition(":")[0]).about.has_model  # one without answers for anything
    return SERVED_ENGINE if has_model and is_address(model) and not engine.startswith(SERVED_ENGINE) else engine


def load_engine(model: str | LoadedModel, *, engine: str = DEFAULT_ENGINE, **options: Any) -> Engine:
    """Return an engine that runs a model, given by its spec (see `load_model`) or already loaded.

    Options are the engine's own, given here or in its spec. UsageError for one that it does not have, with those that
    it has.
    """
    name, given = ENGINES.split(engine_for(model, engine) if isinstance(model, str) else engine)
    entry = ENGINES.get(name)
    loaded: Engine = entry.function(model, **entry.bind({**given, **options}))
    return loaded
