"""The site: every page has a place in it, links lead somewhere, and its search needs no network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = sorted(DOCS.rglob("*.md"))
CODE = re.compile(r"^```.*?^```|`[^`\n]*`|^    .*?$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def named(nav: Any) -> Iterator[str]:
    """The files of a navigation, from the top down."""
    if isinstance(nav, str):
        yield nav
        return
    for part in nav.values() if isinstance(nav, dict) else nav:
        yield from named(part)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as Python-Markdown makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode() for title in headings)
    return frozenset(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in plain)


def broken(page: Path, root: Path) -> list[str]:
    """The links of a page that lead to no file below `root`, or to no heading."""
    wrong = []
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        inside = target.is_relative_to(root) and target.is_file()
        if not inside or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


def test_every_page_has_one_place_in_the_navigation() -> None:
    listed = list(named(SITE["nav"]))
    hidden = SITE["not_in_nav"].split()
    pages = {path.relative_to(DOCS).as_posix() for path in PAGES}
    assert len(set(listed)) == len(listed)
    assert set(listed) <= pages
    left = {page for page in pages - set(listed) if not any(fnmatch(f"/{page}", pattern) for pattern in hidden)}
    assert not left, "give it a place in mkdocs.yml"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_of_a_page_lead_to_pages_of_the_site(page: Path) -> None:
    assert not broken(page, DOCS)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_links_of_a_page_outside_the_site_lead_to_files(name: str) -> None:
    assert not broken(ROOT / name, ROOT)


def test_a_link_to_no_page_and_one_to_no_heading_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A heading, `coded`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#a-heading-coded) [b](gone.md) `[c](code.md)`\n\n    [d](code.md)\n\n[e](other.md#no)\n"
    )
    assert broken(page, tmp_path) == ["gone.md", "other.md#no"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra `docs`)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_no_other_host(built: Path) -> None:
    pages = list(built.rglob("*.html"))
    assert len(pages) > 80
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"([^\"]*)", page.read_text("utf-8"))
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], page


@pytest.mark.slow
@pytest.mark.browser
def test_the_search_works_from_a_disk_without_a_network(built: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(offline=True).new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
        page.goto((built / "howto" / "own-model.html").as_uri())
        page.locator("label.md-header__button[for=__search], .md-search__input").last.click()
        page.locator(".md-search__input").type("stopping early", delay=20)
        sync_api.expect(page.locator(".md-search-result__meta")).to_contain_text("matching", timeout=300_000)
        found = page.locator(".md-search-result__link").evaluate_all("links => links.map(link => link.href)")
        browser.close()
    assert any("statistics.html" in link for link in found)
    assert not complaints
