"""Scoring stored completions: no model needed, and a scorer may be added later."""

from __future__ import annotations

from collections.abc import Sequence

from crushtest import manifest
from crushtest.plan import PlannedTask
from crushtest.progress import Bars, Lines
from crushtest.records import Exchange, Item, Prompt, Score
from crushtest.registry import SCORERS
from crushtest.store import StudyFolder

BATCH = 256


def score(folder: StudyFolder, arm: str, planned: PlannedTask, items: Sequence[Item], progress: Bars | Lines) -> None:
    """Score the stored completions of one arm with every scorer of the task. Needs no model."""
    for scorer in planned.task.scorers:
        log = folder.scores(arm, scorer, planned.name)
        if log.complete:
            continue
        answers = folder.answers(arm, planned.name, planned.task.kind).read()
        scored = log.read()
        pending = [item for item in items if item.id not in scored]
        with progress.step(f"{arm} · {scorer} on {planned.name}", len(items), done=len(scored)) as advance:
            for start in range(0, len(pending), BATCH):
                batch = pending[start : start + BATCH]
                exchanges = [Exchange(prompt_of(item), answers[item.id].text) for item in batch]
                for item, result in zip(batch, call_scorer(scorer, exchanges), strict=True):
                    log.append(item.id, result)
                advance(len(batch))
        log.finish([item.id for item in items])
        manifest.update(folder.manifest, "scorers", scorer, dict(SCORERS.get(scorer.partition(":")[0]).about))


def call_scorer(spec: str, exchanges: Sequence[Exchange]) -> list[Score]:
    """One Score an exchange, from the scorer that a spec (`name`, `name:option=value`) names."""
    name, _, rest = spec.partition(":")
    options = dict(piece.partition("=")[::2] for piece in rest.split(",") if piece)
    entry = SCORERS.get(name)
    return list(entry.function(exchanges, **entry.bind(options)))


def prompt_of(item: Item) -> str:
    """The prompt of an item that asked for a completion."""
    assert isinstance(item.request, Prompt)
    return item.request.text
