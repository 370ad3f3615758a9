"""The page on which people label pairs: offline, inert, silent before a notice is accepted, and usable by keyboard."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from crushtest.pipeline.label import Drawn, choose, draw_sheet
from crushtest.study.folder import StudyFolder
from crushtest.study.label_sheet import read_sheet
from crushtest.study.labels import Labelling
from crushtest.study.plan import stored_plan
from support import synthetic_study
from support.synthetic_study import HOSTILE_ARM


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Labelling, Drawn]:
    """A sheet of a study whose every text is markup, a script or a control character."""
    root = tmp_path_factory.mktemp("page") / "study"
    with synthetic_study.stand_ins():
        folder = synthetic_study.build(root, ["probe_prompts"], hostile=True, size=48, replicates=50)
        plan = stored_plan(folder.specification)
        labelling = choose(StudyFolder(root), plan, task=None, scorer="profanity", arm=HOSTILE_ARM)
        return labelling, draw_sheet(folder, labelling, pairs=30, seed=0)


def test_no_text_of_a_model_is_markup_on_the_page(drawn: tuple[Labelling, Drawn]) -> None:
    text = drawn[1].page.read_text("utf-8")
    assert text.count("<script>") == text.count("</script>") == 1
    assert "<img" not in text
    assert "default-src &#39;none&#39;" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<b onmouseover" not in text


@pytest.mark.browser
def test_texts_wait_for_the_notice_and_keys_label_and_save(
    drawn: tuple[Labelling, Drawn], browser: Any, tmp_path: Path
) -> None:
    labelling, sheet = drawn
    page = browser.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(sheet.page.as_uri())
    assert not page.locator(".text").first.is_visible()
    page.locator("#accept").focus()
    page.keyboard.press("Enter")
    assert page.locator(".text").first.is_visible()
    assert page.title() != "owned"
    for keys in ("1", "6", "n", "2", "5", "n", "3"):  # yes, unsure; no, no; unsure alone, which is half a pair
        page.keyboard.press(keys)
    assert page.locator("#count").inner_text() == f"2 of {sheet.pairs} labelled"
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    names = labelling.read_key()["pair"].to_list()
    labels = read_sheet(tmp_path / "labels.csv", names)
    assert [(labels[name].first, labels[name].second) for name in names[:2]] == [(True, None), (False, False)]
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []
