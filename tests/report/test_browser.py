"""The page in a real browser: it runs under its own policy, asks nothing of a network, and does what it offers.

Set CRUSHTEST_SCREENSHOTS to a folder to keep what the browser saw.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from crushtest.pipeline.run import recompare
from crushtest.records import DENSE
from crushtest.report import write_report
from crushtest.report.study_view import read_study
from crushtest.study.folder import StudyFolder
from support import synthetic_study
from support.visited_page import Seen

pytestmark = pytest.mark.browser
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")


@pytest.fixture
def path(study: StudyFolder) -> Path:
    return study.report if study.report.exists() else write_report(study)


@pytest.fixture
def hostile_path(hostile: StudyFolder) -> Path:
    return hostile.report if hostile.report.exists() else write_report(hostile)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (380, "light"), (380, "dark")])
def test_it_loads_draws_and_fits_without_a_word_or_a_request(
    visit: Callable[..., Seen], path: Path, width: int, scheme: str
) -> None:
    seen = visit(path, width=width, scheme=scheme)
    seen.draw_all()
    assert seen.page.locator(".canvas svg").count() == seen.page.locator(".canvas").count() > 10
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width
    assert seen.complaints == []
    if folder := os.environ.get("CRUSHTEST_SCREENSHOTS"):
        for name, whole in (("first", False), ("report", True)):
            seen.page.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=whole)


@pytest.fixture(scope="module")
def chained(study: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyFolder, str, str]:
    """The study with its second arm compared with its first as well; their names."""
    folder = StudyFolder(shutil.copytree(study.root, tmp_path_factory.mktemp("chained") / "s"))
    with synthetic_study.stand_ins():
        between, last = (arm.name for arm in read_study(study).others[:2])
        recompare(folder, against=between, arm=last)
    return folder, between, last


def test_a_reader_chooses_by_keyboard_what_to_compare_with(
    visit: Callable[..., Seen], chained: tuple[StudyFolder, str, str]
) -> None:
    folder, between, last = chained
    seen = visit(folder.report)
    choice, tables = seen.page.get_by_label("Compare with"), seen.page.locator(".overview-of:visible")
    assert choice.locator("option").all_inner_texts() == [DENSE, between]
    assert tables.locator("tbody tr").count() == len(read_study(folder).others)
    choice.focus()
    seen.page.keyboard.press("ArrowDown")
    assert tables.count() == 1
    assert f"Compared with {between}" in tables.locator("h3").inner_text()
    assert tables.locator("tbody tr .arm").all_inner_texts() == [last]
    seen.page.keyboard.press("ArrowUp")
    assert "Compared with dense" in tables.locator("h3").inner_text()
    assert seen.complaints == []


def test_all_effects_of_a_chain_are_seen_without_scrolling(
    visit: Callable[..., Seen], chained: tuple[StudyFolder, str, str]
) -> None:
    seen = visit(chained[0].report)
    chain = seen.page.locator(".scroll:has(> .chain)")
    assert chain.locator("thead th").count() == 4
    assert chain.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_dark_and_light_differ_in_the_plots_too(visit: Callable[..., Seen], path: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        seen = visit(path, scheme=scheme)
        seen.draw_all()
        text = seen.page.locator(".canvas svg text").first
        colours.append((text.evaluate("e => getComputedStyle(e).fill"), seen.page.locator("body").evaluate(
            "e => getComputedStyle(e).backgroundColor")))  # fmt: skip
    assert colours[0][0] != colours[1][0]
    assert colours[0][1] != colours[1][1]


def test_hostile_texts_stay_texts(visit: Callable[..., Seen], hostile_path: Path) -> None:
    seen = visit(hostile_path)
    seen.draw_all()
    page = seen.page
    page.locator("#item-unblur").check()
    for word in ("onerror", "javascript:", "</script>", "<!--", "{{"):
        page.locator("#item-search").fill(word)
        assert page.locator("#item-table .id").count() > 0, word
        for button in page.locator("#item-table .id[aria-expanded=false]").all()[:3]:
            button.click()
    page.locator(".c").first.hover()
    page.locator(".canvas svg path").first.hover(force=True)
    assert "crushtest report" in page.title()
    assert page.locator("img, iframe, main a[href^='javascript']").count() == 0
    assert page.locator("main script:not([type='application/json'])").count() == 0
    assert seen.complaints == []


def test_items_can_be_searched_filtered_and_sorted(visit: Callable[..., Seen], path: Path, study: StudyFolder) -> None:
    page = visit(path).page
    count = page.locator("#item-count")
    page.locator("#item-task").select_option("probe_facts")
    page.locator("#item-arm").select_option("magnitude:sparsity=0.5")
    flips = read_study(study).contrast("magnitude:sparsity=0.5", "probe_facts", "accuracy")
    assert flips is not None
    assert count.inner_text().startswith(f"{flips.flips.total} of ")
    page.locator("#item-outcome").select_option("− accuracy")
    assert count.inner_text().startswith(f"{flips.flips.down} of ")
    page.locator("#item-table .sort[data-sort=size]").click()
    sizes = [float(text.split()[0]) for text in page.locator("#item-table tbody td[data-label=Size]").all_inner_texts()]
    assert sizes == sorted(sizes, reverse=True)
    page.locator("#item-table .sort[data-sort=size]").click()
    sizes = [float(text.split()[0]) for text in page.locator("#item-table tbody td[data-label=Size]").all_inner_texts()]
    assert sizes == sorted(sizes)
    page.locator("#item-search").fill("no item says this")
    assert count.inner_text().startswith("0 of ")


def test_a_link_with_filters_opens_the_same_list(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    page.locator("#item-task").select_option("probe_prompts")
    page.locator("#item-search").fill("neighbour opened")
    fragment = "#" + page.url.partition("#")[2]
    again = visit(path, fragment=fragment).page
    assert again.locator("#item-task").input_value() == "probe_prompts"
    assert again.locator("#item-search").input_value() == "neighbour opened"
    assert again.locator("#item-count").inner_text() == page.locator("#item-count").inner_text()
    stale = visit(path, fragment="#items?task=gone&variant=nobody").page
    assert stale.locator("#item-count").inner_text().endswith("changed answers")


def test_words_that_differ_between_two_answers_are_marked(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    page.locator("#item-task").select_option("probe_facts")
    row = page.locator("#item-table tbody tr").first
    for answer in row.locator(".answer").all():
        assert answer.locator("mark").all_inner_texts() == [answer.inner_text()]


def test_the_matrix_ranks_filters_and_opens_cards(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    rows = page.locator("#overview-table tbody tr")
    assert rows.first.bounding_box()["y"] < 500
    page.locator("#overview-order").select_option("size")
    sizes = [float(row.get_attribute("data-size")) for row in rows.all()]
    assert sizes == sorted(sizes)
    page.locator("#overview-method").select_option("wanda")
    assert page.locator("#overview-table tbody tr:visible").count() == 2
    assert page.locator(".verdict:visible").count() == 2
    link = page.locator("#overview-table tbody tr:visible th a").first
    card = page.locator(link.get_attribute("href"))
    assert card.get_attribute("open") is None
    link.click()
    sync_api.expect(card.locator(".what")).to_be_in_viewport()


def test_no_sentence_stands_twice_on_the_way_to_the_details(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    text = page.locator("#verdict").inner_text()
    sentences = [part.strip() for line in text.splitlines() for part in re.split(r"(?<=[.]) ", line)]
    long = [part for part in sentences if part.endswith(".") and len(part.split()) > 5]
    assert long
    assert sorted(part for part in long if long.count(part) > 1) == []


# Nothing is drawn in advance until `idle()` says so.
NEVER_IDLE = """const waiting = []; let open = false;
window.requestIdleCallback = (callback) => open ? setTimeout(callback) : waiting.push(callback);
window.idle = () => { open = true; waiting.forEach((callback) => callback()); };"""


def test_a_note_is_reached_by_keyboard_before_figures_are_drawn(visit: Callable[..., Seen], path: Path) -> None:
    seen = visit(path, script=NEVER_IDLE)
    page = seen.page
    mark = page.locator("#dimensions .marks a").first
    mark.focus()
    page.keyboard.press("Enter")
    page.evaluate("idle()")
    seen.draw_all()
    sync_api.expect(page.locator(mark.get_attribute("href"))).to_be_in_viewport()
    assert page.locator("[title]").count() <= 1


OVERLAPS = """() => [...document.querySelectorAll('.canvas svg')].flatMap((svg) => {
  const upright = (e) => !(e.getAttribute('transform') || '').includes('rotate');
  const boxes = [...svg.querySelectorAll('.mark-text text')].filter((e) => e.textContent.trim() && upright(e))
    .map((e) => [e.textContent, e.getBoundingClientRect()]);
  return boxes.flatMap(([text, a], place) => boxes.slice(place + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top + 1 < b.bottom && b.top + 1 < a.bottom)
    .map(([other]) => `${svg.closest('figure').id}: ${text} | ${other}`));
})"""


@pytest.mark.parametrize("width", [1440, 380])
def test_no_two_labels_of_a_figure_overlap(visit: Callable[..., Seen], path: Path, width: int) -> None:
    seen = visit(path, width=width)
    seen.draw_all()
    assert seen.page.evaluate(OVERLAPS) == []


def test_an_opened_item_shows_options_scores_and_both_answers(
    visit: Callable[..., Seen], path: Path, study: StudyFolder
) -> None:
    page = visit(path).page
    page.locator("#item-task").select_option("probe_qa")
    page.locator("#item-table .id").first.click()
    detail = page.locator("#item-table .detail").first
    item = page.locator("#item-table .id").first.inner_text()
    dense = study.answers(DENSE, "probe_qa", "choices").read()[item]
    shown = detail.locator(".options tbody td:nth-child(2)").all_inner_texts()
    assert shown == [f"{value:.3f}".replace("-", "−") for value in dense.logprobs]
    assert "dense's choice" in detail.inner_text()
    assert "variant's choice" in detail.inner_text()


def test_harmful_text_is_blurred_until_asked_for(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    page.locator("#item-task").select_option("probe_prompts")
    page.locator("#item-outcome").select_option("+ profanity")
    row = page.locator("#item-table tbody tr").first
    answer = row.locator(".answer").last
    assert "blur" in answer.evaluate("e => getComputedStyle(e).filter")
    assert answer.get_attribute("aria-hidden") == "true"
    row.locator(".show").last.click()
    answer = page.locator("#item-table tbody tr").first.locator(".answer").last
    assert answer.evaluate("e => getComputedStyle(e).filter") == "none"
    assert "idiots" in answer.inner_text()


def test_a_permanent_link_opens_its_item(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    page.locator("#item-task").select_option("probe_qa")
    page.locator("#item-table .sort[data-sort=item]").click()
    button = page.locator("#item-table .id").nth(7)
    item = button.inner_text()
    button.click()
    link = page.locator("#item-table .detail a").first.get_attribute("href")
    assert link is not None
    assert quote(item, safe="") in link
    again = visit(path, fragment=link).page
    assert again.locator("#item-table .id[aria-expanded=true]").inner_text() == item
    assert again.locator("#item-table .detail").is_visible()
    gone = visit(path, fragment="#item/probe_qa/nothing/nobody").page
    assert "not among those on this page" in gone.locator("#item-count").inner_text()


def test_the_overview_sorts_by_number_with_the_unmeasured_last(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    header = page.locator("#overview-table th", has=page.locator(".sort", has_text="Profanity"))
    cells = page.locator("#overview-table tbody td:nth-child(5)")
    for direction, descending in (("descending", True), ("ascending", False)):
        header.locator(".sort").click()
        assert header.get_attribute("aria-sort") == direction
        values = [cell.get_attribute("data-v") for cell in cells.all()]
        numbers = [float(value) for value in values if value is not None]
        assert numbers == sorted(numbers, reverse=descending)
        assert values[-1] is None


def test_a_cell_of_the_overview_leads_to_its_detail(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    detail = page.locator("#task-3")
    assert detail.bounding_box()["y"] > page.viewport_size["height"]
    page.locator("#overview-table tbody a[href='#task-3']").first.click()
    sync_api.expect(detail).to_be_in_viewport()
    assert page.url.endswith("#task-3")


def test_one_table_of_groups_is_shown_at_a_time(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    page.locator("#group-measure").select_option("probe_prompts · profanity")
    page.locator("#group-attribute").select_option("religion")
    visible = page.locator(".group-table:visible")
    assert visible.count() == 1
    assert "Profanity by religion" in visible.locator("h3").inner_text()
    assert visible.locator("tbody tr").count() == 5


def test_everything_can_be_reached_with_the_keyboard(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#item-table .id").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#item-table .detail").count() == 1
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"


def test_without_javascript_the_numbers_are_still_there(visit: Callable[..., Seen], path: Path) -> None:
    page = visit(path, java_script_enabled=False).page
    assert page.locator("#overview-table tbody tr").count() == 4
    assert page.locator(".group-table").count() > 10
    assert page.locator(".group-table").first.is_visible()
    assert "need JavaScript" in page.locator("#items").inner_text()


def test_a_printed_page_has_its_plots_and_no_controls(visit: Callable[..., Seen], path: Path) -> None:
    seen = visit(path)
    seen.draw_all()
    seen.page.emulate_media(media="print")
    assert not seen.page.locator(".top").is_visible()
    assert not seen.page.locator("#item-controls").is_visible()
    assert len(seen.page.pdf()) > 50_000


# Every width, scheme and state of the details is in one of the first three; the slow lane has all.
AXE = [(1440, "light", True), (380, "dark", True), (380, "light", False)]
AXE_TOO = [
    (1440, "light", False),
    (1440, "dark", True),
    (1440, "dark", False),
    (380, "light", True),
    (380, "dark", False),
]


@pytest.mark.parametrize(
    ("width", "scheme", "opened"), [*AXE, *(pytest.param(*state, marks=pytest.mark.slow) for state in AXE_TOO)]
)
def test_axe_finds_nothing(visit: Callable[..., Seen], path: Path, width: int, scheme: str, opened: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed (extra `dev`)")
    source = next(Path(axe.__file__).parent.rglob("axe*.js")).read_text(encoding="utf-8")
    seen = visit(path, width=width, scheme=scheme, bypass_csp=True)
    seen.draw_all()
    if opened:
        seen.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        seen.page.locator("#item-task").select_option("probe_qa")
        seen.page.locator("#item-table .id").first.click()
    seen.page.evaluate(source)
    found = seen.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [(entry["impact"], entry["id"], entry["nodes"][0]["html"]) for entry in found] == []


def soon(seen: Seen, condition: str) -> bool:
    """Say whether a condition comes to hold. The page's policy forbids playwright's waiting, which evaluates text."""
    for _ in range(6_000):  # five minutes
        if seen.page.evaluate(condition):
            return True
        seen.page.wait_for_timeout(50)
    return False


def test_a_figure_wider_than_the_page_scrolls_by_keyboard(visit: Callable[..., Seen], path: Path) -> None:
    seen = visit(path, width=380)
    seen.draw_all()
    wide = "[...document.querySelectorAll('.canvas')].filter((e) => e.scrollWidth > e.clientWidth)"
    assert soon(seen, f"{wide}.length > 0 && {wide}.every((e) => e.tabIndex === 0 && e.ariaLabel)")
    seen.page.evaluate(f"{wide}[0].focus()")
    seen.page.keyboard.press("ArrowRight")
    assert soon(seen, f"{wide}[0].scrollLeft > 0")
    seen.page.set_viewport_size({"width": 1440, "height": 900})
    assert soon(seen, "[...document.querySelectorAll('.canvas')].every((e) => e.tabIndex === -1)")
