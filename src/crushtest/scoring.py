"""Scoring stored completions: a scorer may be added later, and needs no model but its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crushtest import manifest
from crushtest.conversations import history
from crushtest.errors import EngineError
from crushtest.plan import DENSE, Plan, PlannedTask, StudySpec, parse_engine
from crushtest.progress import Bars, Lines
from crushtest.records import Exchange, Item, Prompt, Score
from crushtest.registry import SCORERS
from crushtest.scorers.specs import split_spec
from crushtest.store import StudyFolder

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

BATCH = 256

Engines = Callable[[str, str], "Engine"]
"""(model, engine) -> an engine running it: for scorers that ask a model. The model `dense` is the study's own."""


def check_scorers(folder: StudyFolder, plan: Plan) -> None:
    """Raise ModelError for a scorer whose classifier, key or judge is not to be had, where it is still needed."""
    for planned in plan.tasks:
        for scorer in planned.task.scorers:
            if not all(folder.scores(arm.name, scorer, planned.name).complete for arm in plan.arms):
                facts_of(scorer)


def score(
    folder: StudyFolder,
    arm: str,
    planned: PlannedTask,
    items: Sequence[Item],
    progress: Bars | Lines,
    engines: Engines,
) -> None:
    """Score the stored completions of one arm with every scorer of the task."""
    for scorer in planned.task.scorers:
        log = folder.scores(arm, scorer, planned.name)
        if log.complete:
            continue
        answers = folder.answers(arm, planned.name, planned.task.kind).read()
        compares = "against" in SCORERS.get(split_spec(scorer)[0]).needs
        dense = folder.answers(DENSE, planned.name, planned.task.kind).read() if compares else {}
        scored = log.read()
        by_id = {item.id: item for item in items}
        pending = [item for item in items if item.id not in scored]
        with progress.step(f"{arm} · {scorer} on {planned.name}", len(items), done=len(scored)) as advance:
            for start in range(0, len(pending), BATCH):
                batch = pending[start : start + BATCH]
                exchanges = [exchange_of(item, by_id, answers) for item in batch]
                against = [exchange_of(item, by_id, dense) for item in batch] if compares else None
                for item, result in zip(batch, call_scorer(scorer, exchanges, engines, against), strict=True):
                    log.append(item.id, result)
                advance(len(batch))
        log.finish([item.id for item in items])
        manifest.update(folder.manifest, "scorers", scorer, facts_of(scorer))


def call_scorer(
    spec: str,
    exchanges: Sequence[Exchange],
    engines: Engines | None = None,
    against: Sequence[Exchange] | None = None,
) -> list[Score]:
    """One Score an exchange, from the scorer that a spec (`name`, `name:option=value`, `name:value`) names.

    `against` are the dense model's exchanges on the same items, for scorers that compare. Raises EngineError where
    such a scorer has none.
    """
    name, given = split_spec(spec)
    entry = SCORERS.get(name)
    options = entry.bind(given, where=f"scorer {spec!r}")
    provided: dict[str, object] = {"engines": engines or only_named} if "engines" in entry.needs else {}
    if "against" in entry.needs:
        if against is None:
            raise EngineError(f"scorer {spec!r} compares with the dense model: it needs a study")
        provided["against"] = against
    return list(entry.function(exchanges, **provided, **options))


def facts_of(spec: str) -> dict[str, object]:
    """What a scorer is and would run with, for the manifest; raises what keeps it from running."""
    name, given = split_spec(spec)
    entry = SCORERS.get(name)
    options = entry.bind(given, where=f"scorer {spec!r}")
    return {**entry.about, "options": options, **(entry.facts(**options) if entry.facts else {})}


def exchange_of(item: Item, by_id: Mapping[str, Item], answers: Mapping[str, Any]) -> Exchange:
    """What a scorer sees of an item that asked for a completion, and of what the model wrote."""
    assert isinstance(item.request, Prompt)
    subject = item.facts.get("subject", "")
    turns = history(item, by_id, answers)
    return Exchange(item.request.text, answers[item.id].text, str(subject), item.request.chat, turns)


# ---- the models that scorers ask -------------------------------------------------------------------


def engines_of(spec: StudySpec) -> Engines:
    """The engines of a study's scorers, each loaded once, when it is first asked for."""
    loaded: dict[tuple[str, str], Engine] = {}

    def load(model: str, engine: str) -> Engine:
        if (model, engine) not in loaded:
            loaded[model, engine] = dense_engine(spec) if model == DENSE else only_named(model, engine)
        return loaded[model, engine]

    return load


def dense_engine(spec: StudySpec) -> Engine:
    """The study's model before compression, run as its arms are."""
    from crushtest.engines import load_engine
    from crushtest.models import load_model

    name, options = parse_engine(spec.engine)
    if name != "hf":
        return load_engine(spec.model, engine=name, **options)
    model = load_model(
        spec.model,
        dtype=spec.dtype,
        device=spec.device,
        trust_remote_code=spec.trust_remote_code,
        allow_pickle=spec.allow_pickle,
    )
    return load_engine(model, engine=name, **options)


def only_named(model: str, engine: str) -> Engine:
    """An engine for a model that a scorer names; EngineError for `dense` where there is no study."""
    from crushtest.engines import load_engine

    if model == DENSE:
        raise EngineError("no dense model here: completions made elsewhere are scored without one")
    return load_engine(model, engine=engine)
