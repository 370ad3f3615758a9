"""In which dtype a study runs, what it says of it, and that no folder mixes two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.errors import StoreError, UsageError
from crushtest.pipeline import dtypes
from crushtest.pipeline.checked import check_study
from crushtest.pipeline.dtypes import OFFER, own_dtype, settle_dtype
from crushtest.pipeline.run import run_study
from crushtest.study.folder import StudyFolder
from crushtest.study.searched import SearchFolder
from crushtest.study.spec import StudySpec, build_spec, read_spec
from support.tiny_models import network, tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose checkpoint is in bfloat16."""
    return save(tmp_path_factory.mktemp("models") / "model", torch.bfloat16)


def save(folder: Path, dtype: torch.dtype) -> Path:
    network().to(dtype).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def spec(model: Path | str, **settings: Any) -> StudySpec:
    content = {"model": str(model), "suite": [{"probe_facts": {"limit": 3}}]}
    return build_spec(content | settings, where="test")


def on_an_accelerator(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dtypes, "default_device", lambda: "cuda")


@pytest.mark.parametrize(
    ("accelerator", "asked", "dtype"),
    [
        (False, None, "float32"),
        (False, "auto", "bfloat16"),
        (False, "float16", "float16"),
        (True, None, "bfloat16"),
        (True, "auto", "bfloat16"),
        (True, "float32", "float32"),
    ],
)
def test_on_accelerators_a_study_runs_in_the_checkpoints_own_dtype(
    model: Path, monkeypatch: pytest.MonkeyPatch, accelerator: bool, asked: str | None, dtype: str
) -> None:
    if accelerator:
        on_an_accelerator(monkeypatch)
    assert settle_dtype(spec(model, dtype=asked)).dtype == dtype


def test_a_device_that_is_named_decides_as_well(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_an_accelerator(monkeypatch)
    assert settle_dtype(spec(model, device="cpu")).dtype == "float32"
    assert settle_dtype(spec(model, device="cpu=1GB,disk")).dtype == "float32"


def test_on_a_cluster_the_workers_gpus_decide(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from crushtest.pipeline.executors.on_ray.executor import OnRay

    for gpus, dtype in ((1, "bfloat16"), (0, "float32")):
        if not gpus:
            on_an_accelerator(monkeypatch)  # of the machine that asks
        executor = OnRay("auto", gpus_per_arm=gpus, workers=None, threads=1)
        assert check_study(spec(model), tmp_path / "s", executor=executor).spec.dtype == dtype


def test_a_search_goes_on_in_the_dtype_that_it_began_with(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def opened(request: Any, *_: Any) -> None:
        asked.append(request.spec.dtype)
        raise UsageError("far enough")

    monkeypatch.setattr("crushtest.pipeline.search.opening.open_search", opened)
    run_study(spec(model, dtype="float32"), SearchFolder(tmp_path).screen.root)
    on_an_accelerator(monkeypatch)
    for out in (tmp_path, tmp_path / "another"):
        search = ["search", str(model), "--suite", "probe_facts", "--budget", "standard", "-o", str(out)]
        with pytest.raises(UsageError, match="far enough"):
            CliRunner().invoke(app, search, catch_exceptions=False)
    assert asked == ["float32", "bfloat16"]


def test_a_study_of_answers_without_a_model_asks_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    on_an_accelerator(monkeypatch)
    assert settle_dtype(spec("no/such/model/here", engine="fake")).dtype == "float32"


def test_a_checkpoint_says_its_own_dtype(model: Path, tmp_path: Path) -> None:
    assert own_dtype(str(model)) == "bfloat16"
    assert own_dtype(str(save(tmp_path / "half", torch.float16))) == "float16"
    assert own_dtype("demo") == "bfloat16"
    config = tmp_path / "half" / "config.json"
    config.write_text(
        json.dumps({key: value for key, value in json.loads(config.read_text()).items() if key != "dtype"})
    )
    assert own_dtype(str(tmp_path / "half")) == "float32"


def test_repeats_of_an_auto_study_on_a_cpu_are_measured_against_float32(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vary(**settings: Any) -> tuple[str, ...]:
        return settle_dtype(spec(model, **{"noise_floor": 2, "dtype": "auto"} | settings)).noise_floor.vary

    assert vary() == ("dtype=float32",)
    assert vary(noise_floor={"repeats": 2, "vary": ["threads=1"]}) == ("threads=1",)
    assert vary(noise_floor=0) == ()
    assert vary(dtype="bfloat16") == ()  # a study of its own asking repeats as it runs
    on_an_accelerator(monkeypatch)
    assert vary() == ()


@pytest.mark.usefixtures("no_page")
def test_repeats_that_come_later_are_measured_against_float32_too(model: Path, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    run_study(spec(model, dtype="auto"), folder.root)

    def vary(**settings: Any) -> tuple[str, ...]:
        return settle_dtype(spec(model, noise_floor=1, **settings), folder).noise_floor.vary

    assert vary() == vary(dtype="auto") == ("dtype=float32",)
    assert vary(dtype="bfloat16") == ()
    run_study(spec(model, noise_floor={"repeats": 1, "vary": []}), folder.root)
    assert settle_dtype(spec(model, noise_floor=2), folder).noise_floor.vary == ()  # the first repeat is as it ran


def test_what_ran_is_in_the_folder_and_on_the_page(model: Path, tmp_path: Path) -> None:
    run_study(spec(model, dtype="auto", noise_floor=1), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    stored = read_spec(folder.specification)
    assert (stored.dtype, stored.noise_floor.vary) == ("bfloat16", ("dtype=float32",))
    noted = json.loads(folder.manifest.read_text())
    assert noted["arms"]["dense"]["model"]["dtype"] == "bfloat16"
    assert noted["repeats"]["dense"]["1"]["model"]["dtype"] == "float32"
    assert "model: dtype" in folder.report.read_text()
    # The same command, and one that leaves the dtype to the folder, find nothing left to do.
    assert not run_study(spec(model, dtype="auto", noise_floor=1), tmp_path / "s")
    assert not run_study(spec(model), tmp_path / "s")


@pytest.mark.usefixtures("no_page")
def test_a_folder_keeps_the_dtype_that_it_began_with(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(spec(model), tmp_path / "s")
    with pytest.raises(StoreError, match="a study with dtype='float32', this one has dtype='bfloat16'"):
        run_study(spec(model, dtype="auto"), tmp_path / "s")
    on_an_accelerator(monkeypatch)  # another machine, on which a new study would be in bfloat16
    assert settle_dtype(spec(model), StudyFolder(tmp_path / "s")).dtype == "float32"


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    ("settings", "instructions", "offered"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"dtype": "float32"}, True, False),
        ({"dtype": "auto"}, True, False),
        ({"engine": "fake"}, True, False),
    ],
)
def test_bfloat16_is_offered_once_and_only_where_it_helps(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    instructions: bool,
    offered: bool,
) -> None:
    monkeypatch.setattr(dtypes, "computes_in_bfloat16", lambda: instructions)
    run_study(spec(model, **settings), tmp_path / "s")
    assert (OFFER in capsys.readouterr().err.splitlines()) is offered
    if offered:  # what goes on keeps what it began with
        run_study(spec(model, **settings, suite="probe_facts,probe_qa", limit=3), tmp_path / "s")
        assert OFFER not in capsys.readouterr().err


@pytest.mark.usefixtures("no_page")
def test_a_model_of_another_dtype_is_offered_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dtypes, "computes_in_bfloat16", lambda: True)
    run_study(spec(save(tmp_path / "whole", torch.float32)), tmp_path / "s")
    assert OFFER not in capsys.readouterr().err


@pytest.mark.parametrize("vary", ["dtype=auto", "dtype=float64"])
def test_a_repeat_names_a_dtype(model: Path, tmp_path: Path, vary: str) -> None:
    with pytest.raises(UsageError, match=r"unknown dtype .*allowed: bfloat16, float16, float32"):
        run_study(spec(model, noise_floor={"repeats": 1, "vary": [vary]}), tmp_path / "s")


@pytest.mark.gpu
def test_a_gpu_runs_the_checkpoints_own_dtype(model: Path, tmp_path: Path) -> None:
    run_study(spec(model), tmp_path / "s")
    facts = json.loads(StudyFolder(tmp_path / "s").manifest.read_text())["arms"]["dense"]["model"]
    assert (facts["dtype"], facts["device"]) == ("bfloat16", "cuda:0")
