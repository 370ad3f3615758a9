"""The page of studies/matrix.yaml, 36 arms and seven tasks wide, with made-up answers to its own items."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crushtest.errors import DataError
from crushtest.report.study_view import read_study
from crushtest.study.folder import StudyFolder
from support import matrix_study
from support.visited_page import Seen

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MOST_BYTES = 15_000_000


@pytest.fixture(autouse=True)
def stand_ins() -> None:
    """The matrix has the real tasks."""


@pytest.fixture(scope="module")
def matrix(data: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    try:
        return matrix_study.build(tmp_path_factory.mktemp("matrix") / "study")
    except DataError as error:
        pytest.skip(str(error))


def test_the_page_of_the_matrix_opens_and_draws_under_15_mb(visit: Callable[..., Seen], matrix: StudyFolder) -> None:
    assert 1_000_000 < matrix.report.stat().st_size < MOST_BYTES
    seen = visit(matrix.report)
    seen.draw_all()
    assert seen.page.locator(".canvas svg").count() == seen.page.locator(".canvas").count() > 20
    assert seen.page.evaluate("document.documentElement.scrollWidth") == seen.page.viewport_size["width"]
    wider = "[...document.querySelectorAll('[id$=-compression] .canvas')].filter((e) => e.scrollWidth > e.clientWidth)"
    assert seen.page.evaluate(f"{wider}.length") == 0
    assert seen.complaints == []


def test_the_first_screen_shows_the_matrix_with_every_arm(visit: Callable[..., Seen], matrix: StudyFolder) -> None:
    page = visit(matrix.report).page
    study = read_study(matrix)
    rows = page.locator("#overview-table tbody tr")
    assert sorted(rows.locator(".arm").all_inner_texts()) == sorted(arm.name for arm in study.others)
    assert len(study.others) == 35
    first = rows.first.bounding_box()
    assert first["y"] + first["height"] < page.viewport_size["height"]
    assert rows.first.locator("td").count() > len(study.tasks)
