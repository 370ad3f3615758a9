"""What a run has to do, in kinds of work with rough costs in tokens, so that the time left can be estimated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from crushtest.compress.prepare import COMPRESSING, LOADING
from crushtest.pipeline.ask import is_answered
from crushtest.progress import Work
from crushtest.records import DENSE, Choices, Item, Passage, Prompt
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask

CHARACTERS = 4
"""Of a token. Costs need only be right within a factor of two or so, until one thing of each kind was done."""
WRITING = 2.0
"""What writing a token costs, in tokens that are read: from 1.5 to 2.2 for the demo on a CPU."""
PASSES, WEIGHTS = 2.5, 4000
"""What compressing costs: readings of the calibration text by the whole model, for methods that calibrate; and for all,
as many tokens as the model reads in the time that sorting its weights takes."""


def workload(folder: StudyFolder, plan: Plan, items: Mapping[str, Sequence[Item]]) -> list[Work]:
    """Return the work of a plan: the items of every task and arm, and the loading and compressing of open arms.

    Items that were answered before are among them; steps say how many. What an earlier run of the study has noted of
    its costs is known from the start.
    """
    open_arms = [arm for arm in plan.measured if arm.in_process and not is_answered(folder, plan, arm)]
    recipes = [arm.recipe for arm in open_arms if arm.recipe is not None]
    texts = [plan.calibration_of(arm) for arm in open_arms if arm.calibrates]
    compressing = WEIGHTS * len(recipes) + PASSES * sum(text.sequences * text.length for text in texts)
    asked = Counter(planned.name for arm in plan.measured for planned in plan.asked_of(arm))
    noted = manifest.read(folder.manifest)
    tasks = [
        Work(
            planned.name,
            len(items[planned.name]) * asked[planned.name],
            _cost(planned, items[planned.name]),
            took_s=_item_s(noted, planned.name),
        )
        for planned in plan.tasks
    ]
    loading_s, compressing_s = _prepared_s(noted)
    of_one = compressing / max(1, 100 * len(recipes))
    return [
        *tasks,
        Work(LOADING, len(open_arms), counted=False, took_s=loading_s),
        Work(COMPRESSING, 100 * len(recipes), of_one, counted=False, took_s=compressing_s),
    ]


def _item_s(noted: Mapping[str, Any], task: str) -> float | None:
    """Return the seconds that an item of a task took in earlier runs; None if none is noted."""
    costs = [tasks[task] for tasks in noted.get("timing", {}).values() if task in tasks]
    items = sum(cost["items"] for cost in costs)
    return sum(cost["seconds"] for cost in costs) / items if items else None


def _prepared_s(noted: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the seconds that loading took, and on average a hundredth of compressing; None for what is not noted."""
    took = {arm: facts["prepared_in_s"] for arm, facts in noted.get("arms", {}).items() if "prepared_in_s" in facts}
    loading = took.pop(DENSE, None)
    if loading is None or not took:
        return loading, None
    return loading, max(0.0, sum(took.values()) / len(took) - loading) / 100


def _cost(planned: PlannedTask, items: Sequence[Item]) -> float:
    """Return the mean number of tokens that an item of a task has to be read, at least 1; a written one counts more.

    What several contexts begin with is read once.
    """
    requests = [item.request for item in items]
    contexts = {request.context for request in requests if isinstance(request, Choices)}
    options = sum(sum(map(len, request.options)) for request in requests if isinstance(request, Choices))
    passages = sum(len(request.text) for request in requests if isinstance(request, Passage))
    prompts = [request.text for request in requests if isinstance(request, Prompt)]
    read = (distinct_characters(contexts) + options + passages + distinct_characters({*prompts})) / CHARACTERS
    total = read + WRITING * planned.task.sampling.max_tokens * len(prompts)
    return max(1.0, total / max(1, len(items)))


def distinct_characters(texts: Collection[str]) -> int:
    """Return the characters of texts, what several begin with counted once.

    >>> distinct_characters({"The cat", "The car", "A dog"})
    13
    """
    ordered = sorted(texts)
    shared = sum(_common(one, other) for one, other in pairwise(ordered))
    return sum(map(len, ordered)) - shared


def _common(one: str, other: str) -> int:
    """Return how many characters two texts both begin with, in as many comparisons as the length has digits."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
