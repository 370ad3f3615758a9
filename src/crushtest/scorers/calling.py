"""Call a scorer by its spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from crushtest.errors import EngineError
from crushtest.records import DENSE, Completion, Exchange, Item, Prompt, Score
from crushtest.registry import SCORERS
from crushtest.tasks.shared.conversations import history
from crushtest.thinking import after_thinking

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

Engines = Callable[[str, str], "Engine"]
"""(model, engine) -> an engine that runs the model, for scorers that ask one. `dense` names the study's own model."""


def call_scorer(
    spec: str, exchanges: Sequence[Exchange], engines: Engines, against: Sequence[Exchange] | None = None
) -> list[Score]:
    """Return one Score per exchange from the scorer of a spec (`name`, `name:option=value`, `name:value`).

    `against` holds the dense model's exchanges on the same items. Raises EngineError if the scorer compares with dense
    and `against` is None.
    """
    name, given = SCORERS.split(spec)
    entry = SCORERS.get(name)
    options = entry.bind(given, where=f"scorer {spec!r}")
    provided: dict[str, object] = {"engines": engines} if "engines" in entry.needs else {}
    if entry.about.needs_dense == "answers":
        if against is None:
            raise EngineError(f"scorer {spec!r} compares with the dense model: it needs a study")
        provided["against"] = against
    return list(entry.function(exchanges, **provided, **options))


def needs_dense(spec: str) -> Literal["answers", "model"] | None:
    """Return what a scorer needs of a study's dense model: its answers, the model itself, or neither.

    A scorer that asks the dense model does not need it where its option `model` names another one.
    """
    name, given = SCORERS.split(spec)
    entry = SCORERS.get(name)
    if entry.about.needs_dense == "model" and entry.bind(given, where=f"scorer {spec!r}").get("model", DENSE) != DENSE:
        return None
    return entry.about.needs_dense


def facts_of(spec: str) -> dict[str, object]:
    """Return a scorer's description and options for the manifest. Raises whatever keeps it from running."""
    name, given = SCORERS.split(spec)
    entry = SCORERS.get(name)
    options = entry.bind(given, where=f"scorer {spec!r}")
    return {**asdict(entry.about), "options": options, **(entry.facts(**options) if entry.facts else {})}


def exchange_of(item: Item, by_id: Mapping[str, Item], answers: Mapping[str, Completion]) -> Exchange:
    """Return what a scorer sees: an item's prompt, the model's completion after its thinking, and the turns before."""
    assert isinstance(item.request, Prompt)
    subject = item.facts.get("subject", "")
    turns = history(item, by_id, answers)
    return Exchange(
        prompt=item.request.text,
        completion=after_thinking(answers[item.id].text),
        subject=str(subject),
        chat=item.request.chat,
        history=turns,
        system=item.request.system,
    )
