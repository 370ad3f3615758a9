"""Where data comes from: the order of places, checksums, and what is said about a missing file."""

from __future__ import annotations

import gzip
import io
import re
from hashlib import sha256
from pathlib import Path
from urllib.error import URLError

import pytest

from crushtest.data import catalogue
from crushtest.data.catalogue import DataSet, SourceFile
from crushtest.data.sources import check_content, find, read_text
from crushtest.data.status import NotFetched, fetch, status, summarize
from crushtest.errors import DataError, UnknownName

OFFICIAL = b"official\n"


def _sha(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty mirror and cache, one data set of one file, and no network."""
    file = SourceFile("set/a.txt", "https://example.org/r/a.txt", _sha(OFFICIAL))
    _list_only(monkeypatch, "set", {"a.txt": file})
    monkeypatch.setenv("CRUSHTEST_DATA", str(tmp_path / "mirror"))
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mirror").mkdir()
    _serve(monkeypatch, None)
    return tmp_path / "mirror"


def _list_only(
    monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, SourceFile], manual: str | None = None
) -> None:
    listed = DataSet(
        name=name,
        repository="https://example.org/gated" if manual else "owner/name",
        revision="0" * 40,
        licence="MIT",
        citation="A paper",
        files=files,
        manual_download=manual,
    )
    monkeypatch.setattr(catalogue, "data_sets", lambda: {name: listed})


def _serve(monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> list[str]:
    asked: list[str] = []

    def urlopen(address: str, timeout: float) -> io.BytesIO:
        asked.append(address)
        if content is None:
            raise URLError("no route to host")
        return io.BytesIO(content)

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return asked


def _put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_mirror_comes_before_the_cache(mirror: Path, tmp_path: Path) -> None:
    cached = _put(tmp_path / "cache/data/set/a.txt", OFFICIAL)
    assert find("set", "a.txt") == (cached, "cache")
    mirrored = _put(mirror / "set/a.txt", OFFICIAL)
    assert find("set", "a.txt") == (mirrored, "mirror")


def test_a_file_that_is_nowhere_is_fetched_once(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _serve(monkeypatch, OFFICIAL)
    assert find("set", "a.txt").path.read_bytes() == OFFICIAL
    assert find("set", "a.txt").place == "cache"
    assert asked == ["https://example.org/r/a.txt"]


def test_a_changed_file_is_an_error_that_names_it_and_is_not_passed_over(mirror: Path, tmp_path: Path) -> None:
    _put(tmp_path / "cache/data/set/a.txt", OFFICIAL)
    _put(mirror / "set/a.txt", b"changed\n")
    with pytest.raises(DataError, match=r"set/a\.txt.*is not the file we know"):
        find("set", "a.txt")
    assert [(line.place, line.problem is None) for line in status()] == [("changed", False)]


def test_a_download_with_the_wrong_checksum_leaves_nothing_behind(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _serve(monkeypatch, b"an error page\n")
    with pytest.raises(DataError, match=r"set/a\.txt"):
        find("set", "a.txt")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_an_unreachable_file_error_names_file_address_and_variable(mirror: Path) -> None:
    with pytest.raises(DataError) as raised:
        find("set", "a.txt")
    for said in ("set/a.txt", "https://example.org/r/a.txt", "CRUSHTEST_DATA", "no route to host"):
        assert said in str(raised.value)


def test_a_mirror_that_is_no_folder_is_an_error(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUSHTEST_DATA", str(mirror / "typo"))
    with pytest.raises(DataError, match="CRUSHTEST_DATA must name a folder"):
        find("set", "a.txt")


def test_fetching_fills_the_cache(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(line.place, line.problem) for line in status(["set"])] == [("missing", None)]
    _serve(monkeypatch, OFFICIAL)
    assert [(line.place, line.problem) for line in fetch(["set"])] == [("cache", None)]


def test_what_cannot_be_fetched_is_one_sentence_and_a_line_per_file(mirror: Path) -> None:
    with pytest.raises(NotFetched) as raised:
        fetch(["set"])
    assert str(raised.value).startswith("1 of 1 files could not be fetched; set CRUSHTEST_DATA to a folder that holds")
    assert raised.value.files == ("set/a.txt: missing (no route to host)",)
    _put(mirror / "set/a.txt", b"changed\n")
    with pytest.raises(NotFetched) as raised:
        fetch(["set"])
    assert raised.value.files == ("set/a.txt: changed (no route to host)",)


def test_a_data_set_is_one_line_that_says_what_is_here(mirror: Path) -> None:
    assert [(line.dataset, line.tasks, line.state) for line in summarize(status())] == [("set", "", "missing 1 of 1")]
    _put(mirror / "set/a.txt", b"changed\n")
    assert [line.state for line in summarize(status())] == ["changed 1 of 1"]
    _put(mirror / "set/a.txt", OFFICIAL)
    assert [line.state for line in summarize(status())] == ["here"]


def test_an_unknown_data_set_is_told_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="did you mean 'bbq'"):
        status(["bbqq"])


def test_a_git_blob_id_is_checked_as_git_computes_it(tmp_path: Path) -> None:
    # `printf 'hello\n' | git hash-object --stdin`
    known = SourceFile("x", "https://example.org", "git:ce013625030ba8dba906f756967f9e9ca394464a")
    check_content(_put(tmp_path / "x", b"hello\n"), known)
    with pytest.raises(DataError, match="git"):
        check_content(_put(tmp_path / "x", b"hello!\n"), known)


def test_listed_files_have_an_https_address_a_revision_and_a_checksum() -> None:
    for known in catalogue.data_sets().values():
        assert len(known.revision) == 40 or known.manual_download
        assert known.licence
        assert known.citation
        for file in known.files.values():
            assert file.address.startswith("https://")
            assert re.search("/[0-9a-f]{40}/", file.address)
            assert len(file.checksum.partition(":")[2]) in (40, 64)


def test_a_mirror_may_hold_a_file_gzipped_that_its_authors_do_not(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SourceFile("some/a.txt", "https://example.org/a.txt", _sha(b"one prompt"))
    _list_only(monkeypatch, "some", {"a.txt": file})
    zipped = _put(mirror / "some" / "a.txt.gz", gzip.compress(b"one prompt"))
    assert find("some", "a.txt") == (zipped, "mirror")
    assert read_text("some", "a.txt") == "one prompt"
    zipped.write_bytes(gzip.compress(b"another"))
    with pytest.raises(DataError, match="not the file we know"):
        find("some", "a.txt")


def test_a_manual_download_says_what_to_do(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _list_only(monkeypatch, "gated", {}, manual="needs path=FOLDER")
    assert [line.state for line in summarize(status())] == ["manual download"]
    (line,) = status(["gated"])
    assert (line.place, line.address, line.problem) == (
        "missing",
        "https://example.org/gated",
        "the task needs path=FOLDER. In place of path, CRUSHTEST_DATA may name a folder that holds it as 'gated'",
    )
    with pytest.raises(DataError, match="'gated' is a manual download: the task needs path=FOLDER"):
        fetch(["gated"])


def test_the_data_sets_of_a_task_are_found_under_other_names() -> None:
    assert catalogue.read_by("wikitext2") == ["wikitext-2-raw"]
    assert catalogue.read_by("matched_guise") == catalogue.read_by("dialect_pairs") == ["dialect-prejudice"]
    assert catalogue.read_by("mmlu") == ["mmlu"]
    assert catalogue.read_by("probe_qa") == []
