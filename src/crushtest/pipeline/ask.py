"""Pending items -> engine -> answers, each appended as it comes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crushtest.errors import EngineError
from crushtest.files.append_log import AppendLog
from crushtest.records import Answer, ChoiceScores, Completion, Item, PassageScore, ReadChoice, Unanswered
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.study.stops import is_over, may_stop
from crushtest.tasks.shared.conversations import turns_before, waves, with_history

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

NO_TURN_BEFORE = "a turn before it was not answered"


def answers_of(folder: StudyFolder, arm: Arm, planned: PlannedTask) -> AppendLog[Any]:
    """Return the log of the answers that an arm, a repeat or a draw gives to a task."""
    return folder.answers(arm.name, planned.name, planned.task.kind, repeat=arm.repeat, draw=arm.draw)


def is_answered(folder: StudyFolder, plan: Plan, arm: Arm) -> bool:
    """Return True if an arm has answered every task to the last item, or as far as it was to be asked."""
    if plan.grown:
        return False
    goes_on = may_stop(plan, arm) and plan.stop_early is not None and plan.stop_early.finish
    logs = [answers_of(folder, arm, planned) for planned in plan.asked_of(arm)]
    if all(log.complete and not (goes_on and log.part()) for log in logs):
        return True
    return is_over(folder, plan, arm)


def ask(engine: Engine, planned: PlannedTask, items: Sequence[Item], log: AppendLog[Any]) -> Iterator[int]:
    """Ask the engine the open items, append each answer as it comes, and yield the number of answers added."""
    answered = log.read()
    by_id = {item.id: item for item in items}
    for wave in waves(items):
        for item in (items[place] for place in wave):
            if item.id not in answered and after_unanswered(item, by_id, answered):
                answered[item.id] = Unanswered(NO_TURN_BEFORE)
                log.append(item.id, answered[item.id])
                yield 1
        open_turns = [items[place] for place in wave if not after_unanswered(items[place], by_id, answered)]
        turns = [with_history(item, by_id, answered) for item in open_turns]
        done = frozenset(index for index, turn in enumerate(turns) if turn.id in answered)
        for index, answer in request(engine, planned, turns, done):
            check_finite(turns[index], answer)
            log.append(turns[index].id, answer)
            answered[turns[index].id] = answer
            yield 1


def after_unanswered(item: Item, by_id: Mapping[str, Item], answered: Mapping[str, Any]) -> bool:
    """Return True if a turn before an item was not answered, so that it cannot be asked."""
    return any(isinstance(answered.get(before.id), Unanswered) for before in turns_before(item, by_id))


def request(
    engine: Engine, planned: PlannedTask, items: Sequence[Item], done: frozenset[int]
) -> Iterator[tuple[int, Answer]]:
    """Yield the engine's answers to a task's items, by index."""
    requests: Any = [item.request for item in items]
    match planned.task.kind:
        case "choices":
            return engine.choices(requests, done=done)
        case "passages":
            return engine.passages(requests, done=done)
        case "prompts":
            return engine.generate(requests, planned.task.sampling, done=done)


def check_finite(item: Item, answer: Answer) -> None:
    """Raise EngineError for a log-likelihood that is not finite, so that it cannot pass for an answer."""
    match answer:
        case ChoiceScores(logprobs=logprobs):
            values = logprobs
        case PassageScore(logprob=logprob, kl=kl):
            values = (logprob, *(kl or ()))
        case ReadChoice() | Completion() | Unanswered():
            return
    broken = next((value for value in values if not math.isfinite(value)), None)
    if broken is not None:
        raise EngineError(
            f"item {item.id!r}: the model gave a log-likelihood of {broken}; its weights or activations are "
            f"broken (NaN or overflow). Check the checkpoint, or use dtype float32"
        )


def reordered(items: Sequence[Item], number: int) -> Sequence[Item]:
    """Return the items in the order in which a repeat asks them; number 0 is the arm itself and keeps theirs."""
    if number == 0:
        return items
    return random.Random(f"noise floor, repeat {number}").sample(items, len(items))
