"""Labels in a study's folder: blind sheets, weights that add up, and files that are tied to what they are about."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.errors import DataError, StoreError, UnknownName, UsageError
from crushtest.pipeline.label import choose, draw_sheet, read_labels
from crushtest.records import DENSE, Completion
from crushtest.study.chain import problems
from crushtest.study.folder import StudyFolder
from crushtest.study.label_sheet import COLUMNS, FORMULA, SheetRow, inert_cell, read_sheet, sheet_csv
from crushtest.study.labels import Labelling
from crushtest.study.plan import stored_plan
from support import synthetic_study

ARM = "wanda:sparsity=0.5"
TASK = "probe_prompts"


@pytest.fixture(autouse=True)
def stand_ins() -> Iterator[None]:
    with synthetic_study.stand_ins():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    with synthetic_study.stand_ins():
        root = tmp_path_factory.mktemp("labels") / "study"
        return synthetic_study.build(root, [TASK], arms=({"recipe": ARM},), replicates=50)


@pytest.fixture
def folder(made: StudyFolder, tmp_path: Path) -> StudyFolder:
    return StudyFolder(Path(shutil.copytree(made.root, tmp_path / "study")))


def chosen(folder: StudyFolder, **named: str | None) -> Labelling:
    names = {"task": None, "scorer": "profanity", "arm": None} | named
    return choose(folder, stored_plan(folder.specification), **names)


def sheet_rows(labelling: Labelling) -> list[dict[str, str]]:
    text = (labelling.root / "sheet.csv").read_text("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def filled(labelling: Labelling, path: Path, say: Callable[[str], str]) -> Path:
    """A sheet filled by somebody who goes by the text of each answer."""
    rows = [row | {f"label_{side}": say(row[side]) for side in ("first", "second")} for row in sheet_rows(labelling)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def by_word(text: str) -> str:
    return "yes" if "idiots" in text else "no"


def test_a_sheet_names_no_arm_and_shuffles_sides_and_items(folder: StudyFolder) -> None:
    labelling = chosen(folder)
    drawn = draw_sheet(folder, labelling, pairs=60, seed=0)
    for path in (drawn.csv, drawn.page):
        text = path.read_text("utf-8")
        assert ARM not in text
        assert DENSE not in text
    key = labelling.read_key()
    assert min(Counter(key["first"]).values()) > 15
    assert set(key["first"]) == {DENSE, ARM}
    order = [item.id for item in folder.read_items(TASK)]
    places = [order.index(item) for item in key["item"]]
    assert places != sorted(places)


def test_a_sheet_holds_both_answers_to_the_item_of_the_key(folder: StudyFolder) -> None:
    labelling = chosen(folder)
    draw_sheet(folder, labelling, pairs=60, seed=0)
    pairs = {pair.item.id: pair for pair in labelling.pairs}
    for row, key in zip(sheet_rows(labelling), labelling.read_key().iter_rows(named=True), strict=True):
        pair = pairs[key["item"]]
        texts = [pair.dense.text, pair.arm.text] if key["first"] == DENSE else [pair.arm.text, pair.dense.text]
        assert row["pair"] == key["pair"]
        assert [row["first"], row["second"]] == texts


def test_people_read_answers_without_the_thinking_as_the_scorer_does(tmp_path: Path) -> None:
    def aloud(*given: Any) -> Completion:
        answer = write(*given)
        return replace(answer, text=f"<think>idiots, all of them</think>{answer.text}")

    write = synthetic_study._write
    with mock.patch.object(synthetic_study, "_write", aloud):
        folder = synthetic_study.build(tmp_path / "s", [TASK], arms=({"recipe": ARM},), replicates=50)
    labelling = chosen(folder)
    drawn = draw_sheet(folder, labelling, pairs=60, seed=0)
    for path in (drawn.csv, drawn.page):
        assert "all of them" not in path.read_text("utf-8")
    pairs = {pair.item.id: pair for pair in labelling.pairs}
    for row, key in zip(sheet_rows(labelling), labelling.read_key().iter_rows(named=True), strict=True):
        pair = pairs[key["item"]]
        whole = sorted(answer.text.partition("</think>")[2].strip() for answer in (pair.dense, pair.arm))
        assert sorted(row[side].strip() for side in ("first", "second")) == whole


def test_inclusion_weights_of_a_key_add_up_to_all_pairs(folder: StudyFolder) -> None:
    labelling = chosen(folder)
    drawn = draw_sheet(folder, labelling, pairs=60, seed=0)
    key = labelling.read_key()
    assert (1 / key["inclusion"]).sum() == pytest.approx(drawn.of)
    assert drawn.of == sum(None not in pair.scores for pair in labelling.pairs)
    assert key.filter(key["dense"] != key["arm"])["inclusion"].min() == 1


def test_the_same_draw_writes_the_same_files_and_another_is_refused(folder: StudyFolder) -> None:
    labelling = chosen(folder)
    first = draw_sheet(folder, labelling, pairs=60, seed=0)
    content = [path.read_bytes() for path in (first.csv, first.page, first.key)]
    again = draw_sheet(folder, chosen(folder), pairs=60, seed=0)
    assert [path.read_bytes() for path in (again.csv, again.page, again.key)] == content
    with pytest.raises(StoreError, match="another draw"):
        draw_sheet(folder, labelling, pairs=60, seed=1)


def test_labels_read_back_are_of_the_right_arm(folder: StudyFolder, tmp_path: Path) -> None:
    labelling = chosen(folder)
    drawn = draw_sheet(folder, labelling, pairs=60, seed=0)
    assert read_labels(labelling, filled(labelling, tmp_path / "f.csv", by_word)) == (drawn.pairs, 0)
    labels = {row["item"]: row for row in labelling.read_labels().iter_rows(named=True)}
    for pair in labelling.pairs:
        if row := labels.get(pair.item.id):
            assert row["dense"] is ("idiots" in pair.dense.text)
            assert row["arm"] is ("idiots" in pair.arm.text)


def test_pairs_left_empty_or_unsure_lower_the_inclusion_of_the_rest(folder: StudyFolder, tmp_path: Path) -> None:
    labelling = chosen(folder)
    draw_sheet(folder, labelling, pairs=60, seed=0)
    lines = ["pair,label_first,label_second"]
    names = labelling.read_key()["pair"].to_list()
    lines += [f"{name},{'unsure' if place % 2 else 'no'},no" for place, name in enumerate(names[:40])]
    (tmp_path / "f.csv").write_text("\n".join([*lines, f"{names[40]},,"]))
    assert read_labels(labelling, tmp_path / "f.csv") == (20, 20)
    labels = labelling.read_labels()
    sure = labels.filter(labels["dense"].is_not_null() & labels["arm"].is_not_null())
    assert sure.height == 20
    strata = labelling.read_key().filter(labelling.read_key()["item"].is_in(sure["item"].to_list()))
    covered = sum({tuple(row): size for *row, size in strata.select("dense", "arm", "of").iter_rows()}.values())
    assert (1 / sure["inclusion"]).sum() == pytest.approx(covered)


SHEETS = {
    "no column": "pair,label_first\nX,yes",
    "is not in the key": "pair,label_first,label_second\nzzzzzz,yes,no",
    "again": "pair,label_first,label_second\nX,yes,no\nX,yes,no",
    "is no label": "pair,label_first,label_second\nX,yes,maybe",
    "one label of two": "pair,label_first,label_second\nX,yes,",
    "no pair is labelled": "pair,label_first,label_second\nX,,",
    "cannot be read": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("what", SHEETS)
def test_a_sheet_that_is_wrong_is_refused_with_file_and_reason(what: str, tmp_path: Path) -> None:
    path, content = tmp_path / "f.csv", SHEETS[what]
    path.write_bytes(content if isinstance(content, bytes) else content.replace("X", "bcdfgh").encode())
    with pytest.raises((DataError, StoreError), match=what) as error:
        read_sheet(path, {"bcdfgh"})
    assert str(path) in str(error.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_sheets_as_spreadsheets_save_them_are_read(separator: str, tmp_path: Path) -> None:
    lines = [("pair", "prompt", "label_first", "label_second"), ("bcdfgh", '"a\nb"', " Yes", "NO ")]
    text = "\ufeff" + "\r\n".join(separator.join(line) for line in lines)
    (tmp_path / "f.csv").write_bytes(text.encode())
    labels = read_sheet(tmp_path / "f.csv", {"bcdfgh"})["bcdfgh"]
    assert (labels.first, labels.second) == (True, False)


@given(st.text(max_size=30), st.sampled_from(["", " ", "\u00a0", "\n", "\t"]), st.sampled_from(["", *FORMULA]))
def test_no_cell_of_a_sheet_begins_like_a_formula(text: str, blank: str, start: str) -> None:
    cell = inert_cell(blank + start + text)
    assert cell.endswith(blank + start + text)
    assert not cell.strip().startswith(FORMULA)


def test_model_texts_reach_the_csv_without_a_formula() -> None:
    rows = list(csv.reader(io.StringIO(sheet_csv([SheetRow("bcdfgh", "+1", '=HYPERLINK("http://x")', "-2+3")]))))
    assert rows[1][1:4] == ["'+1", '\'=HYPERLINK("http://x")', "'-2+3"]


@given(st.lists(st.text(alphabet="a=+-@;,\t\n\"' ", max_size=12), min_size=3, max_size=3))
def test_no_cell_split_at_commas_begins_like_a_formula(texts: list[str]) -> None:
    cells = list(csv.reader(io.StringIO(sheet_csv([SheetRow("bcdfgh", *texts)]), newline="")))[1]
    assert len(cells) == len(COLUMNS)
    assert not [cell for cell in cells if cell.strip().startswith(FORMULA)]


def test_labels_are_sealed_and_tied_to_answers_and_scores(folder: StudyFolder, tmp_path: Path) -> None:
    labelling = chosen(folder)
    draw_sheet(folder, labelling, pairs=60, seed=0)
    read_labels(labelling, filled(labelling, tmp_path / "f.csv", by_word))
    before = list(problems(folder))
    assert not any("labels" in line for line in before)
    content = labelling.labels.read_bytes()
    labelling.labels.write_bytes(content.replace(b"item", b"itsm", 1))
    assert any(str(labelling.labels) in line for line in problems(folder))
    labelling.labels.write_bytes(content)
    assert labelling.why_stale() == ""
    scores = folder.scores(ARM, "profanity", TASK).final
    scores.write_bytes(folder.scores(DENSE, "profanity", TASK).final.read_bytes())
    assert "after they were labelled" in labelling.why_stale()


def test_what_can_be_labelled_must_be_named_if_there_are_several(folder: StudyFolder) -> None:
    with pytest.raises(UsageError, match="--scorer: profanity, sentiment"):
        chosen(folder, scorer=None)
    with pytest.raises(UnknownName, match="unknown arm"):
        chosen(folder, arm="other")
    with pytest.raises(UnknownName, match="unknown arm"):
        chosen(folder, arm=DENSE)
    assert chosen(folder).arm == ARM
