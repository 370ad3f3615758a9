"""dialect_pairs: the published pairs, pairs of one's own, and lines that are no pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.errors import DataError
from crushtest.records import Choices
from crushtest.tasks.dialect_pairs import dialect_pairs, pair_items
from crushtest.tasks.matched_guise.matched_guise import matched_guise


def test_the_published_pairs_are_699_in_233_clusters(data: Path) -> None:
    items = dialect_pairs().items()
    assert (len(items), len({item.cluster for item in items})) == (699, 233)
    assert items[0].request == Choices("", ("he's usually cracking", "he be cracking"))
    assert items[0].cluster == items[1].cluster == "be cracking"
    assert {group for item in items for group in item.groups} == {"feature=habitual_be"}


def test_pairs_of_ones_own_may_name_a_feature(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("she tall\tshe is tall\tcopula\n\nain't nobody here\tnobody is here\n", encoding="utf-8")
    first, second = dialect_pairs(path=str(file)).items()
    assert first.request == Choices("", ("she is tall", "she tall"))
    assert (first.groups, second.groups) == (("feature=copula",), ())
    assert (first.id, second.id) == ("0", "2")
    assert first.cluster != second.cluster


@pytest.mark.parametrize("line", ["only one side", "a\tb\tc\td", "dialect\t", "\tmainstream"])
def test_a_line_that_is_no_pair_is_named(line: str) -> None:
    with pytest.raises(DataError, match=r"mine\.tsv, line 2: needs dialect<TAB>mainstream"):
        pair_items(f"a\tb\n{line}\n", "mine.tsv")


@pytest.mark.parametrize("header", ["dialect\tmainstream", "Dialect\tMainstream\tfeature", "\ndialect\tmainstream"])
def test_a_header_is_no_pair(header: str) -> None:
    number = header.count("\n") + 1
    with pytest.raises(DataError, match=rf"^mine\.tsv, line {number} is a header; remove it"):
        pair_items(f"{header}\nshe tall\tshe is tall\n", "mine.tsv")
    assert len(pair_items("a\tb\ndialect\tmainstream\n", "mine.tsv")) == 2


def test_a_pair_of_the_same_text_is_named() -> None:
    with pytest.raises(DataError, match=r"^mine\.tsv, line 2: .*the same text \('she is tall'\)"):
        pair_items("she tall\tshe is tall\nshe is tall\t she is tall\n", "mine.tsv")


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_feature_is_none(blank: str) -> None:
    (item,) = pair_items(f"she tall\tshe is tall\t{blank}\n", "mine.tsv")
    assert item.groups == ()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"task 'dialect_pairs': no such file"):
        dialect_pairs(path=str(tmp_path / "none.tsv")).items()


@pytest.mark.parametrize("character", ["\f", "\v", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_the_end_of_a_line_ends_a_pair(tmp_path: Path, character: str) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text(f"a{character}b\tc\nd\te\n", encoding="utf-8")
    assert [item.request for item in dialect_pairs(path=str(file)).items()] == [
        Choices("", ("c", f"a{character}b")),
        Choices("", ("e", "d")),
    ]
    # This was two pairs; it is one line of three columns.
    assert len(pair_items(f"a\tb{character}c\td\n", "mine.tsv")) == 1


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa\tb\r\n\r\nc\td\r\n", b"a\tb\n\nc\td", b"a\tb\r\rc\td\r"])
def test_every_systems_line_ends_give_the_same_pairs(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_bytes(content)
    items = dialect_pairs(path=str(file)).items()
    assert [(item.id, item.request) for item in items] == [
        ("0", Choices("", ("b", "a"))),
        ("2", Choices("", ("d", "c"))),
    ]


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_a_file_without_pairs_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text(content, encoding="utf-8")
    for task in (dialect_pairs, matched_guise):
        with pytest.raises(DataError, match=r"pairs\.tsv: no text in it"):
            task(path=str(file)).items()


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_bytes(b"\xff\t\xfe\n")
    for path in (tmp_path / "pairs.tsv", tmp_path):
        with pytest.raises(DataError, match=f"{path.name} is not a UTF-8 text file"):
            dialect_pairs(path=str(path)).items()
