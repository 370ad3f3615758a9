"""Studies at an address: whatever dies when, the address holds one state of the study, and any machine goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crushtest.errors import StoreError, TakenOver
from crushtest.files.storage.address import Address
from crushtest.files.storage.index import OWN
from crushtest.files.storage.lock import LOCK
from crushtest.files.storage.store import Store
from crushtest.pipeline.remote.opened import opened
from crushtest.pipeline.remote.working_copy import WorkingCopy, working_copy
from support.object_store import content_at, content_of, dying, empty_bucket

State = dict[str, bytes]
NAMES = ("study.yaml", "manifest.json", "arms/a=1,b/answers/t.jsonl", "arms/a=1,b/answers/t.parquet", "items/é %3A#.x")
STATES = st.lists(
    st.dictionaries(st.sampled_from(NAMES[1:]), st.binary(max_size=3), max_size=4).map(
        lambda state: {"study.yaml": b"study", **state}
    ),
    min_size=1,
    max_size=4,
)


@contextmanager
def machine(patch: pytest.MonkeyPatch | None = None) -> Iterator[Path]:
    """A machine with an empty cache."""
    with TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as own:
        (patch or own).setenv("CRUSHTEST_CACHE", cache)
        yield Path(cache)


def put(state: State, folder: Path) -> None:
    """Make a folder hold a state, as atomic writes do: a file with other content is another file."""
    for name in content_of(folder).keys() - state.keys():
        (folder / name).unlink()
    for name, content in state.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(content)


def read(address: Address) -> State:
    """What a reader on another machine gets; nothing if it is told that there is no study yet."""
    with machine():
        try:
            with opened(str(address), writes=False) as study:
                return content_of(study.folder)
        except StoreError as error:
            if "no study" not in str(error) and "not a study" not in str(error):
                raise
            return {}


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(STATES, st.integers(1, 60), st.booleans())
def test_a_kill_between_any_two_uploads_leaves_one_state(states: list[State], at: int, arrives: bool) -> None:
    address = empty_bucket()
    acknowledged: list[State] = [{}]
    with machine() as cache:
        with dying(at, arrives=arrives), working_copy(address) as copy:
            for state in states:
                put(state, copy.folder)
                copy.save()
                acknowledged.append(state)
        local = content_of(cache) and next(iter(cache.glob("remote/*/work/study")), None)
        left = content_of(local) if local else {}
        possible = [acknowledged[-1], *states[len(acknowledged) - 1 : len(acknowledged)]]
        seen = read(address)
        assert seen in possible
        with machine():  # another one, which was told that this one is gone
            Store(address).remove(LOCK)
            with working_copy(address) as copy:
                assert content_of(copy.folder) == seen
            assert content_at(address) == seen
        Store(address).remove(LOCK)
        with dying(10**6), working_copy(address) as copy:
            assert content_of(copy.folder) == seen
        asides = [content_of(path) for path in cache.glob("remote/*/work/study-*")]
        assert seen == left or not left or left in asides  # nothing that this machine had is lost


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(STATES, st.integers(1, 60), st.booleans())
def test_a_killed_machine_goes_on_from_its_own_copy(states: list[State], at: int, arrives: bool) -> None:
    address = empty_bucket()
    with machine() as cache:
        with dying(at, arrives=arrives), working_copy(address) as copy:
            for state in states:
                put(state, copy.folder)
                copy.save()
        local = next(iter(cache.glob("remote/*/work/study")), None)
        left = content_of(local) if local else {}
        with working_copy(address) as copy:  # its own lock does not keep it out
            unexplained = content_of(copy.folder) != left
        assert not unexplained or not _explained(left, copy)
        assert content_at(address) == content_of(copy.folder)
        assert not [name for name in content_at(address, own=True) if name.startswith(f"{OWN}/new") or name == LOCK]
        assert not list(cache.glob("remote/*/work/study-*")) or unexplained


def _explained(left: State, copy: WorkingCopy) -> bool:
    """Whether what was removed locally has its other form, so that the copy is not taken for a cleaned cache."""
    twins = {".jsonl": ".parquet", ".parquet": ".jsonl"}
    gone = copy.index.files.keys() - left.keys()
    return all(any(name.removesuffix(a) + b in left for a, b in twins.items() if name.endswith(a)) for name in gone)


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(STATES.filter(lambda states: len(states) > 1), st.integers(1, 12))
def test_a_reader_gets_one_state_while_another_machine_writes(states: list[State], at: int) -> None:
    address, downloads = empty_bucket(), count(1)
    download = Store.download

    def overtaken(store: Store, name: str, file: Path) -> bool:
        if next(downloads) == at:
            with machine(), working_copy(address) as copy:
                put(states[1], copy.folder)
        return download(store, name, file)

    with machine(), working_copy(address) as copy:
        put(states[0], copy.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "download", overtaken)
        assert read(address) in states[:2]


def test_a_second_machine_is_told_who_is_writing() -> None:
    address = empty_bucket()
    line = r"is writing to this study .*; wait for it or stop it\. If .*lock\.json"
    with machine(), working_copy(address), machine(), pytest.raises(StoreError, match=line), working_copy(address):
        pass
    with machine(), working_copy(address):
        pass  # the lock went with the first


def overtaken(address: Address, patch: pytest.MonkeyPatch | None = None) -> None:
    """Write after another machine has taken over, which somebody let it do; with `patch`, without asking the lock."""
    with machine(), working_copy(address) as copy:
        put({"study.yaml": b"first"}, copy.folder)
        copy.save()
        Store(address).remove(LOCK)
        with machine(), working_copy(address) as other:
            put({"study.yaml": b"second"}, other.folder)
            other.save()
            if patch is not None:
                patch.setattr(type(copy.lock), "check", lambda lock: None)
            put({"study.yaml": b"late"}, copy.folder)
            copy.save()


def test_a_machine_that_was_taken_over_writes_nothing() -> None:
    address = empty_bucket()
    with pytest.raises(TakenOver, match="has taken over this study; nothing of its was overwritten"):
        overtaken(address)
    assert read(address) == {"study.yaml": b"second"}


def test_even_without_a_lock_an_index_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    address = empty_bucket()
    with pytest.raises(TakenOver, match="another machine has gone on with this study; nothing of its was overwritten"):
        overtaken(address, monkeypatch)
    assert read(address) == {"study.yaml": b"second"}


def test_a_writer_that_is_silent_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from crushtest.files.storage import lock

    address = empty_bucket()
    with machine(), dying(4), working_copy(address) as copy:
        put({"study.yaml": b"x"}, copy.folder)
        copy.save()
    assert LOCK in content_at(address, own=True)
    later = lock._now() + lock.GONE_AFTER
    with machine():
        with pytest.raises(StoreError, match="is writing"), working_copy(address):
            pass
        monkeypatch.setattr(lock, "_now", lambda: later + lock.GONE_AFTER)
        with working_copy(address):
            pass


def test_what_another_machine_did_wins_and_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    address = empty_bucket()
    with machine() as cache:
        with working_copy(address) as copy:
            put({"study.yaml": b"1"}, copy.folder)
        with dying(2), working_copy(address) as copy:  # which never uploads its answers
            put({"study.yaml": b"1", "arms/a/answers/t.jsonl": b"mine"}, copy.folder)
            copy.save()
        put({"study.yaml": b"1", "arms/a/answers/t.jsonl": b"mine"}, copy.folder)
        with machine():
            Store(address).remove(LOCK)
            with working_copy(address) as other:
                put({"study.yaml": b"1", "arms/a/answers/t.jsonl": b"theirs"}, other.folder)
        with working_copy(address) as copy:
            assert content_of(copy.folder)["arms/a/answers/t.jsonl"] == b"theirs"
        [aside] = cache.glob("remote/*/work/study-*")
        assert content_of(aside)["arms/a/answers/t.jsonl"] == b"mine"
        assert str(aside) in capsys.readouterr().err


def test_a_cleaned_cache_deletes_nothing_at_the_address() -> None:
    address, state = empty_bucket(), {"study.yaml": b"1", "items/t.parquet": b"2"}
    with machine() as cache:
        with working_copy(address) as copy:
            put(state, copy.folder)
        (copy.folder / "items" / "t.parquet").unlink()
        with working_copy(address) as copy:
            assert content_of(copy.folder) == state
        shutil.rmtree(copy.folder)
        with working_copy(address) as copy:
            assert content_of(copy.folder) == state
        shutil.rmtree(cache / "remote")
        with working_copy(address) as copy:
            assert content_of(copy.folder) == state
    assert read(address) == state


def test_one_machine_downloads_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    address, state = empty_bucket(), {"study.yaml": b"1", "items/t.parquet": b"2"}
    with machine():
        with working_copy(address) as copy:
            put(state, copy.folder)
        for expected in ("2 files, 2 B, 0 of them", "2 files, 2 B, 0 of them"):
            with opened(str(address), writes=False) as study:
                assert content_of(study.folder) == state
            assert expected in capsys.readouterr().err
        with machine(), working_copy(address) as copy:
            put({**state, "items/t.parquet": b"3"}, copy.folder)
        with opened(str(address), writes=False) as study:
            assert content_of(study.folder)["items/t.parquet"] == b"3"
        assert "2 files, 2 B, 1 of them downloaded" in capsys.readouterr().err


def test_a_changed_object_is_refused_with_both_ways_out() -> None:
    address = empty_bucket()
    with machine():
        with working_copy(address) as copy:
            put({"study.yaml": b"12", "report.html": b"page"}, copy.folder)
        Store(address).write("report.html", b"PAGE")
        with pytest.raises(
            StoreError, match=r"report\.html is not the file that .*; restore the one that was, or remove"
        ):
            read(address)
        Store(address).remove("report.html")
        line = r"report\.html is missing, which .* lists; restore it, or remove"
        with pytest.raises(StoreError, match=line), working_copy(address):
            pass
        for name in content_at(address, own=True):
            if name.startswith(OWN):
                Store(address).remove(name)
        with working_copy(address) as copy:
            assert content_of(copy.folder) == {"study.yaml": b"12"}


def test_a_folder_copied_there_by_other_means_is_a_study() -> None:
    address = empty_bucket()
    Store(address).write("study.yaml", b"x")
    Store(address).write("items/t.parquet", b"y")
    assert read(address) == {"study.yaml": b"x", "items/t.parquet": b"y"}
    with machine(), working_copy(address) as copy:
        put({"study.yaml": b"x"}, copy.folder)
    assert content_at(address) == {"study.yaml": b"x"}


def test_other_objects_are_never_taken_for_a_study() -> None:
    address = empty_bucket()
    Store(address).write("holiday.jpg", b"x")
    with machine(), pytest.raises(StoreError, match="holds 1 object and no study"), working_copy(address):
        pass
    line = r"not a study: it has no study\.yaml \(1 other object\)"
    with machine(), pytest.raises(StoreError, match=line), opened(str(address), writes=False):
        pass
    assert content_at(address) == {"holiday.jpg": b"x"}


def test_an_upload_that_fails_is_tried_again_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every request fails once or a few times in a row; what seemed to fail may have arrived."""
    address = empty_bucket()
    told: list[str] = []
    failing = iter([True, True, False, True, False] + [False, False, True] * 200)
    with machine(), working_copy(address) as copy:
        files = copy.store._files
        arrives = {name: getattr(files, name) for name in ("pipe_file", "put_file", "cp_file", "rm_file")}

        def flaky(name: str):
            def call(*arguments: object, **options: object) -> object:
                result = arrives[name](*arguments, **options)
                if next(failing):
                    raise ConnectionError("the line is down")
                return result

            return call

        for name in arrives:
            monkeypatch.setattr(files, name, flaky(name), raising=False)
        for number in range(12):
            put({"study.yaml": b"%d" % number, f"items/{number}.parquet": b"x"}, copy.folder)
            copy.part_done(told.append)
        monkeypatch.undo()
    assert told
    assert all("not uploaded, which is tried again later" in line and "the line is down" in line for line in told)
    assert read(address) == {"study.yaml": b"11", "items/11.parquet": b"x"}


@pytest.mark.parametrize("fails", ["copy", "remove"])
def test_what_could_not_be_put_in_its_place_is_put_there_later(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """The next part has other files, whose index lists what the one before has only uploaded."""
    address, told = empty_bucket(), list[str]()

    def down(*_: object) -> None:
        raise StoreError("the line is down")

    with machine(), working_copy(address) as copy:
        put({"study.yaml": b"1", "items/0.parquet": b"0"}, copy.folder)
        copy.save()
        with monkeypatch.context() as patch:
            patch.setattr(Store, fails, down)
            put({"study.yaml": b"2", "items/1.parquet": b"1"}, copy.folder)
            copy.part_done(told.append)
        assert told == ["not uploaded, which is tried again later: the line is down"]
        put({"study.yaml": b"2", "items/1.parquet": b"1", "items/2.parquet": b"2"}, copy.folder)
        copy.part_done(told.append)
        assert read(address) == content_at(address) == content_of(copy.folder)
    assert len(told) == 1


def test_an_index_that_arrived_unnoticed_is_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the answer to its upload came back, nor could be asked whether it is there."""
    address, create, told = empty_bucket(), Store.create, list[str]()

    def unnoticed(store: Store, name: str, content: bytes) -> bool:
        create(store, name, content)
        monkeypatch.setattr(Store, "create", create)
        raise StoreError("the line is down")

    with machine(), working_copy(address) as copy:
        monkeypatch.setattr(Store, "create", unnoticed)
        for number in range(3):
            put({"study.yaml": b"%d" % number}, copy.folder)
            copy.part_done(told.append)
    assert told == ["not uploaded, which is tried again later: the line is down"]
    assert read(address) == {"study.yaml": b"2"}


def down(*arguments: object, **options: object) -> None:
    raise ConnectionError("down")


def test_an_upload_that_fails_at_the_end_names_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    address = empty_bucket()

    def cut_off() -> None:
        with working_copy(address) as copy:
            put({"study.yaml": b"1"}, copy.folder)
            monkeypatch.setattr(copy.store._files, "put_file", down, raising=False)

    with machine():
        with pytest.raises(StoreError, match=r"ConnectionError: down\); what was not uploaded is kept on this"):
            cut_off()
        with working_copy(address):
            pass
    assert read(address) == {"study.yaml": b"1"}


def test_a_link_in_the_folder_is_refused() -> None:
    with machine(), working_copy(empty_bucket()) as copy:
        (copy.folder / "items").symlink_to("/etc")
        with pytest.raises(StoreError, match="only files with plain names can"):
            copy.save()
        (copy.folder / "items").unlink()
