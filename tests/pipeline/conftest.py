"""What tests of the pipeline share."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.pipeline import run
from crushtest.study.folder import StudyFolder


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies end with an empty page, which is a third of the time of a small one."""

    def write_page(folder: StudyFolder) -> Path:
        folder.report.write_text("", encoding="utf-8")
        folder.outdated.unlink(missing_ok=True)
        return folder.report

    monkeypatch.setattr(run, "write_page", write_page)
