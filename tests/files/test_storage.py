"""Object storage: which addresses there are, what is refused, and what a store's failures say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Event

import pytest

from crushtest.errors import CrushtestError, StoreError, UsageError
from crushtest.files.sealed import BLANK, SEAL, sealed
from crushtest.files.storage.address import Address, is_address, parse_storage_address
from crushtest.files.storage.index import FileFacts, Index, publish, read_index, write_index
from crushtest.files.storage.lock import LOCK, Lock
from crushtest.files.storage.store import Store, for_each
from support.object_store import empty_bucket


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("s3://bucket/study", "bucket/study"),
        ("S3://bucket/a/study/", "bucket/a/study"),
        ("gs://bucket/a=1, b", "bucket/a=1, b"),
        ("abfs://container@account.dfs.core.windows.net/study", "container@account.dfs.core.windows.net/study"),
    ],
)
def test_an_address_survives_being_made_a_path(text: str, path: str) -> None:
    protocol = text.partition(":")[0].lower()
    assert parse_storage_address(text) == parse_storage_address(Path(text)) == Address(protocol, path)
    assert is_address(text)
    assert is_address(Path(text))


@pytest.mark.parametrize("text", ["studies/demo", "/tmp/s3", "C:/study", "a:b", "", "../x://y"])
def test_a_path_is_no_address(text: str) -> None:
    assert not is_address(text)
    assert not is_address(Path(text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("s3://me:hidden@bucket/study", "an address must hold no password"),
        ("s3://me%3Ahidden@bucket/study", "an address must hold no password"),
        ("s3://bucket/study?X-Amz-Signature=hidden", "no query and no fragment"),
        ("s3://bucket/../other/study", r"a part of the path is '\.\.'"),
        ("s3://bucket/a/./b", r"a part of the path is '\.'"),
        ("s3://bucket//study", "a part of the path is ''"),
        ("s3://bucket/a*", "no backslash, no"),
        ("s3://bucket/a\\b", "no backslash, no"),
        ("s3://bucket/a\x1b[1m", "nothing that cannot be printed"),
        ("simplecache::s3://bucket/study", "is no address of object storage"),
        ("s3://bucket/x::s3://y/z", "part of the path is ''|no backslash, no"),
        ("s3://bucket", "name a folder in the bucket, such as s3://bucket/study"),
        ("https://host/study", "https:// is no object storage"),
        ("file:///tmp/study", "file:// is no object storage; give the folder itself"),
    ],
)
def test_odd_addresses_are_refused(text: str, line: str) -> None:
    with pytest.raises(UsageError, match=line) as refused:
        parse_storage_address(text)
    assert "hidden" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown protocol 's4'.*did you mean 's3'"):
        Store(Address("s4", "bucket/study"))


@pytest.mark.parametrize(
    ("protocol", "package", "command"),
    [
        ("s3", "fsspec.core", r"pip install 'crushtest\[remote\]'"),
        ("s3", "s3fs", r"pip install 'crushtest\[remote\]'"),
        ("gs", "gcsfs", "pip install gcsfs"),
    ],
)
def test_a_missing_package_is_named_with_its_command(
    protocol: str, package: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = pytest.importorskip("fsspec.registry")
    monkeypatch.setattr(registry, "_registry", {})
    monkeypatch.setattr(registry, "registry", {})
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(StoreError, match=command):
        Store(Address(protocol, "bucket/study"))


def test_a_failure_names_the_object_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_SECRET_KEY", "swordfish")
    store = Store(empty_bucket())

    def refuse(*arguments: object, **options: object) -> bytes:
        raise PermissionError("swordfish may not do that\nat all")

    monkeypatch.setattr(store._files, "cat_file", refuse, raising=False)
    with pytest.raises(StoreError) as failed:
        store.read("study.yaml")
    said = "could not be read (PermissionError: *** may not do that); do these credentials allow it?"
    assert str(failed.value) == f"{store.address}/study.yaml {said}"


def test_an_object_is_created_once() -> None:
    store = Store(empty_bucket())
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"


def test_a_lost_answer_counts_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(empty_bucket())
    write = store._files.pipe_file

    def lose(*arguments: object, **options: object) -> None:
        write(*arguments, **options)
        raise TimeoutError

    monkeypatch.setattr(store._files, "pipe_file", lose, raising=False)
    assert store.create("a", b"first")
    assert not store.create("a", b"second")


def test_the_first_error_of_several_requests_is_raised() -> None:
    done: list[str] = []

    def call(name: str) -> None:
        if name == "3":
            raise StoreError("three")
        done.append(name)

    with pytest.raises(StoreError, match="three"):
        for_each(map(str, range(6)), call)
    for_each("ab", done.append)
    assert done[-2:] in (["a", "b"], ["b", "a"])


def test_a_torn_index_is_passed_over(tmp_path: Path) -> None:
    store = Store(empty_bucket())
    first = Index(1, "one", {"study.yaml": FileFacts("0" * 64, 1)})
    write_index(store, first)
    store.write(Index(2, "two").name, Index(2, "two").content()[:-40])
    assert read_index(store) == first
    store.write(first.name, b"{}")
    with pytest.raises(StoreError, match=r"is damaged; restore it, or remove .*/\.crushtest, and the folder is taken"):
        read_index(store)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "a\x1bb"])
def test_an_index_cannot_lead_outside_its_folder(name: str, tmp_path: Path) -> None:
    store = Store(empty_bucket())
    write_index(store, Index(1, "one", {name: FileFacts("0" * 64, 1)}))
    with pytest.raises(StoreError, match="names a file that no study has"):
        read_index(store)


def test_an_index_of_a_newer_version_is_refused() -> None:
    store = Store(empty_bucket())
    newer = {"format": 2, SEAL: BLANK}
    store.write(Index(1, "").name, sealed(json.dumps(newer).encode()))
    with pytest.raises(StoreError, match=r"written by another version of crushtest \(format 2\)"):
        read_index(store)


def test_nothing_is_published_after_a_check_that_fails(tmp_path: Path) -> None:
    store = Store(empty_bucket())
    (tmp_path / "a").write_bytes(b"x")

    def fail() -> None:
        raise StoreError("no longer ours")

    with pytest.raises(StoreError, match="no longer ours"):
        publish(store, Index(0, ""), {"a": FileFacts("f" * 64, 1)}, tmp_path, commit="c", check=fail)
    assert read_index(store) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"owner": "x"}'])
def test_something_else_in_the_place_of_a_lock_is_named(content: bytes) -> None:
    store = Store(empty_bucket())
    store.write(LOCK, content)
    with pytest.raises(CrushtestError, match=r"lock\.json is no lock of crushtest; remove it if nobody is writing"):
        Lock(store, "me").take()


def test_a_lock_is_released_by_its_owner_alone() -> None:
    store = Store(empty_bucket())
    mine, other = Lock(store, "me"), Lock(store, "other")
    mine.take()
    other.release()
    assert store.read(LOCK) is not None
    mine.release()
    assert store.read(LOCK) is None
    with other.held():
        assert json.loads(store.read(LOCK) or b"")["owner"] == "other"
    assert store.read(LOCK) is None


def test_an_error_ends_calls_that_have_begun() -> None:
    began, stopped = Event(), Event()

    def call(name: str) -> None:
        if name == "bad":
            began.wait(300)
            raise ValueError(name)
        began.set()
        assert stopped.wait(300)

    with pytest.raises(ValueError, match="bad"):
        for_each(["bad", "slow"], call, stop=stopped.set)


@pytest.mark.parametrize("text", ["s3://", "s3:/", "s3:"])
def test_an_address_whose_rest_is_empty_is_no_folder_of_this_machine(text: str) -> None:
    assert is_address(text)
    with pytest.raises(UsageError, match="s3:// names no bucket"):
        parse_storage_address(text)
