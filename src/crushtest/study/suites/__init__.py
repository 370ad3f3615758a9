"""Suites: named lists of tasks with their options, one YAML file each (`tasks`, and what the suite says of itself)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from crushtest.data.catalogue import data_set, read_by
from crushtest.errors import UnknownName, UsageError
from crushtest.files.strict_yaml import read_yaml
from crushtest.printing import quoted
from crushtest.registry import TASKS
from crushtest.study.paths import task_paths

TaskChoices = list[tuple[str, dict[str, Any]]]


WORDS = ("summary", "detects", "misses", "takes")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A named list of tasks, each with its options, and what to expect of it.

    detects   how large a change has to be for the suite to show it
    misses    what it cannot show, however large
    takes     how long it takes, and on what
    """

    name: str
    tasks: TaskChoices
    summary: str = ""
    detects: str = ""
    misses: str = ""
    takes: str = ""


def suites() -> dict[str, Suite]:
    """Return the suites that the package contains, by name."""
    names = sorted(path.name for path in files(__name__).iterdir() if path.name.endswith(".yaml"))
    return {name.removesuffix(".yaml"): _read(name.removesuffix(".yaml"), files(__name__) / name) for name in names}


def resolve(suite: str | list[Any]) -> TaskChoices:
    """Return the tasks of a suite, given by name, YAML file, task names joined by commas, or list of tasks.

    Raises UsageError for a list of the wrong shape or a task given twice, UnknownName for a name that is neither
    a suite nor a task.
    """
    if isinstance(suite, list):
        return _tasks(suite, "suite")
    if suite.endswith((".yaml", ".yml")):
        path = Path(suite)
        if not path.is_file():
            raise UsageError(f"suite {quoted(suite)}: no such file")
        return _read(path.stem, path, path.parent).tasks
    if suite in (carried := suites()):
        return carried[suite].tasks
    names = [name.strip() for name in suite.split(",") if name.strip()]
    if len(names) < 2 and not set(names) & set(TASKS.names()):
        if (task := suite.partition(":")[0]) in TASKS.names():
            written = f"`suite: [{{{task}: {{option: value}}}}]`"
            raise UsageError(f"suite {quoted(suite)}: a task's options go into a study or suite file, as {written}")
        raise UnknownName("suite or task", suite, [*carried, *TASKS.names()])
    return _tasks(names, "suite")


def fetched(suite: Suite) -> list[str]:
    """Return the data sets that a suite reads and `crushtest data fetch` can get, in alphabetical order."""
    return [name for name in _data_sets(suite) if data_set(name).manual_download is None]


def by_hand(suite: Suite) -> list[str]:
    """Return the data sets that a suite reads and that you must get yourself, in alphabetical order."""
    return [name for name in _data_sets(suite) if data_set(name).manual_download is not None]


def _data_sets(suite: Suite) -> list[str]:
    return sorted({name for task, _ in suite.tasks for name in read_by(task)})


def _read(name: str, source: Any, folder: Path | None = None) -> Suite:
    """Read a suite; the paths of one in a folder of the user are sought there first."""
    content = read_yaml(source, f"suite {str(source)!r}")
    if isinstance(content, list):
        content = {"tasks": content}
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list):
        raise UsageError(f"suite {str(source)!r} must hold a list of tasks, or a mapping with `tasks`")
    for key in content:
        if key not in (*WORDS, "tasks"):
            raise UnknownName("key", key, [*WORDS, "tasks"], where=f"suite {str(source)!r}")
    tasks = content["tasks"] if folder is None else task_paths(content["tasks"], folder)
    words = {key: str(content[key]) for key in WORDS if key in content}
    return Suite(name=name, tasks=_tasks(tasks, f"suite {str(source)!r}"), **words)


def _tasks(entries: list[Any], where: str) -> TaskChoices:
    chosen: TaskChoices = []
    for entry in entries:
        if isinstance(entry, str):
            name: Any = entry
            options: Any = {}
        elif isinstance(entry, dict) and len(entry) == 1:
            [(name, options)] = entry.items()
        else:
            raise UsageError(f"{where}: a task is a name or `name: {{option: value}}` (got {quoted(entry)})")
        if not isinstance(options, dict | None):
            raise UsageError(f"{where}: the options of task {quoted(name)} must be a mapping (got {quoted(options)})")
        if name in (earlier for earlier, _ in chosen):
            raise UsageError(f"{where}: task {quoted(name)} is listed twice")
        TASKS.get(str(name), where=where)
        chosen.append((str(name), dict(options or {})))
    if not chosen:
        raise UsageError(f"{where}: no task")
    return chosen
