"""Calling a scorer by its spec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from crushtest.records import Exchange, Item, Prompt, Score
from crushtest.registry import SCORERS
from crushtest.scorers.specs import split_spec

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

Engines = Callable[[str, str], "Engine"]
"""(model, engine) -> an engine running it: for scorers that ask a model. The model `dense` is the study's own."""


def call_scorer(spec: str, exchanges: Sequence[Exchange], engines: Engines) -> list[Score]:
    """One Score an exchange, from the scorer that a spec (`name`, `name:option=value`, `name:value`) names."""
    name, given = split_spec(spec)
    entry = SCORERS.get(name)
    options = entry.bind(given, where=f"scorer {spec!r}")
    provided = {"engines": engines} if "engines" in entry.needs else {}
    return list(entry.function(exchanges, **provided, **options))


def facts_of(spec: str) -> dict[str, object]:
    """What a scorer is and would run with, for the manifest; raises what keeps it from running."""
    name, given = split_spec(spec)
    entry = SCORERS.get(name)
    options = entry.bind(given, where=f"scorer {spec!r}")
    return {**entry.about, "options": options, **(entry.facts(**options) if entry.facts else {})}


def exchange_of(item: Item, completion: str) -> Exchange:
    """What a scorer sees of an item that asked for a completion, and of what the model wrote."""
    assert isinstance(item.request, Prompt)
    subject = item.facts.get("subject", "")
    return Exchange(item.request.text, completion, str(subject), item.request.chat)
