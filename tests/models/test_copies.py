"""Models in object storage: copied once, whole or not at all, by content, and without what can run code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from crushtest.engines.llamacpp.engine import gguf_path
from crushtest.errors import ModelError, UsageError
from crushtest.files.storage import store as storage
from crushtest.files.storage.address import Address
from crushtest.files.storage.store import Store
from crushtest.models import copies
from crushtest.models.checkpoint import read_folder, weights_id
from crushtest.models.find import check_model, in_cache, model_kind, spec_weights_id
from crushtest.models.load import load_config, load_model, load_tokenizer
from crushtest.models.stored_size import stored_facts
from support.object_store import content_of, empty_bucket, upload_folder
from support.quantized_folders import write_folder
from support.tiny_gguf import tiny_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_folder(folder, None, {})
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def uploaded(folder: Path, address: Address | None = None) -> Address:
    """Put a folder's files at an address, and beside them what is not to be copied."""
    address = upload_folder(folder, address or empty_bucket())
    store = Store(address)
    store.write("original/consolidated.00.pth", b"pickled")
    store.write("pytorch_model.bin", b"pickled")
    store.write("modeling.py", b"raise SystemExit")
    return address


@pytest.fixture
def address(folder: Path) -> Address:
    return uploaded(folder)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the objects that are downloaded."""
    names: list[str] = []
    download = Store.download

    def noting(store: Store, name: str, *arguments: Any, **options: Any) -> bool:
        names.append(name)
        return download(store, name, *arguments, **options)

    monkeypatch.setattr(Store, "download", noting)
    return names


def test_a_cache_that_may_only_be_read_serves_what_it_has(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model(str(address))

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    for owner, name in ((os, "utime"), (Path, "touch"), (Path, "mkdir"), (copies, "_alone")):
        monkeypatch.setattr(owner, name, refused)
    assert copies.fetch(str(address)).weights


def test_a_model_at_an_address_is_that_of_the_folder(folder: Path, address: Address, downloads: list[str]) -> None:
    there, here = load_model(str(address)), load_model(str(folder))
    assert there.spec == str(address)
    assert {**there.facts, "kind": "folder"} == here.facts
    assert there.facts["kind"] == model_kind(str(address)) == "address"
    names = {name for name, tensor in here.network.state_dict().items()}
    assert all(there.network.state_dict()[name].equal(here.network.state_dict()[name]) for name in names)
    assert sorted(downloads) == sorted(path.name for path in folder.iterdir())
    load_model(str(address))
    assert len(downloads) == len(set(downloads))
    assert stored_facts(str(address)) == stored_facts(str(folder))
    assert spec_weights_id(str(address)) == weights_id(read_folder(folder))


def test_what_needs_no_weights_copies_none(address: Address, downloads: list[str]) -> None:
    check_model(str(address))
    assert not downloads
    load_config(str(address))
    load_tokenizer(str(address))
    assert "config.json" in downloads
    assert not [name for name in downloads if name.endswith((".safetensors", ".bin", ".py", ".pth"))]
    assert in_cache(str(address)) is None
    assert spec_weights_id(str(address)) == stored_facts(str(address)) == {}


def test_other_content_is_another_copy(folder: Path, address: Address, tmp_path: Path) -> None:
    before = copies.fetch(str(address))
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    config = json.loads((changed / "config.json").read_text()) | {"rope_theta": 5000.0}
    (changed / "config.json").write_text(json.dumps(config))
    uploaded(changed, address)
    after = copies.fetch(str(address))
    assert after.folder != before.folder
    assert content_of(before.folder) == content_of(folder)
    assert content_of(after.folder) == content_of(changed)
    assert in_cache(str(address)) == after


def test_content_that_comes_back_is_the_one_that_was_looked_up_last(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_MARKS", ())  # contents of another size alone differ: the first one comes back
    config = Store(address).read("config.json") or b""
    early = copies.without_weights(str(address))
    Store(address).write("config.json", config + b" ")
    between = copies.fetch(str(address))
    Store(address).write("config.json", config)
    late = copies.fetch(str(address))
    assert early.folder == late.folder != between.folder
    assert in_cache(str(address)) == late


@pytest.mark.parametrize("kills", [1, 3])
def test_a_copy_that_was_cut_goes_on_and_never_looks_whole(
    address: Address, downloads: list[str], monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    counting = Store.download

    def failing(store: Store, name: str, file: Path, **options: Any) -> bool:
        if len(downloads) >= kills:
            file.write_bytes(b"half")
            raise MemoryError
        return counting(store, name, file, **options)

    monkeypatch.setattr(Store, "download", failing)
    monkeypatch.setattr(copies, "for_each", one_after_another)
    with pytest.raises(MemoryError):
        copies.fetch(str(address))
    assert in_cache(str(address)) is None
    monkeypatch.setattr(Store, "download", counting)
    whole = copies.fetch(str(address))
    assert len(downloads) == len(set(downloads)) == len(content_of(whole.folder))
    assert in_cache(str(address)) == whole


def one_after_another(names: list[str], function: Callable[[str], object], **_: Any) -> None:
    for name in names:
        function(name)


def test_an_object_that_changes_while_it_is_copied_is_not_kept(
    address: Address, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Store.download

    def changing(store: Store, name: str, file: Path, **options: Any) -> bool:
        if name == "config.json":
            content = store.read(name) or b""
            store.write(name, content[::-1])
        return counting(store, name, file, **options)

    monkeypatch.setattr(Store, "download", changing)
    with pytest.raises(ModelError, match=r"config\.json changed at the address while it was copied; try again"):
        copies.fetch(str(address))
    monkeypatch.setattr(Store, "download", counting)
    with pytest.raises(ModelError, match=rf"'{address}/config\.json' is not valid JSON"):
        copies.fetch(str(address))


def test_two_workers_of_a_machine_copy_once(address: Address, downloads: list[str]) -> None:
    """Both have asked what there is before either has anything."""
    asked = Barrier(2, timeout=300)
    alone = copies._alone

    def together(held: Any) -> Any:
        asked.wait()
        return alone(held)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(copies, "_alone", together)
        first, second = pool.map(copies.fetch, [str(address)] * 2)
    assert first == second
    assert len(downloads) == len(set(downloads)) == len(content_of(first.folder))


def test_a_gguf_file_at_an_address(downloads: list[str]) -> None:
    file = tiny_file()
    address = empty_bucket()
    Store(address).upload(file, "tiny.gguf")
    Store(address).write("other.gguf", b"another one")
    Store(address).write("again.gguf", file.read_bytes())
    there, here = load_model(f"{address}/tiny.gguf"), load_model(str(file))
    assert {**there.facts, "kind": "gguf"} == here.facts
    assert gguf_path(f"{address}/tiny.gguf").read_bytes() == file.read_bytes()
    assert downloads == ["tiny.gguf"]
    assert gguf_path(f"{address}/again.gguf").name == "again.gguf"
    assert [getattr(in_cache(f"{address}/{name}.gguf"), "gguf", None) for name in ("tiny", "again", "other")] == [
        "tiny.gguf",
        "again.gguf",
        None,
    ]
    with pytest.raises(ModelError, match=r"there is no such object at this address"):
        check_model(f"{address}/none.gguf")


def test_a_part_of_a_gguf_model_alone_is_refused_by_its_address(downloads: list[str]) -> None:
    address = empty_bucket()
    Store(address).write("m-00002-of-00002.gguf", b"GGUF")
    for read in (check_model, load_config):
        with pytest.raises(ModelError, match=rf"^model '{address}/m-00001-of-00002\.gguf': there is no such object"):
            read(f"{address}/m-00001-of-00002.gguf")
    assert not downloads


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ([], "there is no object at this address"),
        (["weights.txt"], "no config.json there; not a model folder"),
        (["config.json"], "no weights; model.safetensors or its shards are needed"),
        (["config.json", "m.gguf"], r"no weights; name the \.gguf file itself"),
        (["config.json", "pytorch_model.bin"], "its weights are pickled, which can run any code when loaded"),
    ],
)
def test_what_is_no_model_is_refused_before_anything_is_copied(
    names: list[str], line: str, downloads: list[str]
) -> None:
    address = empty_bucket()
    for name in names:
        Store(address).write(name, b"{}")
    with pytest.raises(ModelError, match=rf"^model '{address}': {line}"):
        check_model(str(address))
    assert not downloads


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("s3://me:hidden@bucket/model", "must hold no password"),
        ("s3://bucket/model?signature=hidden", "no query and no fragment"),
        ("s4://bucket/model", "unknown protocol 's4'"),
        ("file:///model", "give the folder itself, by its path"),
    ],
)
def test_an_odd_address_is_one_line_without_its_secrets(spec: str, line: str) -> None:
    with pytest.raises(UsageError, match=line) as refused:
        check_model(spec)
    assert "hidden" not in str(refused.value)


def test_a_full_disk_is_said_before_anything_is_copied(
    address: Address, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(ModelError, match=r"\d kB to copy, 0 B left where the cache is .*; CRUSHTEST_CACHE moves it"):
        check_model(str(address))
    check_model(str(address), here=False)
    assert not downloads
