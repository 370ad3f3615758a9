"""Score stored completions. A scorer may be added later, and needs no model but its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from crushtest.engines.load import only_named
from crushtest.progress import Progress
from crushtest.records import DENSE, Answer, Completion, Item, Score, Unanswered
from crushtest.registry import scorer_identity
from crushtest.scorers.calling import Engines, call_scorer, exchange_of, facts_of, needs_dense
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.thinking import CUT, is_cut_short

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

BATCH = 256


def check_scorers(folder: StudyFolder, plan: Plan) -> None:
    """Raise ModelError if a scorer that is still needed lacks its classifier, key or judge."""
    for planned in plan.tasks:
        for scorer in planned.task.scorers:
            logs = (
                folder.scores(arm.name, scorer, planned.name, repeat=arm.repeat, draw=arm.draw)
                for arm in plan.measured
                if any(asked.name == planned.name for asked in plan.asked_of(arm))
            )
            if not all(log.complete for log in logs):
                facts_of(scorer)


def score(
    folder: StudyFolder,
    arm: Arm,
    planned: PlannedTask,
    items: Sequence[Item],
    progress: Progress,
    engines: Engines,
    *,
    parts: Sequence[Sequence[Item]] | None = None,
    last: bool = True,
) -> None:
    """Score the stored completions of one arm with every scorer of the task.

    `parts` are the items that were asked, as they were asked one after the other; None: all at once. Unless they are
    the `last`, more may follow.

    Blocks are the same however often a study is interrupted, because the last digits of a model's numbers depend on
    its batch. A partly scored block is scored again, but only its missing scores are appended.
    """
    for scorer in planned.task.scorers:
        ids = [item.id for item in items]
        log = folder.scores(arm.name, scorer, planned.name, repeat=arm.repeat, draw=arm.draw)
        if log.complete:
            continue
        answer_log = folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat, draw=arm.draw)
        answers = answer_log.read(ids)
        of_dense = folder.answers(DENSE, planned.name, planned.task.kind)
        dense = of_dense.read(ids) if needs_dense(scorer) == "answers" else None
        scored, by_id = log.read(ids), {item.id: item for item in items}
        asked = [items] if parts is None else parts
        total = sum(map(len, asked))
        with progress.step(f"{arm.title} · {scorer} on {planned.name}", total, done=min(total, len(scored))) as advance:
            for block in batches(asked):
                lacking = {item.id for item in block} - scored.keys()
                if not lacking:
                    continue
                reasons = {item.id: reason for item in block if (reason := no_text(item, answers, dense))}
                texts = [item for item in block if item.id not in reasons]
                exchanges = [exchange_of(item, by_id, answers) for item in texts]
                against = None if dense is None else [exchange_of(item, by_id, dense) for item in texts]
                results = call_scorer(scorer, exchanges, engines, against)
                scores = dict(zip((item.id for item in texts), results, strict=True))
                for item in block:
                    if item.id in lacking:
                        log.append(item.id, scores.get(item.id) or Score(None, reasons[item.id]))
                advance(len(lacking))
        manifest.update(folder.manifest, "scorers", scorer_identity(scorer), facts_of(scorer))
        if last:
            held = {item.id for part in asked for item in part}
            also = [] if dense is None else [of_dense.final]
            log.finish([item for item in ids if item in held], also=also, part=answer_log.part())
        log.close()


def batches(parts: Sequence[Sequence[Item]]) -> Iterator[Sequence[Item]]:
    """Yield the items that a scorer is given at once; none from two parts."""
    for part in parts:
        for start in range(0, len(part), BATCH):
            yield part[start : start + BATCH]


def no_text(item: Item, answers: Mapping[str, Answer], dense: Mapping[str, Answer] | None) -> str | None:
    """Return why an item has no completion to score, or dense none to compare it with; None if both are there."""
    for given in (answers, dense or {}):
        answer = given.get(item.id)
        if isinstance(answer, Unanswered):
            return answer.reason
        if isinstance(answer, Completion) and is_cut_short(answer):
            return CUT
    return None


# ---- the models that scorers ask -------------------------------------------------------------------


def engines_of(plan: Plan) -> Engines:
    """Return a loader of the engines that scorers ask, which loads each once, when it is first needed."""
    loaded: dict[tuple[str, str], Engine] = {}

    def load(model: str, engine: str) -> Engine:
        if (model, engine) not in loaded:
            loaded[model, engine] = dense_engine(plan.dense) if model == DENSE else only_named(model, engine)
        return loaded[model, engine]

    return load


def dense_engine(dense: Arm) -> Engine:
    """Return the engine of the study's model before compression, run as its arms are."""
    from crushtest.engines import load_engine

    model = dense.model_options.load(dense.model) if dense.in_process else dense.model
    return load_engine(model, engine=dense.engine, **dense.engine_options)
