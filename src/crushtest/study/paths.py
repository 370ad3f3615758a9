"""Paths in a study or suite file: sought beside the file, then in the current folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crushtest.data.corpora import CORPORA

PATH = "path"
"""The option of a task that names a file or folder of the user."""
NOT_PATHS = ("demo", "pydoc", *CORPORA)
"""Words for a model and for calibration texts, whatever lies beside the study file."""


def study_paths(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a study file's content with every relative path that exists beside the file led there.

    These are the models, the calibration source, a suite's file, and the `path` of a task. Whatever is not there is
    left as it is: a hub id, a corpus, a path that starts at the current folder. So is content of a wrong shape.
    """
    changed = dict(content)
    for key in ("model", "suite"):
        changed |= {key: beside(content[key], folder)} if key in content else {}
    if "stop_early" in content:
        changed["stop_early"] = _with_path(content["stop_early"], "policy", folder)
    if "calibration" in content:
        changed["calibration"] = _with_path(content["calibration"], "source", folder)
    if isinstance(suite := content.get("suite"), list):
        changed["suite"] = task_paths(suite, folder)
    if isinstance(arms := content.get("arms"), list):
        changed |= _arm_paths(content, arms, folder)
    return changed


def task_paths(tasks: list[Any], folder: Path) -> list[Any]:
    """Return a list of tasks with every `path` that exists beside their file led there."""
    return [
        {name: _with_path(options, PATH, folder) for name, options in task.items()} if isinstance(task, dict) else task
        for task in tasks
    ]


def beside(value: Any, folder: Path) -> Any:
    """Return the path in a folder that a text names, if it is there; otherwise the value."""
    if not isinstance(value, str) or not value.strip() or value in NOT_PATHS or Path(value).is_absolute():
        return value
    if folder == Path():  # the file is in the current folder: paths stay as they are written
        return value
    try:
        return os.path.join(folder, value) if (folder / value).exists() else value
    except (OSError, ValueError):  # too long for a name, or a zero byte
        return value


def _arm_paths(content: Mapping[str, Any], arms: list[Any], folder: Path) -> dict[str, Any]:
    """Return the arms with their models found, and the noise floor. An arm without a name goes by its model's."""
    found = [_with_own_text(_with_path(arm, "model", folder), folder) for arm in arms]
    names = {
        arm["model"]: now["model"]
        for arm, now in zip(arms, found, strict=True)
        if isinstance(now, dict) and isinstance(now.get("model"), str) and not arm.get("name") and not arm.get("recipe")
    }
    changed: dict[str, Any] = {"arms": [_renamed(arm, "against", names) for arm in found]}
    if "noise_floor" in content:
        changed["noise_floor"] = _renamed(content["noise_floor"], "arms", names)
    return changed


def _with_own_text(arm: Any, folder: Path) -> Any:
    if not isinstance(arm, dict) or "calibration" not in arm:
        return arm
    return {**arm, "calibration": _with_path(arm["calibration"], "source", folder)}


def _renamed(content: Any, key: str, names: Mapping[str, str]) -> Any:
    if not isinstance(content, dict) or key not in content:
        return content
    listed = content[key] if isinstance(content[key], list) else [content[key]]
    return {**content, key: [names.get(name, name) if isinstance(name, str) else name for name in listed]}


def _with_path(content: Any, key: str, folder: Path) -> Any:
    return {**content, key: beside(content[key], folder)} if isinstance(content, dict) and key in content else content
