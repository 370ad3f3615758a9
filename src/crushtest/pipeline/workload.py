"""What a run has to do, in kinds of work with rough costs in tokens, so that the time left can be estimated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from crushtest.compress.prepare import COMPRESSING, LOADING
from crushtest.pipeline.ask import is_answered
from crushtest.progress import Work
from crushtest.records import Choices, Item, Passage
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask

CHARACTERS = 4
"""Of a token. Costs need only be right within a factor of two or so, until one thing of each kind was done."""
PASSES, WEIGHTS = 2.5, 4000
"""What compressing costs: readings of the calibration text by the whole model, for methods that calibrate; and for all,
as many tokens as the model reads in the time that sorting its weights takes."""


def workload(folder: StudyFolder, plan: Plan, items: Mapping[str, Sequence[Item]]) -> list[Work]:
    """Return the work of a plan: the items of every task and arm, and the loading and compressing of open arms.

    Items that were answered before are among them; steps say how many.
    """
    open_arms = [arm for arm in plan.measured if arm.in_process and not is_answered(folder, plan, arm)]
    recipes = [arm.recipe for arm in open_arms if arm.recipe is not None]
    texts = [plan.calibration_of(arm) for arm in open_arms if arm.calibrates]
    compressing = WEIGHTS * len(recipes) + PASSES * sum(text.sequences * text.length for text in texts)
    asked = Counter(planned.name for arm in plan.measured for planned in plan.asked_of(arm))
    tasks = [
        Work(planned.name, len(items[planned.name]) * asked[planned.name], _cost(planned, items[planned.name]))
        for planned in plan.tasks
    ]
    return [
        *tasks,
        Work(LOADING, len(open_arms), counted=False),
        Work(COMPRESSING, 100 * len(recipes), compressing / max(1, 100 * len(recipes)), counted=False),
    ]


def _cost(planned: PlannedTask, items: Sequence[Item]) -> float:
    """Return the mean number of tokens that an item of a task has to be read or written, at least 1."""
    total = sum(_tokens(item, planned) for item in items)
    return max(1.0, total / max(1, len(items)))


def _tokens(item: Item, planned: PlannedTask) -> float:
    request = item.request
    if isinstance(request, Choices):
        return (len(request.context) + sum(map(len, request.options))) / CHARACTERS
    if isinstance(request, Passage):
        return len(request.text) / CHARACTERS
    return len(request.text) / CHARACTERS + planned.task.sampling.max_tokens
