"""Which ready-made policies are about what a study measured."""

from __future__ import annotations

from pathlib import Path

from crushtest.gate.policy import parse_policy, policies
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import stored_plan


def fitting_policies(study: Path) -> list[str]:
    """Return the names of the ready-made policies that name tasks, all of which the study has.

    Raises StoreError for a folder without a study.
    """
    measured = {task.name for task in stored_plan(StudyFolder.existing(study).specification).tasks}
    fitting = []
    for name, text in policies().items():
        rules = parse_policy(text, where=f"policy {name!r}").rules
        tasks = {rule.task for rule in rules if rule.task.isidentifier()}
        if tasks and tasks <= measured:
            fitting.append(name)
    return fitting
