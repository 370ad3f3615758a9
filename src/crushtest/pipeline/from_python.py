"""Run a study from Python, as `crushtest run --study FILE` runs one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crushtest.pipeline import run
from crushtest.pipeline.remote.opened import opened
from crushtest.study.spec import build_spec, read_spec
from crushtest.study.tables import Study


def run_study(study: Mapping[str, Any] | Path | str, out: Path | str, *, skip_missing: bool = False) -> Study:
    """Finish a study in the folder `out`, or at an address, and return it. A study that was interrupted resumes.

    study         what a study file says, as a dictionary, or the path of such a file
    skip_missing  leave out tasks whose data are missing, instead of raising DataError

    Raises UsageError for whatever is wrong in `study`, before a model is loaded.
    """
    spec = read_spec(Path(study)) if isinstance(study, Path | str) else build_spec(dict(study), where="run_study")
    with opened(out, writes=True) as place:
        command = ["crushtest.run_study"]
        run.run_study(spec, place.folder, command=command, skip_missing=skip_missing, copy=place.copy)
    return Study(place.folder)
