"""A study whose judge is a server that fails in three of ten calls, in every way that it can."""

from __future__ import annotations

import json
from pathlib import Path

from crushtest.pipeline.run import run_study
from crushtest.records import Score
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import build_spec
from support.served_stub import Stub, serving

ITEMS = 40


def judged_by_failing_server(scorer: str, stub: Stub, folder: Path) -> dict[str, list[Score]]:
    """Arm -> scores, checked: one per item, and a reason wherever there is no value.

    Prompt n is `It was n o'clock`, so the stub can answer by its number.
    """
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"It was {number} o'clock"}) + "\n" for number in range(ITEMS)))
    with serving(stub) as address:
        judge = f"{scorer}:{address},engine=openai:first_wait_s=0.001"
        suite = [{"custom_prompts": {"path": str(prompts), "scorers": [judge]}}]
        arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
        spec = build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": suite}, where="test")
        stub.failing = 3
        run_study(spec, folder / "s")
    study = StudyFolder(folder / "s")
    by_arm = {arm: list(study.scores(arm, judge, "custom_prompts").read().values()) for arm in ("dense", "other")}
    for scores in by_arm.values():
        assert len(scores) == ITEMS
        assert all((score.value is None) == bool(score.reason) for score in scores)
        assert {score.value is None for score in scores} == {True, False}
    assert len(stub.failures) == 8, "not every kind of failure happened"
    return by_arm


def assert_counts(scores: list[Score], least: dict[float | None, int]) -> None:
    """Check how many items have each value at least."""
    values = [score.value for score in scores]
    for value, low in least.items():
        assert low <= values.count(value), 'one of the failures is a reply that says "a"'
