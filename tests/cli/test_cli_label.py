"""`crushtest label` as a user types it, from the draw to the page."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from support.in_process import crushtest


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study on the fake engine with one task of prompts."""
    folder = tmp_path_factory.mktemp("label") / "study"
    file = folder.with_suffix(".yaml")
    file.write_text(
        "model: fake\nengine: fake\narms: [{name: other, model: fake, engine: 'fake:seed=1'}]\n"
        "suite: probe_prompts\nlimit: 40\n"
    )
    result = crushtest("run", "--study", str(file), "--out", str(folder))
    assert result.returncode == 0, result.stderr
    return folder


def test_a_sheet_is_drawn_filled_read_and_shown(study: Path, tmp_path: Path) -> None:
    drawn = crushtest("label", str(study), "--pairs", "20")
    assert drawn.returncode == 0, drawn.stderr
    head, sheet, page, key = drawn.stdout.splitlines()
    assert "pairs" in head
    assert [Path(path).name for path in (sheet, page, key)] == ["sheet.csv", "sheet.html", "key.parquet"]
    rows = csv.DictReader(io.StringIO(Path(sheet).read_text("utf-8-sig"), newline=""))
    filled = tmp_path / "filled.csv"
    filled.write_text("pair,label_first,label_second\n" + "".join(f"{row['pair']},no,no\n" for row in rows))
    read = crushtest("label", str(study), "--read", str(filled))
    assert read.returncode == 0, read.stderr
    assert "with people's labels, other" in read.stdout
    assert "Corrected by people" in (study / "report.html").read_text("utf-8")
    assert crushtest("verify", str(study)).returncode == 0


def test_pairs_that_people_were_unsure_of_are_not_counted_as_labelled(study: Path, tmp_path: Path) -> None:
    _, sheet, *_ = crushtest("label", str(study), "--pairs", "20").stdout.splitlines()
    pairs = [row["pair"] for row in csv.DictReader(io.StringIO(Path(sheet).read_text("utf-8-sig"), newline=""))]
    filled = tmp_path / "filled.csv"
    for labels, line in [
        (["unsure,unsure"] * len(pairs), f"0 pairs labelled, {len(pairs)} unsure: "),
        (["no,no", "yes,unsure"], "1 pair labelled, 1 unsure: "),
    ]:
        rows = "".join(f"{pair},{label}\n" for pair, label in zip(pairs, labels, strict=False))
        filled.write_text(f"pair,label_first,label_second\n{rows}")
        assert crushtest("label", str(study), "--read", str(filled)).stdout.startswith(line)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--arm", "nobody"], 2, "unknown arm 'nobody'"),
        (["--task", "probe_facts"], 2, "unknown task"),
        (["--scorer", "profanty"], 2, "did you mean 'profanity'"),
        (["--read", "/no/such.csv"], 1, "/no/such.csv"),
        (["--read", "/no/such.csv", "--seed", "3"], 2, "--seed"),
    ],
)
def test_mistakes_are_one_line(study: Path, arguments: list[str], code: int, said: str) -> None:
    crushtest("label", str(study), "--pairs", "20")
    result = crushtest("label", str(study), *arguments)
    assert result.returncode == code
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
