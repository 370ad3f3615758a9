"""An empty page for studies whose page no test reads: writing it is a third of the time of a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.pipeline import run
from crushtest.study.folder import StudyFolder


def leave_out_pages(patch: pytest.MonkeyPatch) -> None:
    """Let every study end with an empty page."""
    patch.setattr(run, "write_page", _write_nothing)


def _write_nothing(folder: StudyFolder) -> Path:
    folder.report.write_text("", encoding="utf-8")
    folder.outdated.unlink(missing_ok=True)
    return folder.report
