"""A study that is run at an address: killed anywhere, finished by another machine, and the same bytes at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crushtest import run_study
from crushtest.engines.fake import engine as fake
from crushtest.files.storage.address import Address
from crushtest.files.storage.index import read_index
from crushtest.files.storage.lock import LOCK
from crushtest.files.storage.store import Store
from crushtest.pipeline.remote import working_copy
from crushtest.pipeline.remote.opened import opened
from crushtest.study.chain import problems
from crushtest.study.folder import StudyFolder
from support.object_store import content_at, content_of, dying, empty_bucket

pytestmark = pytest.mark.usefixtures("no_page")
SUITE = [{"probe_facts": {"limit": 30}}, {"probe_prompts": {"limit": 12}}]
TIMED = ("manifest.json",)
"""Files that hold times and the machine."""


def study(*, limit: int = 30) -> dict[str, object]:
    return {
        "model": "fake",
        "engine": "fake",
        "arms": [{"name": "other", "model": "fake", "engine": "fake:seed=1"}],
        "suite": [{"probe_facts": {"limit": limit}}, SUITE[1]],
    }


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_machine("first", tmp_path, monkeypatch)


def use_machine(name: str, tmp_path: Path, patch: pytest.MonkeyPatch) -> Path:
    """Go on as another machine, whose cache is empty at first."""
    patch.setenv("CRUSHTEST_CACHE", str(tmp_path / name))
    return tmp_path / name


def lasting(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in content.items() if name not in TIMED}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the study as this machine's folder holds them."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crushtest.pipeline.run.write_page", _no_page)
        run_study(study(), folder / "study")
    return lasting(content_of(folder / "study"))


def _no_page(folder: StudyFolder) -> Path:
    folder.report.write_text("", encoding="utf-8")
    folder.outdated.unlink(missing_ok=True)
    return folder.report


def unlocked(address: Address) -> Address:
    """What a user does who knows that the writer is dead."""
    Store(address).remove(LOCK)
    return address


def test_the_address_holds_what_a_folder_would(whole: dict[str, bytes]) -> None:
    address = empty_bucket()
    finished = run_study(study(), str(address))
    assert lasting(content_at(address)) == whole
    assert finished.contrasts.height
    before = content_at(address)
    run_study(study(), str(address))
    assert content_at(address) == before


@pytest.mark.parametrize("at", [9, 23, 50])
def test_any_machine_goes_on_after_a_kill(
    at: int, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_copy, "EVERY_S", 0.0)
    monkeypatch.setattr(working_copy, "SHARE", 1e9)
    address = empty_bucket()
    with dying(at, arrives=bool(at % 2)):
        run_study(study(), str(address))
    index = read_index(Store(address))
    if index is not None and index.files:
        use_machine("reader", tmp_path, monkeypatch)
        with opened(str(address), writes=False) as seen:
            damaged = [line for line in problems(StudyFolder(seen.folder)) if "is missing: `crushtest run`" not in line]
            assert not damaged
    use_machine("second", tmp_path, monkeypatch)
    run_study(study(), str(unlocked(address)))
    assert lasting(content_at(address)) == whole


def test_another_machine_asks_only_what_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_copy, "EVERY_S", 0.0)
    monkeypatch.setattr(working_copy, "SHARE", 1e9)
    address = empty_bucket()
    with dying(60):
        run_study(study(), str(address))
    use_machine("reader", tmp_path, monkeypatch)
    with opened(str(address), writes=False) as seen:
        lines = (seen.folder / "arms" / "dense" / "answers" / "probe_facts.jsonl").read_text().splitlines()
    answered = len(lines) - 1  # the first says what the log is
    assert answered > 5
    asked: list[int] = []
    choices = fake.FakeEngine.choices

    def counting(engine: fake.FakeEngine, requests: list[object], done: frozenset[int] = frozenset()) -> object:
        asked.append(len(requests) - len(done))
        return choices(engine, requests, done=done)

    monkeypatch.setattr(fake.FakeEngine, "choices", counting)
    use_machine("second", tmp_path, monkeypatch)
    run_study(study(), str(unlocked(address)))
    assert asked == [30 - answered, 30]


def test_a_study_grows_at_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_study(study(limit=40), tmp_path / "grown")
    address = empty_bucket()
    run_study(study(), str(address))
    with dying(19, arrives=True):
        run_study(study(limit=40), str(address))
    use_machine("second", tmp_path, monkeypatch)
    run_study(study(limit=40), str(unlocked(address)))
    assert lasting(content_at(address)) == lasting(content_of(tmp_path / "grown"))


def test_nothing_secret_is_stored(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-tests")
    address = empty_bucket()
    run_study(study(), str(address))
    stored = [*content_at(address, own=True).values(), *content_of(cache).values()]
    assert not any(b"a-secret-of-tests" in content for content in stored)
    [record] = cache.glob("remote/*/work/record.json")
    assert json.loads(record.read_text())["address"] == str(address)
