"""Corpora read from local paths: groups, sides, ids, and what is said when they are not there."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from crushtest.data.status import status
from crushtest.errors import DataError, UnknownName, UsageError
from crushtest.records import Item, Passage
from crushtest.tasks.aave_literature import aave_literature
from crushtest.tasks.c4 import c4
from crushtest.tasks.custom_text import custom_text
from crushtest.tasks.paloma import SUBREDDITS, paloma, subreddits
from crushtest.tasks.shared.dialect_metrics import DIALECT, MAINSTREAM
from crushtest.tasks.twitteraae import twitteraae


def write(path: Path, *texts: str, **columns: list[str]) -> Path:
    rows = [{"text": text} | {name: values[i] for name, values in columns.items()} for i, text in enumerate(texts)]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


# ---- paloma and subreddits


def test_paloma_reads_every_domain_of_a_corpus(tmp_path: Path) -> None:
    write(tmp_path / "dolma-v1_5/test/test_books.jsonl.gz", "one", "two")
    write(tmp_path / "dolma-v1_5/test/test_stack_uniform.jsonl.gz", "three")
    items = paloma(path=str(tmp_path)).items()
    assert [(item.id, item.groups) for item in items] == [
        ("books/0", ("domain=books",)),
        ("books/1", ("domain=books",)),
        ("stack_uniform/0", ("domain=stack_uniform",)),
    ]
    assert [item.id for item in paloma(path=str(tmp_path), domains=("stack_uniform",)).items()] == ["stack_uniform/0"]


def test_paloma_reads_the_fixture_in_its_format(data: Path) -> None:
    (file,) = (data / "paloma_fixture").glob("*.gz")
    items = paloma(path=str(file)).items()
    assert len(items) == 10
    assert items[0].request.text.startswith("Set into the back of the yielding")  # type: ignore[union-attr]


def test_without_paloma_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    for task in (paloma, subreddits):
        with pytest.raises(
            DataError, match=r"gated: accept its terms at https://huggingface.co/datasets/allenai/paloma"
        ):
            task().items()
    (tmp_path / "c4_en").mkdir()
    with pytest.raises(DataError, match=r"no folder dolma-v1_5/test .*\(there: c4_en\)"):
        paloma(path=str(tmp_path)).items()


def test_an_unknown_domain_is_told_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "dolma-v1_5/test/test_books.jsonl.gz", "one")
    with pytest.raises(UnknownName, match="did you mean 'books'"):
        paloma(path=str(tmp_path), domains=("bookz",)).items()


def test_sixteen_subreddits_fall_into_four_attributes(tmp_path: Path) -> None:
    for name in (name for names in SUBREDDITS.values() for name in names):
        write(tmp_path / f"dolma_100_subreddits/test/test_{name}.jsonl.gz", f"post in {name}")
    items = subreddits(path=str(tmp_path)).items()
    assert len(items) == 16
    assert items[0].groups == ("religion=atheism",)
    assert {item.groups[0].partition("=")[0] for item in items} == {"religion", "gender", "country", "politics"}
    assert [metric.name for metric in subreddits().metrics if metric.with_gap] == ["bits_per_byte"]


def test_a_missing_subreddit_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "dolma_100_subreddits/test/test_22_atheism.jsonl.gz", "post")
    with pytest.raises(UnknownName, match="35_Christianity"):
        subreddits(path=str(tmp_path)).items()


# ---- tweets, books, web pages


@pytest.mark.parametrize("folder", ["", "twitterAAE_HELM_fixed/test"])
def test_tweets_have_a_side_and_are_scored_apart(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder / "test_AA.jsonl.gz", "she stay working", "he tall")
    write(tmp_path / folder / "test_white.jsonl", "she is working")
    items = twitteraae(path=str(tmp_path)).items()
    assert [(item.groups, item.facts["side"]) for item in items] == [
        (("dialect=AA",), DIALECT),
        (("dialect=AA",), DIALECT),
        (("dialect=white",), MAINSTREAM),
    ]
    assert items[0].request == Passage("she stay working", 2048)


def test_one_side_of_the_tweets_is_not_enough(tmp_path: Path) -> None:
    write(tmp_path / "test_AA.jsonl.gz", "he tall")
    with pytest.raises(DataError, match=r"holds none of test_white\.jsonl\.gz"):
        twitteraae(path=str(tmp_path)).items()
    with pytest.raises(DataError, match="Tweets may not be redistributed"):
        twitteraae().items()


def test_the_published_book_is_cut_into_pieces_of_a_window(data: Path) -> None:
    items = aave_literature().items()
    sizes = [len(item.request.text) for item in items]  # type: ignore[union-attr]
    assert len(items) > 20
    assert all(6000 <= size < 12_000 for size in sizes[:-1])


def test_a_folder_of_books_is_grouped_by_book(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(f"the book {name}")
    assert [item.groups for item in aave_literature(path=str(tmp_path)).items()] == [("book=a",), ("book=b",)]


def test_c4_has_a_thousand_pages_or_one_joined_text(data: Path) -> None:
    pages = c4().items()
    (joined,) = c4(protocol="pruning").items()
    assert len(pages) == 1000
    assert joined.request == Passage(" ".join(page.request.text for page in pages), 2048, "pruning")  # type: ignore[union-attr]


def test_c4_takes_the_first_1100_pages_of_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "c4.json.gz", *(f"p{number}" for number in range(1200)))
    (joined,) = c4(protocol="pruning", path=str(file)).items()
    assert joined.request.text.split()[-1] == "p1099"  # type: ignore[union-attr]


# ---- one's own


def test_custom_text_has_groups_clusters_and_sides(tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", "a", "b", "c", who=["aae", "sae", "other"], author=["1", "2", "1"])
    task = custom_text(path=str(file), group="who", cluster="author", dialect="aae", mainstream="sae")
    first, second, third = task.items()
    assert (first.groups, first.cluster, first.facts) == (("who=aae",), "1", {"side": DIALECT})
    assert (second.facts, third.facts) == ({"side": MAINSTREAM}, {})
    assert "dialect_gap_perplexity" in [metric.name for metric in task.metrics]
    assert "dialect_gap_perplexity" not in [metric.name for metric in custom_text(path=str(file)).metrics]


def test_custom_text_without_a_column_names_those_there_are(tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", "a", who=["x"])
    with pytest.raises(DataError, match=r"row 1: no field 'group' \(there are: text, who\)"):
        custom_text(path=str(file), group="group").items()
    with pytest.raises(UnknownName, match="unknown value of who 'y'"):
        custom_text(path=str(file), group="who", dialect="x", mainstream="y").items()


def test_custom_text_with_one_side_or_no_group_is_refused() -> None:
    with pytest.raises(UsageError, match="two values of the column"):
        custom_text(path="x", group="g", dialect="a")
    with pytest.raises(UsageError, match="two values of the column"):
        custom_text(path="x", dialect="a", mainstream="b")


def test_custom_text_with_one_group_on_both_sides_is_refused() -> None:
    with pytest.raises(UsageError, match=r"dialect and mainstream must differ \(got 'aae' twice\)"):
        custom_text(path="x", group="g", dialect="aae", mainstream="aae")


def test_gated_sets_are_found_in_the_mirror_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUSHTEST_DATA", str(tmp_path))
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "paloma/dolma-v1_5/test/test_wiki.jsonl.gz", "one")
    write(tmp_path / "paloma/twitterAAE_HELM_fixed/test/test_AA.jsonl.gz", "a")
    write(tmp_path / "paloma/twitterAAE_HELM_fixed/test/test_white.jsonl.gz", "b")
    assert [item.id for item in paloma().items()] == ["wiki/0"]
    assert [item.id for item in twitteraae().items()] == ["AA/0", "white/0"]
    write(tmp_path / "twitteraae/test_AA.jsonl", "c", "d")
    write(tmp_path / "twitteraae/test_white.jsonl", "e")
    assert len(twitteraae().items()) == 3
    (line,) = status(["paloma"])
    assert (line.place, line.problem) == ("mirror", None)


# ---- what is no text, and files without any


def of_rows(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reads_one_file(name: str, file: Path) -> Sequence[Item]:
    """The items of a task of this name whose only text, or only dialect text, is in the file."""
    if name == "twitteraae":
        write(file.parent / "test_white.jsonl", "she is working")
        return twitteraae(path=str(file.parent)).items()
    if name == "subreddits":
        for other in (one for names in SUBREDDITS.values() for one in names):
            write(file.parent / f"dolma_100_subreddits/test/test_{other}.jsonl", "post")
        file.replace(file.parent / "dolma_100_subreddits/test/test_22_atheism.jsonl")
        return subreddits(path=str(file.parent)).items()
    task = {"custom_text": custom_text, "paloma": paloma, "c4": c4, "c4 pruning": partial(c4, protocol="pruning")}[name]
    return task(path=str(file)).items()


CORPORA = ("custom_text", "paloma", "subreddits", "twitteraae", "c4", "c4 pruning")


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"text must be a text \(got None\)"),
        (5, r"text must be a text \(got 5\)"),
        (["a", "b"], r"text must be a text \(got \['a', 'b'\]\)"),
        (" \n", "text is blank"),
        ("one \ud800 two", "half a character"),
    ],
)
def test_what_is_no_text_is_refused_with_file_and_row(tmp_path: Path, corpus: str, text: object, said: str) -> None:
    file = of_rows(tmp_path / "test_AA.jsonl", {"text": "fine"}, {"text": text})
    with pytest.raises(DataError, match=rf"\.jsonl, (row|line) 2: .*{said}"):
        reads_one_file(corpus, file)


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_rows_is_named(tmp_path: Path, corpus: str, content: str) -> None:
    file = tmp_path / "test_AA.jsonl"
    file.write_text(content)
    with pytest.raises(DataError, match=r"\.jsonl: no row in it"):
        reads_one_file(corpus, file)


def test_an_empty_book_is_named_and_not_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a book")
    (tmp_path / "b.txt").write_text("\n")
    for path in (tmp_path, tmp_path / "b.txt"):
        with pytest.raises(DataError, match=r"b\.txt: no text in it"):
            aave_literature(path=str(path)).items()


def test_a_books_byte_order_mark_is_no_part_of_its_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a book", encoding="utf-8-sig")
    (item,) = aave_literature(path=str(tmp_path)).items()
    assert item.request == Passage("a book", 2048)


def test_a_row_of_custom_text_without_a_group_has_none(tmp_path: Path) -> None:
    groups = ["x", None, "", " ", 0, False]
    file = of_rows(tmp_path / "t.jsonl", *({"text": "a", "who": group} for group in groups))
    items = custom_text(path=str(file), group="who").items()
    assert [item.groups for item in items] == [("who=x",), (), (), (), ("who=0",), ("who=False",)]


def test_a_group_or_cluster_that_is_no_single_value_is_refused(tmp_path: Path) -> None:
    file = of_rows(tmp_path / "t.jsonl", {"text": "a", "who": ["x", "y"]})
    with pytest.raises(DataError, match=r"row 1: who must be a single value \(got \['x', 'y'\]\)"):
        custom_text(path=str(file), group="who").items()
    with pytest.raises(DataError, match=r"row 1: who must be a single value"):
        custom_text(path=str(file), cluster="who").items()


def test_rows_of_custom_text_without_a_cluster_are_each_their_own(tmp_path: Path) -> None:
    authors = ["1", None, None, "", "1", "2"]
    file = of_rows(tmp_path / "t.jsonl", *({"text": "a", "author": author} for author in authors))
    clusters = [item.cluster for item in custom_text(path=str(file), cluster="author").items()]
    assert (clusters[0], clusters[4], clusters[5]) == ("1", "1", "2")
    assert len(set(clusters)) == 5
