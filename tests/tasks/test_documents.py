"""Documents: words and bytes of the published text, pieces of a long text, local files."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crushtest.data.user_files import read_rows
from crushtest.errors import DataError
from crushtest.metrics import Metric
from crushtest.records import Item, Passage, PassageScore
from crushtest.tasks.shared.documents import (
    Document,
    byte_perplexity,
    cut_at,
    document_items,
    original_bits_per_byte,
    word_perplexity,
)


def value(metric: Metric, *answered: tuple[Item, PassageScore]) -> float:
    totals = np.sum([metric.measure(item, answer, None) for item, answer in answered], axis=0)
    return float(metric.formula(*totals))


def test_words_and_bytes_are_those_of_the_published_text() -> None:
    first, second = document_items(
        [Document("a", "Hi, é.", original="Hi , é ."), Document("b", "x y", original=" x y ")]
    )
    answered = ((first, PassageScore(-6.0, 3, 99)), (second, PassageScore(-2.0, 2, 99)))
    # Words as lm-evaluation-harness splits them, empty ones at the ends included: 4 + 4; bytes 9 + 5.
    assert (first.facts, second.facts) == ({"words": 4, "bytes": 9}, {"words": 4, "bytes": 5})
    assert value(word_perplexity(), *answered) == pytest.approx(math.exp(8 / 8))
    assert value(byte_perplexity(), *answered) == pytest.approx(math.exp(8 / 14))
    assert value(original_bits_per_byte(), *answered) == pytest.approx(8 / 14 / math.log(2))


def test_documents_are_apart_and_resampled_by_cluster() -> None:
    first, second = document_items([Document("a", "one", ("g=1",)), Document("b", "two", (), "author")], window=64)
    assert (first.request, first.cluster, first.groups) == (Passage("one", 64), "a", ("g=1",))
    assert (second.request, second.cluster, second.facts) == (Passage("two", 64), "author", {})


def test_a_document_without_text_is_named() -> None:
    with pytest.raises(DataError, match="document 'tweet/7': no text"):
        document_items([Document("tweet/7", " \n")])


def test_pieces_join_to_the_whole_and_are_long_enough() -> None:
    text = "\n".join(f"paragraph {number} " + "word " * (number % 5) for number in range(50))
    pieces = cut_at(text, "\n", 100)
    assert "\n".join(pieces) == text
    assert all(len(piece) >= 100 for piece in pieces[:-1])
    assert len(pieces) > 5


def test_rows_of_json_lines_gzip_and_parquet_are_the_same(tmp_path: Path) -> None:
    rows = [{"text": "é one", "n": 1}, {"text": "two\u2028three", "n": 2}]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.jsonl.gz", "a.parquet"):
        assert read_rows(tmp_path / name) == rows


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"a": 1}\n{"a": \n', "line 2: not JSON"), (b"[1]\n", "line 1: must be an object"), (b"\xff", "utf-8")],
)
def test_a_broken_line_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "b.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_rows(tmp_path / "b.jsonl")


def test_broken_gzip_and_unknown_endings_are_errors(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl.gz").write_bytes(b"not gzip")
    (tmp_path / "c.docx").write_bytes(b"")
    with pytest.raises(DataError, match=r"c\.jsonl\.gz"):
        read_rows(tmp_path / "c.jsonl.gz")
    with pytest.raises(DataError, match=r"not a kind of file that can be read \(allowed: \.jsonl"):
        read_rows(tmp_path / "c.docx")
