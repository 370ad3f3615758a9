"""How much an arm runs at once is recorded and kept, and halved where memory runs out; no answer is lost or halved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from crushtest.engines.hf import model as hf_model
from crushtest.engines.hf.model import HfModel
from crushtest.engines.hf.sizes import Asked, Sizes
from crushtest.errors import EngineError
from crushtest.models.free_memory import free_bytes
from crushtest.models.memory import is_out_of_memory
from crushtest.pipeline.run import run_study
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import StudySpec, build_spec
from support.tiny_models import saved_model

USUAL = Sizes(2048, 64, 2**29 // 768)
OUT_OF_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9000000000 bytes"


pytestmark = pytest.mark.usefixtures("no_page")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("models") / "model")


def spec(model: Path, suite: str = "probe_facts", limit: int = 12, **settings: Any) -> StudySpec:
    content = {"model": str(model), "suite": [{suite: {"limit": limit}}], "dtype": "float32", "device": "cpu"}
    return build_spec(content | settings, where="test")


def noted(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(StudyFolder(folder).manifest.read_text())
    return content


def sizes_of(folder: Path, arm: str = "dense") -> Sizes:
    return Sizes(**noted(folder)["arms"][arm]["engine"]["sizes"])


def answers(folder: Path, task: str = "probe_facts") -> pl.DataFrame:
    return pl.read_parquet(folder / "arms" / "dense" / "answers" / f"{task}.parquet").sort("item")


def fitting(patch: pytest.MonkeyPatch, sizes: Sizes) -> None:
    """Let memory decide on these sizes."""

    def fit(network: Any, asked: Asked, **_: Any) -> Sizes:
        return Sizes(*(wanted or fitted for wanted, fitted in zip(asked, sizes, strict=True)))

    patch.setattr(hf_model, "fit_sizes", fit)


def failing(patch: pytest.MonkeyPatch, *, above: int, after: int = 1, error: str = OUT_OF_MEMORY) -> None:
    """Raise an error in packs of more than `above` tokens once `after` questions are answered."""
    score = HfModel.score

    def checked(self: HfModel, groups: Any, done: Any) -> Any:
        for number, scored in enumerate(score(self, groups, done)):
            if self.packed.size > above and number == after:
                raise RuntimeError(error)
            yield scored

    patch.setattr(HfModel, "score", checked)


def test_what_is_run_at_once_is_the_usual_and_recorded(model: Path, tmp_path: Path) -> None:
    run_study(spec(model), tmp_path / "s")
    assert sizes_of(tmp_path / "s") == USUAL


def test_sizes_are_kept_by_what_goes_on_and_by_other_arms(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting(monkeypatch, Sizes(96, 5, 4000))
    run_study(spec(model, limit=4), tmp_path / "s")
    fitting(monkeypatch, Sizes(4096, 128, 10**6))  # memory that became free since
    run_study(spec(model, limit=12, arms=["magnitude:sparsity=0.3"], noise_floor=1), tmp_path / "s")
    for arm in ("dense", "magnitude:sparsity=0.3"):
        assert sizes_of(tmp_path / "s", arm) == Sizes(96, 5, 4000)
    assert noted(tmp_path / "s")["repeats"]["dense"]["1"]["engine"]["sizes"]["pack_tokens"] == 512


def test_what_is_cut_is_counted_once_although_memory_ran_out(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = property(lambda model: 18, lambda model, context: None)
    monkeypatch.setattr(HfModel, "context", short, raising=False)
    fitting(monkeypatch, Sizes(64, 8, 4000))
    run_study(spec(model), tmp_path / "enough")
    failing(monkeypatch, above=32, after=3)
    run_study(spec(model), tmp_path / "s")
    assert "halved" in noted(tmp_path / "s")["arms"]["dense"]
    assert noted(tmp_path / "enough")["truncated"]["dense"]["probe_facts"] > 0
    assert noted(tmp_path / "s")["truncated"] == noted(tmp_path / "enough")["truncated"]


def test_a_study_that_recorded_no_sizes_goes_on_with_the_usual(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.older_study import untie

    run_study(spec(model, limit=4), tmp_path / "s")
    untie(tmp_path / "s")
    path = StudyFolder(tmp_path / "s").manifest
    content = json.loads(path.read_text())
    del content["arms"]["dense"]["engine"]["sizes"]
    path.write_text(json.dumps(content))
    fitting(monkeypatch, Sizes(4096, 128, 10**6))
    run_study(spec(model, limit=12), tmp_path / "s")
    assert sizes_of(tmp_path / "s")[:2] == USUAL[:2]


def test_where_memory_runs_out_packs_are_halved_once_and_that_is_said(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_study(spec(model), tmp_path / "enough")
    fitting(monkeypatch, Sizes(64, 8, 4000))
    failing(monkeypatch, above=32, after=3)
    run_study(spec(model), tmp_path / "s")
    assert sizes_of(tmp_path / "s") == Sizes(32, 8, 4000)
    (halving,) = noted(tmp_path / "s")["arms"]["dense"]["halved"]
    assert halving["task"] == "probe_facts"
    assert halving["from"]["pack_tokens"] == 64
    assert 0 < halving["answered"] < 12
    says = "dense · probe_facts: out of memory with pack_tokens=64, batch_size=8, batch_tokens=4000; goes on with "
    assert f"{says}pack_tokens=32, batch_size=8, batch_tokens=4000" in capsys.readouterr().err
    whole, after = answers(tmp_path / "enough"), answers(tmp_path / "s")
    assert after["item"].to_list() == whole["item"].to_list()
    for one, other in zip(after["logprobs"], whole["logprobs"], strict=True):
        assert one.to_list() == pytest.approx(other.to_list(), abs=1e-4)


def test_a_second_time_is_one_line_and_the_same_command_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting(monkeypatch, Sizes(128, 8, 4000))
    with monkeypatch.context() as patch:
        failing(patch, above=32)
        says = r"arm 'dense': probe_facts: out of memory again \(.*allocate 9000000000 bytes\) with pack_tokens=64, .*"
        with pytest.raises(EngineError, match=f"{says}what was answered is kept.*--engine hf:pack_tokens=512"):
            run_study(spec(model), tmp_path / "s")
        assert sizes_of(tmp_path / "s").pack_tokens == 64
        run_study(spec(model), tmp_path / "s")
    assert sizes_of(tmp_path / "s").pack_tokens == 32
    assert [each["from"]["pack_tokens"] for each in noted(tmp_path / "s")["arms"]["dense"]["halved"]] == [128, 64]
    assert len(answers(tmp_path / "s")) == 12


def test_prompts_are_read_again_in_smaller_batches(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(spec(model, "probe_prompts"), tmp_path / "enough")
    fitting(monkeypatch, Sizes(2048, 8, 10**6))
    continued = HfModel.continue_batch

    def checked(self: HfModel, prompts: Any, texts: Any, sampling: Any) -> Any:
        for number, done in enumerate(continued(self, prompts, texts, sampling)):
            if len(prompts) > 4 and number == 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            yield done

    monkeypatch.setattr(HfModel, "continue_batch", checked)
    run_study(spec(model, "probe_prompts"), tmp_path / "s")
    assert sizes_of(tmp_path / "s") == Sizes(1024, 4, 5 * 10**5)
    after, whole = (answers(tmp_path / name, "probe_prompts") for name in ("s", "enough"))
    assert after["item"].to_list() == whole["item"].to_list()
    assert after["text"].to_list() == whole["text"].to_list()


def test_other_errors_are_not_taken_for_a_want_of_memory(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, above=0, error="mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run_study(spec(model), tmp_path / "s")
    assert not is_out_of_memory(RuntimeError("mat1 and mat2"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(f"[enforce fail at alloc_cpu.cpp:124] err == 0. {OUT_OF_MEMORY}"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        MemoryError(),
    ],
)
def test_every_allocator_is_understood(error: BaseException) -> None:
    assert is_out_of_memory(error)


def test_torchs_own_cpu_allocator_is_understood() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


@pytest.mark.gpu
def test_a_gpus_allocator_is_understood() -> None:
    free = free_bytes("cuda:0")
    assert free is not None
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2 * free, dtype=torch.uint8, device="cuda:0")
    assert is_out_of_memory(raised.value)
