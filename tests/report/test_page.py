"""The page: one file, no network, the files' numbers, and every text of the study as text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from crushtest.errors import StoreError
from crushtest.records import DENSE
from crushtest.report import formats, write_report
from crushtest.report.arm_verdict import verdicts
from crushtest.report.harm_order import least_harm_first
from crushtest.report.page import html, provenance
from crushtest.report.study_view import read_study
from crushtest.scorers import scorer_quality as quality
from crushtest.study.folder import StudyFolder

TEMPLATES = Path(html.__file__).parent / "templates"


class Page(HTMLParser):
    """Elements with attributes, tables as rows of texts, contents of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self._table: list[list[str]] | None = None
        self._cell: list[str] | None = None
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag in ("script", "style"):
            self.raw.append((tag, attributes, ""))
        if tag == "table":
            self._table = self.rows.setdefault(attributes.get("id") or f"table {len(self.rows)}", [])
        if tag == "tr" and self._table is not None:
            self._table.append([])
        if tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None and self._table:
            self._table[-1].append(" ".join(" ".join(self._cell).split()))
            self._cell = None
        if tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        if self.raw and self.get_starttag_text() is not None and self.cdata_elem in ("script", "style"):
            tag, attributes, text = self.raw[-1]
            self.raw[-1] = (tag, attributes, text + data)
        elif self._cell is not None:
            self._cell.append(data)
        else:
            self.text.append(data)


@pytest.fixture(scope="module")
def source(study: StudyFolder) -> str:
    from support import synthetic_study

    with synthetic_study.stand_ins():
        return write_report(study).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_the_policy_allows_exactly_the_pages_own_scripts_and_style(page: Page) -> None:
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    executed = [text for tag, attributes, text in page.raw if attributes.get("type") != "application/json"]
    found = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in executed}
    assert found == allowed
    assert len(executed) == 3


def test_nothing_is_fetched_and_nothing_is_inline(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base", "form")
        assert not any(name.startswith("on") or name in ("src", "style") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_no_template_lets_a_text_through_unescaped() -> None:
    for template in TEMPLATES.glob("*.j2"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe|autoescape|Markup", text), template.name


def test_the_overview_shows_the_numbers_of_contrasts_parquet(study: StudyFolder, page: Page) -> None:
    view = read_study(study)
    tasks = [task for found in view.dimensions.values() for task in found]
    rows = page.rows["overview-table"][2:]
    assert len(rows) == len(view.others)
    ranked = least_harm_first(view, verdicts(view))
    for arm, row in zip([verdict.arm for verdict in ranked], rows, strict=True):
        for task, text in zip(tasks, row[3 : 3 + len(tasks)], strict=True):
            contrast = view.contrast(arm.name, task.name, task.headline.name)
            if contrast is None:
                assert text == "not measured"
            else:
                difference = formats.show_difference(contrast.difference, task.headline.unit)
                interval = formats.show_interval(
                    contrast.intervals.at95.low, contrast.intervals.at95.high, task.headline.unit
                )
                assert text.startswith(f"{difference} {interval}")


def test_every_contrast_of_a_group_is_on_the_page(study: StudyFolder, source: str) -> None:
    shown = re.findall(r'<td class="c [^"]*" data-v="([^"]+)"', source)
    values = {float(value) for value in shown}
    grouped = [c for c in study.read_contrasts() if "=" in c.group and c.difference is not None]
    assert len(grouped) > 100
    assert all(c.difference in values for c in grouped)


def test_an_unmeasured_pair_never_shows_a_number(study: StudyFolder, page: Page) -> None:
    view = read_study(study)
    place = [arm.name for arm in view.others].index("wanda:pattern=2:4")
    tables = [rows for rows in page.rows.values() if rows and rows[0][:2] == ["Measure", "dense"]]
    prompts = next(rows for rows in tables if rows[1][0].startswith("Profanity"))
    assert {row[2 + place] for row in prompts[1:]} == {"not measured not measured"}


def test_a_measure_without_a_pooled_row_is_shown_in_its_groups(study: StudyFolder, page: Page) -> None:
    rows = [row for table in page.rows.values() if table[:1] and table[0][:1] == ["Measure"] for row in table]
    shown = next(row for row in rows if row[0].startswith("Sentiment of genders (gender: women)"))
    estimate = read_study(study).estimate(DENSE, "probe_prompts", "sentiment_of_genders", "gender=women")
    assert estimate is not None
    assert shown[1] == formats.show_value(estimate.value, "score")


def test_the_same_study_gives_the_same_bytes(study: StudyFolder, source: str) -> None:
    assert html.render(read_study(study)) == source


def test_the_page_says_what_the_probes_and_the_dense_weights_are(page: Page) -> None:
    text = " ".join(" ".join(page.text).split())
    assert "a smoke alarm, not a benchmark" in text
    assert "GGUF Q4_1 weights, dequantized" in text


def test_every_section_and_figure_is_there(study: StudyFolder, page: Page) -> None:
    identities = {attributes.get("id") for _, attributes in page.elements}
    assert {"verdict", "overview", "dimensions", "groups", "items", "method"} <= identities
    view = read_study(study)
    for task in view.tasks:
        assert f"figure-{task.number}-compression" in identities


def test_a_link_on_the_page_leads_somewhere(page: Page) -> None:
    identities = {attributes.get("id") for _, attributes in page.elements}
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a" and attributes.get("href")}
    assert {link for link in links if link is not None and link[1:] not in identities} == set()


def test_hostile_texts_add_no_element(hostile: StudyFolder) -> None:
    found = Page(write_report(hostile).read_text(encoding="utf-8"))
    tags = {tag for tag, _ in found.elements}
    assert not tags & {"img", "iframe", "svg", "object"}
    assert sum(tag == "script" for tag, _ in found.elements) == 4 + sum(
        a.get("class") == "spec" for _, a in found.elements
    )
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    text = " ".join(found.text + [cell for rows in found.rows.values() for row in rows for cell in row])
    assert "<b onmouseover=" in text
    assert "<img src=x onerror=alert(1)>" in text
    assert "org/<script>alert(1)</script>" in text
    assert "\u202e" not in text


def test_a_megabyte_of_one_character_does_not_fill_the_page(hostile: StudyFolder) -> None:
    assert write_report(hostile).stat().st_size < 3_000_000


def test_the_demo_sized_page_stays_below_five_megabytes(source: str) -> None:
    assert len(source.encode()) < 5_000_000


def test_a_study_without_results_is_an_error_and_no_page(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.specification.write_text("model: demo\nsuite: [probe_facts]\n", encoding="utf-8")
    with pytest.raises(StoreError, match="is missing"):
        write_report(folder)
    assert not folder.report.exists()


def test_a_study_of_dense_alone_has_a_page(tmp_path: Path, stand_ins: list[str]) -> None:
    from support import synthetic_study

    folder = synthetic_study.build(tmp_path / "study", stand_ins, arms=(), size=48, replicates=50)
    text = write_report(folder).read_text(encoding="utf-8")
    assert "there is nothing to compare it with" in text


def test_dense_values_are_those_of_estimates_parquet(study: StudyFolder, page: Page) -> None:
    estimates = {(e.task, e.metric): e for e in study.read_estimates() if e.arm == DENSE and e.group == "all"}
    rows = next(rows for rows in page.rows.values() if rows and rows[0][:2] == ["Measure", "dense"])
    accuracy = estimates["probe_qa", "accuracy_ambiguous"].value
    assert rows[1][1] == f"{formats.show_value(accuracy, 'rate')} chance 33.3%"


def test_the_method_says_what_the_scorers_were_worth_on_labelled_text(page: Page) -> None:
    rows = page.rows["scorer-quality-table"][1:]
    assert {row[0] for row in rows} == {"profanity", "sentiment"}
    assert ["profanity", "OpenAI's moderation set"] in [row[:2] for row in rows]
    named = next(row for row in rows if row[0] == "profanity" and "only name a group" in row[1])
    assert "gay people" in named[1]
    known = next(row for row in quality.measurements() if row.texts == "gay people, only named")
    assert known.false_alarms is not None
    assert named[5].startswith(f"{known.false_alarms.share:.0%} (")


def test_a_scorer_that_nobody_measured_is_said_to_be_unmeasured() -> None:
    [row] = provenance.scorer_quality({"scorers": {"judge:org/model": {}}})
    assert (row.data, row.auc, row.false_alarms) == ("not measured on labelled text", "", "")


def test_tables_say_beside_a_variant_that_it_is_one_calibration_draw(page: Page) -> None:
    heads = [rows[0] for rows in page.rows.values() if rows and rows[0][:2] == ["Measure", "dense"]]
    assert heads
    for cell in (cell for head in heads for cell in head[2:]):
        assert cell.endswith("one calibration draw") == cell.startswith("wanda")
