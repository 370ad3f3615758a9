"""Commands at an address, against a real server: run, killed, resumed elsewhere, read, judged."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crushtest.cli.app import app
from crushtest.errors import CrushtestError, StoreError
from crushtest.files.storage.address import parse_storage_address
from crushtest.files.storage.index import read_index
from crushtest.files.storage.lock import LOCK
from crushtest.files.storage.store import Store
from crushtest.models import copies
from crushtest.pipeline.tracking import TRACKERS
from support.cut_line import CutLine
from support.empty_page import leave_out_pages
from support.held_run import held_run
from support.object_store import content_at, content_of, s3_on_loopback

STUDY = """
model: fake
engine: fake:delay_s=0.02
arms: [{name: other, model: fake, engine: 'fake:seed=1,delay_s=0.02'}]
suite: [{probe_facts: {limit: 30}}]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3_on_loopback() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        import fsspec

        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("tests")
        yield environment


@pytest.fixture
def s3(server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An address where nothing is yet, and a machine that can reach it. Studies end with empty pages."""
    leave_out_pages(monkeypatch)
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)
    return f"s3://tests/{request.node.name}/study"


def crushtest(*arguments: str) -> Result:
    """Run a command in this process. Its outputs never hold a secret, and never a traceback."""
    result = CliRunner().invoke(app, arguments)
    assert "a-secret-of-tests" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit | CrushtestError), result.exc_info
    return result


def tables(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in content.items() if name.endswith((".parquet", ".yaml"))}


def killed_when(address: str, suffix: str, cache: Path) -> None:
    """Run the study in another process up to its last answers, and kill it once a file with this suffix is there."""
    store = Store(parse_storage_address(address))
    with held_run(Path("study.yaml"), address, answers=55, CRUSHTEST_CACHE=str(cache)) as process:
        while not any(name.endswith(suffix) for name in getattr(read_index(store), "files", ())):
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_a_study_at_an_address_from_a_kill_to_a_verdict(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = s3.replace("/study", "/verdict")
    killed_when(s3, "answers/probe_facts.parquet", tmp_path / "killed")
    told = crushtest("run", "--study", "study.yaml", "--out", s3)
    assert "is writing to this study" in str(told.exception)
    Store(parse_storage_address(s3)).remove(LOCK)
    resumed = crushtest("run", "--study", "study.yaml", "--out", s3)
    assert resumed.exit_code == 0
    assert f"downloaded; working copy in {os.environ['CRUSHTEST_CACHE']}" in resumed.stderr
    assert "dense · probe_facts" not in resumed.stderr  # the first machine's answers
    crushtest("run", "--study", "study.yaml", "--out", "local")
    remote = content_at(parse_storage_address(s3))
    assert re.search(rf"{s3}: {len(remote)} files, [\d.]+ .B, all uploaded\n", resumed.stderr)
    assert tables(remote) == tables(content_of(tmp_path / "local"))
    for command in ("verify", "card", "compare", "report"):
        assert crushtest(command, s3).exit_code == 0
    assert f"[Report]({s3}/report.html)" in crushtest("report", s3, "--summary").stdout
    assert crushtest("gate", s3).exit_code == crushtest("gate", "local").exit_code
    assert crushtest("query", s3, "SELECT count(*) FROM answers").stdout == "count_star()\n60\n"
    crushtest("items", "probe_facts", "--study", s3, "-o", "there.jsonl")
    crushtest("items", "probe_facts", "--study", "local", "-o", "here.jsonl")
    assert Path("there.jsonl").read_bytes() == Path("here.jsonl").read_bytes()
    monkeypatch.setitem(TRACKERS, "wandb", lambda arms, project: [f"{project}/{arm.study}" for arm in arms])
    assert crushtest("track", s3, "--to", "wandb").stdout == "other: crushtest/verdict\n"
    assert "cards/other.md" in content_at(parse_storage_address(s3))
    assert not (tmp_path / "s3:").exists()


def test_a_dry_run_writes_nothing_to_an_address(s3: str) -> None:
    store = Store(parse_storage_address(s3))
    asked = ["evaluate", "fake", "--engine", "fake", "--suite", "probe_facts", "-o", s3]
    assert crushtest(*asked, "--dry-run").exit_code == 0
    assert not store.sizes()
    assert crushtest(*asked).exit_code == 0
    before = store.sizes()
    dry = crushtest(*asked, "--dry-run")
    assert dry.exit_code == 0
    assert f"{s3}: every arm has answered every item" in dry.stdout
    assert store.sizes() == before


def test_a_damaged_object_is_named_by_its_address(s3: str) -> None:
    assert crushtest("evaluate", "fake", "--engine", "fake", "--suite", "probe_facts", "-o", s3).exit_code == 0
    store = Store(parse_storage_address(s3))
    name = "arms/dense/answers/probe_facts.parquet"
    store.write(name, (store.read(name) or b"")[:-1] + b"?")
    assert f"{s3}/{name} is not the file that {s3}/.crushtest/index" in str(crushtest("verify", s3).exception)
    for own in store.sizes(".crushtest"):
        store.remove(own)
    verified = crushtest("verify", s3)  # now it is a folder without an index, and its own seals tell
    assert verified.exit_code == 1
    assert f"{s3}/{name}" in verified.stdout


def test_the_server_itself_lets_an_object_be_created_once(s3: str) -> None:
    """Two machines that both found no object there: the condition goes with the request."""
    first, second = (Store(parse_storage_address(s3)) for _ in range(2))
    for store in (first, second):
        store._files.exists = lambda path: False
    assert first.create("index", b"first")
    assert not second.create("index", b"second")
    assert first.read("index") == b"first"


def test_a_model_is_copied_from_the_server(s3: str, tmp_path: Path) -> None:
    store = Store(parse_storage_address(s3))
    template = "additional_chat_templates/tool_use.jinja"
    files = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{}", template: b"{{ messages }}"}
    files["model.safetensors"] = (2).to_bytes(8, "little") + b"{}"
    for name, content in {**files, "pytorch_model.bin": b"pickled", "onnx/config.json": b"{}"}.items():
        store.write(name, content)
    copied = copies.fetch(s3)
    assert content_of(copied.folder) == files
    assert copies.fetch(s3) == copied
    store.write("config.json", b'{"model_type": "gpt2"}  ')
    assert copies.fetch(s3).folder != copied.folder
    assert len(list((tmp_path / "cache").glob("models/copies/*/*.json"))) == 2


def test_a_download_that_has_begun_can_be_ended(s3: str, tmp_path: Path) -> None:
    store = Store(parse_storage_address(s3))
    store.write("large", bytes(2**21))
    pieces: list[int] = []

    def received(count: int) -> None:
        pieces.append(count)
        raise InterruptedError("it is enough")

    with pytest.raises(StoreError, match=r"large could not be read .*it is enough"):
        store.download("large", tmp_path / "large", received=received)
    assert 0 < sum(pieces) < 2**21


@pytest.mark.parametrize("command", ["run", "gate"])
def test_a_bucket_that_is_not_there_is_one_line(s3: str, command: str) -> None:
    address = "s3://nowhere-at-all/study"
    more = ["--study", "study.yaml", "--out", address] if command == "run" else [address]
    assert "The specified bucket does not exist" in str(crushtest(command, *more).exception)


def test_an_address_where_nothing_is_is_no_study(s3: str) -> None:
    assert f"{s3} is not a study: it has no study.yaml" in str(crushtest("gate", s3).exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "fake", "--budget", "standard", "--out", "s3://tests/x"],
        ["report", "study", "--tables", "s3://tests/x"],
        ["run", "--study", "s3://tests/x"],
        ["label", "s3://tests/x"],
        ["locate", "s3://tests/x", "--arm", "other"],
        ["items", "probe_qa", "-o", "s3://tests/x"],
        ["compress", "demo", "-r", "rtn:bits=4", "-o", "s3://tests/x"],
    ],
)
def test_other_paths_are_of_this_machine(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is a path of this machine here (got s3://tests/x)" in str(crushtest(*arguments).exception)
    assert not list(tmp_path.iterdir())


def test_a_line_cut_during_an_upload_is_one_line(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with CutLine(os.environ["AWS_ENDPOINT_URL"]) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.address)
        line.cut_after(40_000)  # in the middle of the first part
        failed = crushtest("run", "--study", "study.yaml", "--out", s3)
        assert "not uploaded, which is tried again later" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert f"{s3}/.crushtest could not be listed (" in str(failed.exception)
        assert "the same command uploads it" in str(failed.exception)
        assert line.was_cut
        line.mend()
        assert crushtest("run", "--study", "study.yaml", "--out", s3).exit_code == 0
        assert crushtest("verify", s3).exit_code == 0
