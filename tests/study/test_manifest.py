from __future__ import annotations

import json
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from crushtest.errors import StoreError
from crushtest.records import Choices, Item
from crushtest.scorers.calling import facts_of
from crushtest.study import manifest


def test_it_says_what_ran_and_keeps_what_it_knew(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest.start(path, command=["crushtest", "run"], seed=7)
    manifest.update(path, "arms", "dense", {"engine": {"engine": "hf"}})
    created = manifest.read(path)["created"]
    manifest.start(path, command=["crushtest", "run", "--again"], seed=7)
    content = manifest.read(path)
    assert content["created"] == created
    assert content["arms"] == {"dense": {"engine": {"engine": "hf"}}}
    assert content["seed"] == 7
    assert content["packages"]["torch"] == torch.__version__
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["memory_bytes"] > 2**28


def test_the_build_of_torch_is_recorded_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from crushtest.study import manifest; "
        "path = pathlib.Path(sys.argv[1]); manifest.start(path, command=[], seed=0); "
        "print(manifest.read(path)['packages']['torch'], 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "m.json"], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [torch.__version__, "False"]


def test_a_version_of_torch_in_its_metadata_alone_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "find_spec", lambda name: None)
    manifest.start(tmp_path / "m.json", command=[], seed=0)
    assert manifest.read(tmp_path / "m.json")["packages"]["torch"] == version("torch")


@pytest.mark.parametrize("content", [b"", b'{"arms": {', b"\xff", b"[]"])
def test_a_damaged_manifest_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"manifest\.json cannot be read \(.*restore a copy or remove it"):
        manifest.read(tmp_path / "manifest.json")


def test_it_names_neither_host_nor_home(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest.start(path, command=["crushtest"], seed=0)
    text = json.dumps(manifest.read(path)["machine"])
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text


def test_the_digest_changes_with_any_question() -> None:
    items = [Item("a", (), "c", Choices("Q", (" x", " y")), 0)]
    other = [Item("a", (), "c", Choices("Q", (" x", " z")), 0)]
    assert manifest.items_digest(items) == manifest.items_digest(list(items))
    assert manifest.items_digest(items) != manifest.items_digest(other)


def test_the_packages_that_scorers_rely_on_are_in_it_with_their_versions(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest.start(path, command=["crushtest"], seed=0)
    packages = manifest.read(path)["packages"]
    for name in ("alt-profanity-check", "scikit-learn", "vaderSentiment", "rouge-score"):
        assert packages[name] == version(name)
    assert facts_of("profanity")["scikit-learn"] == version("scikit-learn")
