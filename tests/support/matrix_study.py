"""The study of studies/matrix.yaml as a run leaves it: its arms, draws, tasks and items, with made-up answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from crushtest.files.atomic import write_json
from crushtest.pipeline.checked import draw_items
from crushtest.pipeline.run import open_study, recompare
from crushtest.records import DENSE, Answer, Choices, ChoiceScores, Completion, Item, Passage, PassageScore, Score
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import PlannedTask, make_plan
from crushtest.study.spec import read_spec
from paper.plots import ratio_of
from support import synthetic_study

MATRIX = Path(__file__).parents[2] / "studies" / "matrix.yaml"


def build(root: Path) -> StudyFolder:
    """Write the finished study. Raises DataError where the mirror lacks one of its data sets."""
    spec = read_spec(MATRIX)
    plan, folder = make_plan(spec), StudyFolder(root)
    root.mkdir(parents=True, exist_ok=True)
    items, missing = draw_items(folder, plan)
    assert not missing
    open_study(folder, spec, plan, items)
    manifest.start(folder.manifest, command=["crushtest", "run"], seed=plan.seed)
    for planned in plan.tasks:
        for arm in plan.measured:
            if planned in plan.asked_of(arm):
                _measure(folder, arm, planned, items[planned.name])
    for arm in plan.arms:
        _describe(folder, arm)
    recompare(folder)
    return folder


def _measure(folder: StudyFolder, arm: Arm, planned: PlannedTask, items: Sequence[Item]) -> None:
    ids = [item.id for item in items]
    answers = folder.answers(arm.name, planned.name, planned.task.kind, draw=arm.draw)
    for item in items:
        answers.append(item.id, _answer(item, arm))
    answers.close()
    answers.finish(ids)
    for scorer in planned.task.scorers:
        scores = folder.scores(arm.name, scorer, planned.name, draw=arm.draw)
        for item in items:
            scores.append(item.id, Score(round(random.Random(f"{scorer} {arm.title} {item.id}").random(), 3)))
        scores.close()
        scores.finish(ids)


def _answer(item: Item, arm: Arm) -> Answer:
    """Return what dense answers, moved at random by as much as the arm removes."""
    removed = 0.0 if arm.name == DENSE else ratio_of(arm.name) or 0.0
    dense, own = random.Random(f"dense {item.id}"), random.Random(f"{arm.title} {item.id}")
    if isinstance(item.request, Choices):
        sizes = tuple(len(option.encode()) for option in item.request.options)
        logprobs = tuple(-6 + dense.gauss(0, 1) + 2 * removed * own.gauss(0, 1) for _ in sizes)
        return ChoiceScores(logprobs, sizes, sizes)
    if isinstance(item.request, Passage):
        size = len(item.request.text.encode())
        nats = size * (dense.gauss(0.8, 0.1) + removed * own.uniform(0.2, 0.6))
        return PassageScore(-nats, max(1, size // 4), size)
    source = own if own.random() < removed else dense
    words = source.choices(synthetic_study.WORDS, k=24)
    return Completion(" " + " ".join(words), len(words), "length")


def _describe(folder: StudyFolder, arm: Arm) -> None:
    facts = {"model": {"kind": "hub", "dtype": "float32"}, "engine": {"engine": "hf"}}
    manifest.update(folder.manifest, "arms", arm.name, facts)
    if arm.recipe is not None:
        write_json(folder.compression(arm.name), synthetic_study.compression(arm.name, ratio_of(arm.name)))
