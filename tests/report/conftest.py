"""What the report's tests share: a plain and a hostile study folder, made once, and a browser to open pages in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crushtest.study.folder import StudyFolder
from support import synthetic_study
from support.visited_page import Seen

UNFINISHED = (("wanda:pattern=2:4", "probe_prompts"),)


@pytest.fixture(autouse=True)
def stand_ins() -> Iterator[list[str]]:
    """The stand-in tasks, registered while a test of the report runs; yields their names."""
    with synthetic_study.stand_ins() as names:
        yield names


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of five arms and five tasks, one pair of them not measured."""
    with synthetic_study.stand_ins() as names:
        return synthetic_study.build(tmp_path_factory.mktemp("plain") / "study", names, unfinished=UNFINISHED)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The same with markup, scripts and control characters in every text that comes from outside."""
    root = tmp_path_factory.mktemp("hostile") / "study"
    with synthetic_study.stand_ins() as names:
        return synthetic_study.build(root, names, hostile=True, size=48, replicates=50)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium; the test skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Seen]]:
    """Opens a file (with a fragment) in a page of a width and colour scheme, after a script of its own."""
    contexts = []

    def open_page(
        path: Path, *, width: int = 1440, scheme: str = "light", fragment: str = "", script: str = "", **more: Any
    ) -> Seen:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        contexts.append(context)
        seen = Seen(context.new_page(), path)
        seen.page.add_init_script(script)
        seen.page.goto(seen.address + fragment)
        return seen

    yield open_page
    for context in contexts:
        context.close()
