"""SIGKILL at random moments, between two uploads among them: nothing at the address is ever lost, doubled or half."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from crushtest.files.storage.address import Address, parse_storage_address
from crushtest.files.storage.index import OWN, STAGED
from crushtest.files.storage.lock import LOCK
from crushtest.files.storage.store import Store
from crushtest.pipeline.remote.opened import opened
from crushtest.pipeline.run import run_study
from crushtest.study.chain import problems
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import read_spec
from support.empty_page import leave_out_pages
from support.object_store import content_at, content_of, s3_on_loopback

KILLS = 24
STUDY = """
model: fake
engine: fake:delay_s=0.02
arms: [{name: other, model: fake, engine: 'fake:seed=1,delay_s=0.02'}]
suite: [{probe_facts: {limit: 150}}, {probe_text: {limit: 40}}, {probe_prompts: {limit: 100}}]
"""
HURRIED = """
import sys, time
from crushtest.pipeline import run
from crushtest.pipeline.remote import working_copy
from crushtest.files.storage.store import Store
from crushtest.cli.app import main

def slowly(method):
    def call(*arguments, **options):
        time.sleep(0.04)
        return method(*arguments, **options)
    return call

def no_page(folder):
    folder.report.write_text("")
    folder.outdated.unlink(missing_ok=True)
    return folder.report

run.write_page = no_page
working_copy.EVERY_S, working_copy.SHARE = 0.1, 1e9
for name in ("upload", "copy", "remove", "create"):
    setattr(Store, name, slowly(getattr(Store, name)))
sys.argv = ["crushtest", "run", "--study", "study.yaml", "--out", sys.argv[1]]
main()
"""
"""A run that uploads all the time, and takes as long for a request as a far store does."""
CALM = HURRIED.replace("working_copy.EVERY_S, working_copy.SHARE = 0.1, 1e9", "")
"""One that uploads as often as it does by itself."""


def answered(address: Address) -> dict[str, list[str]]:
    """The items that each log at the address holds, as a reader on another machine sees it, which must be whole."""
    with opened(str(address), writes=False) as study:
        folder = StudyFolder(study.folder)
        assert not [line for line in problems(folder) if "is missing: `crushtest run`" not in line]
        logs: dict[str, list[str]] = {}
        for path in study.folder.glob("arms/*/answers/*.jsonl"):
            logs[path.stem + path.parts[-3]] = [json.loads(line)["item"] for line in path.read_text().splitlines()[1:]]
        for path in study.folder.glob("arms/*/answers/*.parquet"):
            logs[path.stem + path.parts[-3]] = folder.items_table(path.stem)["item"].to_list()
    assert all(len(items) == len(set(items)) for items in logs.values())
    return logs


def is_uploading(store: Store) -> bool:
    """Whether content waits to be under its own name."""
    return any(name.startswith(STAGED) for name in store.sizes(OWN))


@pytest.mark.parametrize("moment", ["begins", "asks"])
def test_sigterm_lets_the_lock_at_an_address_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY.replace("0.02", "0.5"))
    with s3_on_loopback() as environment:
        for name, value in (environment | {"CRUSHTEST_CACHE": str(tmp_path / "cache")}).items():
            monkeypatch.setenv(name, value)
        import fsspec

        fsspec.filesystem("s3", skip_instance_cache=True).makedirs("tests", exist_ok=True)
        store = Store(parse_storage_address(address := f"s3://tests/{moment}/study"))
        command = [sys.executable, "-m", "crushtest", "run", "--study", "study.yaml", "--out", address]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            if moment == "asks":
                assert any("probe_facts: 150 to do" in line for line in process.stderr)
            while store.read(LOCK) is None and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=120)[1]
        assert process.returncode == 128 + signal.SIGTERM, said
        assert said.splitlines()[-1] == "crushtest: interrupted; the same command resumes from here"
        assert store.read(LOCK) is None


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, where = random.Random(23), Counter[str]()
    leave_out_pages(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    run_study(read_spec(tmp_path / "study.yaml"), tmp_path / "whole")
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "reader"))
    with s3_on_loopback() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        import fsspec

        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("tests")
        address, before = parse_storage_address("s3://tests/killed/study"), dict[str, list[str]]()
        store, machine, kills, finished = Store(address), 0, 0, False
        while not finished:
            if elsewhere := chance.random() < 0.5:
                machine += 1
                store.remove(LOCK)
            command = [sys.executable, "-c", HURRIED if kills < KILLS else CALM, str(address)]
            cache = {**os.environ, "CRUSHTEST_CACHE": str(tmp_path / f"machine{machine}")}
            held, wait_s = store.read(LOCK), chance.uniform(0, 4)
            with (tmp_path / "log").open("a") as log, subprocess.Popen(command, env=cache, stderr=log) as process:
                while store.read(LOCK) == held and process.poll() is None:
                    time.sleep(0.05)
                if kills < KILLS:
                    time.sleep(wait_s)
                    while kills % 2 and not is_uploading(store) and process.poll() is None:
                        time.sleep(0.02)
                    process.kill()
                finished = process.wait() == 0
            assert finished or process.returncode == -9, (tmp_path / "log").read_text()[-2000:]
            kills += not finished
            where["between two uploads"] += not finished and is_uploading(store)
            where["goes on elsewhere"] += elsewhere
            now = answered(address) if "study.yaml" in content_at(address) else {}
            assert all(set(items) <= set(now.get(log, ())) for log, items in before.items())
            before = now
    # (the server's content is gone with it, so this is what the last reader was given)
    [copy] = (tmp_path / "reader").glob("remote/*/read/study")
    whole, there = content_of(tmp_path / "whole"), content_of(copy)
    assert there.keys() == whole.keys()
    assert all(there[name] == whole[name] for name in whole if name != "manifest.json")
    print(f"{kills} kills: {dict(where)}")
