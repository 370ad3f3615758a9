"""The built-in probes among a study's tasks, which are no benchmarks."""

from __future__ import annotations

from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name


def is_probe(task: TaskView) -> bool:
    """Return True for tasks whose items the package carries."""
    return task.name.startswith("probe_")


def probe_note(study: StudyView) -> list[str]:
    """Return what probes can show and what they cannot, in one text; nothing if the study has none."""
    probes = [task.name for task in study.tasks if is_probe(task)]
    if not probes:
        return []
    whole = "All tasks here are" if len(probes) == len(study.tasks) else f"{', '.join(map(name, probes))} are"
    return [
        f"{whole} built-in probes: a smoke alarm, not a benchmark. They notice damage. They do not rank models, and "
        "their silence proves nothing."
    ]
