"""A table shows by itself what it is and that none of its bytes has changed, and it is never half written."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.errors import StoreError
from crushtest.files.parquet import KEY, Label, TableKind, check_sources, digests, read_table, write_table
from crushtest.files.sealed import is_sealed, is_whole, read_sealed_json, write_sealed_json

KIND = TableKind(
    "marks", pl.Schema({"item": pl.String(), "value": pl.Float64(), "note": pl.String()}), frozenset({"note"})
)
ROWS = [{"item": str(number), "value": number / 7, "note": None} for number in range(20)]
FACTS = {"kind": "marks", "arm": "a"}


def written(folder: Path, rows: list[dict[str, object]] = ROWS, sources: dict[str, str] | None = None) -> Path:
    write_table(folder / "marks.parquet", rows, KIND, Label(FACTS, sources or {}))
    return folder / "marks.parquet"


def refused(path: Path, **given: object) -> str:
    with pytest.raises(StoreError) as error:
        read_table(path, KIND, remedy="write it again", **given)  # type: ignore[arg-type]
    assert str(path) in str(error.value)
    assert "write it again" in str(error.value)
    return str(error.value)


def test_a_table_comes_back_with_what_it_says_of_itself(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, sources={"x": "12"}), KIND, remedy="", facts=FACTS)
    assert table.frame.to_dicts() == ROWS
    assert table.label
    assert dict(table.label.sources) == {"x": "12"}


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_changed_bit_is_seen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = written(tmp_path_factory.mktemp("bits"))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    if is_sealed(bytes(content)):
        refused(path, facts=FACTS)
    else:  # the name of the seal itself was hit: then the table has no label, which its readers ask for
        assert read_table(path, KIND, remedy="").label is None


def test_the_same_rows_and_label_give_the_same_bytes(tmp_path: Path) -> None:
    content = written(tmp_path).read_bytes()
    (tmp_path / "other").mkdir()
    assert written(tmp_path / "other").read_bytes() == content
    assert is_sealed(content)
    assert is_whole(content)
    said = json.loads(pl.read_parquet_metadata(tmp_path / "marks.parquet")[KEY])
    assert set(said) == {"format", "kind", "arm", "made_from", "sha256_with_zeros_here"}


def test_a_table_in_anothers_place_is_refused(tmp_path: Path) -> None:
    said = refused(written(tmp_path), facts={"kind": "marks", "arm": "b"})
    assert "of another arm ('a') than its place says ('b')" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pl.lit(float("nan")).alias("value"), "NaN or infinity"),
        (pl.lit(float("-inf")).alias("value"), "NaN or infinity"),
        (pl.col("value").cast(pl.String), "holds String, not Float64"),
        (pl.lit(None, pl.String).alias("item"), "lacks 20 values"),
        (pl.lit(1).alias("more"), "unknown column 'more'"),
    ],
)
def test_a_table_that_others_wrote_is_checked_as_well(change: pl.Expr, said: str, tmp_path: Path) -> None:
    path = tmp_path / "marks.parquet"
    pl.DataFrame(ROWS, schema=KIND.schema).with_columns(change).write_parquet(path)
    assert said in refused(path)


def test_only_columns_that_are_newer_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "marks.parquet"
    pl.DataFrame(ROWS, schema=KIND.schema).drop("note").write_parquet(path)
    assert read_table(path, KIND, remedy="").frame.columns == ["item", "value", "note"]
    pl.DataFrame(ROWS, schema=KIND.schema).drop("value").write_parquet(path)
    assert "lacks column 'value'" in refused(path)


def test_a_source_that_changed_is_named_with_what_was_made_from_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    table = read_table(written(tmp_path, sources=digests(tmp_path, [source])), KIND, remedy="")
    check_sources(tmp_path, table, remedy="score again")
    for change in (lambda: source.write_text("two"), source.unlink):
        change()
        with pytest.raises(StoreError) as error:
            check_sources(tmp_path, table, remedy="score again")
        assert str(source) in str(error.value)
        assert str(table.path) in str(error.value)


def test_a_full_disk_leaves_the_table_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(tmp_path).read_bytes()

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as error:
        written(tmp_path, ROWS[:3])
    monkeypatch.undo()
    assert error.value.filename == str(tmp_path / "marks.parquet")
    assert (tmp_path / "marks.parquet").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": NaN}', b'{"a": ', b"\xff", b"[" * 100_000])
def test_json_that_is_no_whole_object_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.json cannot be .*; restore it"):
        read_sealed_json(path, remedy="restore it")


def test_json_that_was_edited_is_refused_unless_it_has_no_seal(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed_json(path, {"items": 20})
    assert read_sealed_json(path, remedy="") == {"items": 20}
    path.write_text(path.read_text().replace("20", "21"))
    with pytest.raises(StoreError, match="its digest does not fit"):
        read_sealed_json(path, remedy="restore it")
    path.write_text('{"items": 21}')
    assert read_sealed_json(path, remedy="") == {"items": 21}
