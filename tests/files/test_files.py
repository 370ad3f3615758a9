"""Files that are whole or not there, even where the power goes."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from stat import S_ISDIR
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.errors import StoreError
from crushtest.files.atomic import file_name, replacing
from crushtest.files.cache import cache_folder
from crushtest.records import Completion
from crushtest.study.folder import StudyFolder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to files, in order."""
    seen: list[str] = []
    fsync, replace, unlink = os.fsync, os.replace, Path.unlink

    def noted_fsync(descriptor: int) -> None:
        seen.append("flush folder" if S_ISDIR(os.fstat(descriptor).st_mode) else "flush file")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        seen.append("rename")
        replace(source, target)

    def noted_unlink(path: Path, missing_ok: bool = False) -> None:
        if path.exists():
            seen.append(f"unlink {path.suffix}")
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(Path, "unlink", noted_unlink)
    return seen


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, calls: list[str]) -> None:
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("text")
    assert calls == ["flush file", "rename", "flush folder"]


def test_answers_are_on_the_disk_before_their_lines_are_removed(tmp_path: Path, calls: list[str]) -> None:
    log = StudyFolder(tmp_path).answers("dense", "toy", "prompts")
    log.append("0", Completion("text", 1, "eos"))
    log.finish(["0"])
    assert calls == ["flush file", "rename", "flush folder", "unlink .jsonl"]


def test_a_full_disk_is_named_by_the_file_that_found_no_room(tmp_path: Path) -> None:
    def write_on_a_full_disk() -> None:
        with replacing(tmp_path / "table") as temporary:
            temporary.touch()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as raised:
        write_on_a_full_disk()
    assert raised.value.filename == str(tmp_path / "table")
    assert list(tmp_path.iterdir()) == []


def test_answers_that_find_no_room_are_named_by_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_on_a_full_disk(file: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = StudyFolder(tmp_path).answers("dense", "task", "prompts")
    monkeypatch.setattr(os, "write", write_on_a_full_disk)
    with pytest.raises(OSError, match="No space left") as raised:
        log.append("a", Completion("text", 1, "stop"))
    assert raised.value.filename == str(log.running)


def test_an_empty_name_is_no_file() -> None:
    with pytest.raises(StoreError, match="an empty name"):
        file_name("")
    assert file_name("a/..") == "a%2F%2E%2E"


@given(st.text(min_size=1))
def test_every_system_takes_a_file_name_and_it_gives_the_name_back(name: str) -> None:
    """Windows and artifact stores refuse these, and a path has no other parts."""
    try:
        written = file_name(name)
    except UnicodeEncodeError:  # a lone surrogate is no text
        return
    assert not set(written) & set('"<>|*?:/\\\0\r\n')
    assert written not in (".", "..")
    assert unquote(written) == name


def test_folders_of_an_older_study_are_found_with_their_colons(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert folder.arm("wanda:sparsity=0.5").name == "wanda%3Asparsity=0.5"
    older = tmp_path / "arms" / "wanda:sparsity=0.5"
    older.mkdir(parents=True)
    assert folder.arm("wanda:sparsity=0.5") == older
    assert folder.arm("wanda:sparsity=0.5", 1).parent.parent == older
    assert folder.arm("wanda%3Asparsity=0.5") != older
    (older / "scores" / "judge:m").mkdir(parents=True)
    assert folder.scores("wanda:sparsity=0.5", "judge:m", "t").final.parent == older / "scores" / "judge:m"


def test_a_user_without_a_home_has_a_cache_beside_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CRUSHTEST_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache_folder().parent == Path(tempfile.gettempdir())
