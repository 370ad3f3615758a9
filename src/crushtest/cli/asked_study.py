"""Which study a command line asks for: a file's or a folder's, with flags above it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.errors import UsageError
from crushtest.printing import quoted

if TYPE_CHECKING:
    from crushtest.study.spec import StudySpec


def asked_study(
    flags: Mapping[str, Any],
    study: Path | None,
    folder: Path,
    stop_early: str | None,
    *,
    finish: bool,
    replicates: int | None,
) -> StudySpec:
    """Return the study of a file, or with the folder's suite, that flags override. Raises UsageError without an arm."""
    from crushtest.study.draws import with_replicates
    from crushtest.study.spec import build_spec, read_spec

    base = read_spec(study).model_dump(exclude_unset=True) if study else _stored_suite(folder)
    content = {**base, **flags}
    if stop_early is not None or finish:
        content["stop_early"] = _stopping(folder, base.get("stop_early"), stop_early, finish=finish)
    if "noise_floor" in flags:  # a flag overrides its own part of what the study file says
        content["noise_floor"] = base.get("noise_floor", {}) | flags["noise_floor"]
    spec = build_spec(content, where="run")
    if replicates is not None:
        spec = with_replicates(spec, replicates)
    if not spec.arms and not _has_arms(folder):
        raise UsageError(
            "run: nothing to compare with the dense model; give a recipe (`-r wanda:sparsity=0.5`), a model (`--arm`) "
            f"or `arms:` in a study file. `crushtest evaluate {spec.model} -o DIR` measures a model alone"
        )
    return spec


def found_arms(texts: Sequence[str]) -> list[dict[str, str]]:
    """Return the arms that `[NAME=]MODEL` texts stand for.

    A model without a name is called by the last part of its path or id, or in full if another arm is called that.
    """
    arms = [named_model(text) for text in texts]
    parts = [name or re.split(r"[/\\]", model.rstrip("/\\"))[-1] for name, model in arms]
    return [
        {"name": part, "model": model}
        if name or (part not in ("", ".", "..") and parts.count(part) == 1)
        else {"model": model}
        for (name, model), part in zip(arms, parts, strict=True)
    ]


def named_model(text: str) -> tuple[str, str]:
    """Split `NAME=MODEL` into its parts; the name is empty where the text is a model alone, such as `runs/lr=1e-4`."""
    name, separator, model = text.partition("=")
    if not separator or "/" in name or "\\" in name or Path(text).exists():
        return "", text
    if not name or not model:
        raise UsageError(f"run: --arm {quoted(text)} is not [NAME=]MODEL")
    return name, model


def default_folder(name: str) -> Path:
    """Return the folder of a study whose user named none."""
    return Path("studies") / (Path(name).name.removesuffix(".gguf") or "study")


def stored_study(folder: Path) -> Path | None:
    """Return the study file in a folder: what `--finish` finishes, with its tasks and no others."""
    from crushtest.study.folder import StudyFolder

    stored = StudyFolder(folder).specification
    return stored if stored.is_file() else None


def _stored_suite(folder: Path) -> dict[str, Any]:
    """Return the tasks of the study in a folder, which another arm is asked as well; empty if it has none."""
    from crushtest.study.spec import read_stored_spec

    stored = stored_study(folder)
    return {} if stored is None else {"suite": read_stored_spec(stored).suite}


def _stopping(folder: Path, given: dict[str, Any] | None, policy: str | None, *, finish: bool) -> dict[str, Any]:
    """Return when arms stop: what the study file says, with the flags over it, or what the folder's study says.

    Raises UsageError if a study is to be finished that has no rule of stopping.
    """
    from crushtest.study.folder import StudyFolder
    from crushtest.study.spec import read_stored_spec

    stored = StudyFolder(folder).specification
    if policy is None and given is None and stored.is_file() and (spec := read_stored_spec(stored).stop_early):
        given = spec.model_dump()
    if policy is None and given is None:
        raise UsageError(f"run: --finish is for a study with stop_early, and {folder} has none")
    return (given or {}) | ({} if policy is None else {"policy": policy}) | ({"finish": True} if finish else {})


def _has_arms(folder: Path) -> bool:
    """Return True if the folder holds a study with an arm to compare with the dense model."""
    from crushtest.study.folder import StudyFolder
    from crushtest.study.spec import read_spec

    study = StudyFolder(folder)
    return study.specification.is_file() and bool(read_spec(study.specification).arms)
