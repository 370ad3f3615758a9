"""Weights that wait on disk or in the host's memory give the very model that weights in memory give."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from crushtest.compress import compress
from crushtest.compress.calibration import Calibration, calibration_tokens
from crushtest.compress.layers.offload import OnDisk
from crushtest.compress.layers.structure import find_structure
from crushtest.compress.recipes import parse_recipe
from crushtest.compress.to_folder import compress_and_save
from crushtest.errors import CompressionError, CrushtestError, ModelError, UsageError
from crushtest.models.options import ModelOptions
from crushtest.models.skeleton import load_skeleton
from support.tiny_models import network, tokenizer


def dense(folder: Path, kind: str = "llama", dtype: torch.dtype = torch.float32, **settings: Any) -> Path:
    """A small model in several files."""
    made = network(kind, **settings).to(dtype)
    made.save_pretrained(folder, max_shard_size="100KB")
    tokenizer().save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def compressed(model: Path, recipe: str, out: Path, offload: str, dtype: str = "float32") -> dict[str, Any]:
    options, calibration = ModelOptions(dtype, "cpu"), Calibration(sequences=4, length=32)
    compress_and_save(str(model), recipe, out, options=options, calibration=calibration, offload=offload)
    about: dict[str, Any] = json.loads((out / "compression.json").read_text())
    return about


def tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert torch.equal(tensor, theirs[name]), name
    config = [json.loads((folder / "config.json").read_text()) for folder in (one, other)]
    assert config[0] == config[1]


@pytest.mark.parametrize("offload", ["cpu", "disk"])
@pytest.mark.parametrize(
    "recipe",
    [
        "magnitude:sparsity=0.5",
        "wanda:pattern=2:4",
        "sparsegpt:sparsity=0.5,layers=layers.1.*",
        "awq:group_size=16",
        "wanda:sparsity=0.5+gptq:bits=4,group_size=16",
        "rtn:bits=4,group_size=16,layers=*mlp*+gptq:bits=4,group_size=16,skip=*mlp*",
        "rtn:bits=8,group_size=16,layers=*mlp*+rtn:bits=4,group_size=32,skip=*mlp*",
    ],
)
def test_offload_gives_the_same_bytes(recipe: str, offload: str, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    model = dense(tmp_path / "dense")
    whole = compressed(model, recipe, tmp_path / "whole", "none")
    other = compressed(model, recipe, tmp_path / "other", offload)
    assert_same(tmp_path / "whole", tmp_path / "other")
    assert whole["layers"] == other["layers"]
    assert whole["totals"] == other["totals"]
    assert whole["untouched"] == other["untouched"]
    assert whole["saved"]["format"] == other["saved"]["format"]


@pytest.mark.parametrize("kind", ["qwen2", "gpt2", "gpt_neox", "gemma2", "phi"])
def test_offload_knows_other_decoders(kind: str, tmp_path: Path) -> None:
    model = dense(tmp_path / "dense", kind)
    for offload in ("none", "disk"):
        compressed(model, "wanda:sparsity=0.5", tmp_path / offload, offload)
    assert_same(tmp_path / "none", tmp_path / "disk")


@pytest.mark.parametrize("dtype", ["bfloat16", "auto"])
def test_half_precision_and_tied_weights_stay_what_they_are(dtype: str, tmp_path: Path) -> None:
    model = dense(tmp_path / "dense", dtype=torch.bfloat16, tie_word_embeddings=True)
    for offload in ("none", "cpu", "disk"):
        compressed(model, "wanda:sparsity=0.5", tmp_path / offload, offload, dtype)
    assert {tensor.dtype for tensor in tensors(tmp_path / "disk").values()} == {torch.bfloat16}
    assert_same(tmp_path / "none", tmp_path / "disk")
    assert "lm_head.weight" not in tensors(tmp_path / "disk")


def test_what_was_offloaded_loads_and_says_the_same(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = dense(tmp_path / "dense")
    ids = torch.arange(20).unsqueeze(0)
    logits = []
    for offload in ("none", "disk"):
        compressed(model, "gptq:group_size=16,symmetric=true", tmp_path / offload, offload)
        with torch.no_grad():
            logits.append(AutoModelForCausalLM.from_pretrained(tmp_path / offload)(ids).logits)
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)


def test_one_block_at_most_is_in_memory(tmp_path: Path) -> None:
    skeleton = load_skeleton(str(dense(tmp_path / "dense")))
    structure = find_structure(skeleton.network)
    (tmp_path / "scratch").mkdir()
    residence = OnDisk(skeleton, structure, tmp_path / "scratch", torch.device("cpu"))
    held: list[int] = []

    def note(*_: Any) -> None:
        held.append(sum(any(not p.is_meta for p in block.parameters()) for block in structure.blocks))

    for block in structure.blocks:
        block.register_forward_hook(note)
    tokens = calibration_tokens(Calibration(sequences=2, length=32), skeleton.tokenizer)
    compress(skeleton, parse_recipe("wanda+rtn:group_size=16"), tokens, residence=residence)
    assert max(held) == 1
    assert all(parameter.is_meta for block in structure.blocks for parameter in block.parameters())


@pytest.mark.parametrize(
    ("recipe", "offload", "said"),
    [
        ("wanda", "dsk", "did you mean 'disk'"),
        ("gblm", "disk", "its gradients run through the whole model"),
        ("int8", "cpu", "exchanges layers"),
        ("magnitude:scope=global", "disk", "all layers at once"),
    ],
)
def test_what_cannot_be_offloaded_is_refused(recipe: str, offload: str, said: str, tmp_path: Path) -> None:
    model = dense(tmp_path / "dense")
    with pytest.raises(UsageError, match=said):
        compressed(model, recipe, tmp_path / "out", offload)
    assert not (tmp_path / "out").exists()


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    model = dense(tmp_path / "dense")
    index = model / "model.safetensors.index.json"
    lost = tensors(model)
    for path in model.glob("*.safetensors"):
        path.unlink()
    index.unlink()
    from safetensors.torch import save_file

    del lost["model.layers.1.mlp.up_proj.weight"]
    save_file(lost, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 tensors missing, first model\.layers\.1\.mlp\.up_proj\.weight"):
        compressed(model, "wanda", tmp_path / "out", "disk")
    assert not (tmp_path / "out").exists()


def test_every_file_can_be_read_by_the_same_people(tmp_path: Path) -> None:
    compressed(dense(tmp_path / "dense"), "rtn:group_size=channel", tmp_path / "out", "disk")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}


def test_a_full_disk_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    model = dense(tmp_path / "dense")
    write, written = safetensors.torch.save_file, []

    def write_some(tensors: Any, path: Path, **options: Any) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        write(tensors, path, **options)

    monkeypatch.setattr(safetensors.torch, "save_file", write_some)
    with pytest.raises(CompressionError, match="No space left"):
        compressed(model, "wanda", tmp_path / "out", "disk")
    assert [path.name for path in tmp_path.iterdir()] == ["dense"]


@pytest.mark.parametrize(
    ("recipe", "calibration", "said"),
    [
        ("rtn:group_size=16", "pydoc", "needs the package compressed-tensors"),
        ("wanda", "short.txt", "tokens are 0 sequences of 32"),
        ("wanda", "latin.txt", "is not UTF-8 text"),
        ("wanda", "bad.jsonl", "needs a string `text`"),
    ],
)
def test_what_can_be_known_is_said_before_the_model_is_loaded(
    recipe: str, calibration: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "bad.jsonl").write_text('{"prompt": "no text"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "compressed_tensors", None)
    model = dense(tmp_path / "dense")
    monkeypatch.setattr("crushtest.models.load.load_model", lambda *_, **__: pytest.fail("the model was loaded"))
    text = Calibration(calibration, sequences=4, length=32)
    with pytest.raises(CrushtestError, match=said):
        compress_and_save(str(model), recipe, tmp_path / "o", options=ModelOptions(), calibration=text)
