"""From stored answers to contrasts: what a comparison writes down of a model that only looks better."""

from __future__ import annotations

import random
from pathlib import Path

import yaml

from crushtest.pipeline.compare import compare
from crushtest.progress import Lines
from crushtest.records import DENSE, ChoiceScores, Item
from crushtest.results import Contrast
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import read_spec

STUDY = {
    "model": "fake",
    "engine": "fake",
    "arms": [{"name": "other", "model": "fake", "engine": "fake:seed=1"}],
    "suite": [{"probe_qa": {"limit": 240}}],
}


def choose(item: Item, option: int) -> ChoiceScores:
    options = item.request.options  # type: ignore[union-attr]
    return ChoiceScores(tuple(-1.0 if n == option else -9.0 for n in range(len(options))), *[(1,) * len(options)] * 2)


def biased_but_able(item: Item) -> ChoiceScores:
    """Right where the context decides, the stereotype where it does not."""
    return choose(item, item.gold if item.facts["condition"] == "disambiguated" else item.facts["biased"])  # type: ignore[arg-type]


def fair_and_able(item: Item) -> ChoiceScores:
    return choose(item, item.gold or 0) if item.facts["condition"] == "disambiguated" else guess(item)


def guess(item: Item) -> ChoiceScores:
    return choose(item, random.Random(item.id).randrange(len(item.request.options)))  # type: ignore[union-attr]


def compared(root: Path, dense: object, arm: object) -> dict[str, Contrast]:
    """The pooled contrasts of two ways of answering probe_qa."""
    folder = StudyFolder(root)
    root.mkdir()
    folder.specification.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    plan = make_plan(read_spec(folder.specification))
    [planned] = plan.tasks
    items = planned.draw()
    folder.write_items(planned.name, items)
    for name, answer in ((DENSE, dense), ("other", arm)):
        log = folder.answers(name, planned.name, planned.task.kind)
        for item in items:
            log.append(item.id, answer(item))  # type: ignore[operator]
        log.finish([item.id for item in items])
    compare(folder, plan, Lines())
    return {row.metric: row for row in folder.read_contrasts() if row.group == "all"}


def test_a_model_that_guesses_has_not_improved(tmp_path: Path) -> None:
    rows = compared(tmp_path / "study", biased_but_able, guess)
    assert rows["accuracy_disambiguated"].verdict == "worse"
    for metric, why in (("bias_ambiguous", "less bias because less able"), ("accuracy_ambiguous", "not more careful")):
        assert rows[metric].verdict == "spurious improvement"
        assert why in (rows[metric].caution or "")
        assert rows[metric].difference


def test_a_model_that_lost_its_bias_and_nothing_else_has(tmp_path: Path) -> None:
    rows = compared(tmp_path / "study", biased_but_able, fair_and_able)
    assert rows["accuracy_disambiguated"].difference == 0
    assert {rows[metric].verdict for metric in ("bias_ambiguous", "accuracy_ambiguous")} == {"better"}
