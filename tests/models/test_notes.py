"""What is emulated, and what is left out, stands in the note of a loaded model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from crushtest.models.gguf_header import GgufHeader, StoredTensor
from crushtest.models.load import load_model
from crushtest.models.notes import gguf_note
from support.quantized_folders import Parts, random_scales, write_folder

pytestmark = pytest.mark.filterwarnings("ignore")  # compressed-tensors warns of its own code


def scheme(bits: int, kind: str, strategy: str, *, dynamic: bool = False) -> dict[str, Any]:
    return {"num_bits": bits, "type": kind, "symmetric": True, "strategy": strategy, "dynamic": dynamic}


def config(name: str, weights: dict[str, Any], activations: dict[str, Any] | None, cache: Any = None) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": name,
            "quantization_status": "compressed",
            "ignore": ["lm_head"],
            "kv_cache_scheme": cache,
            "config_groups": {"group_0": group},
        }
    }


def eight_bits(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    codes = (weight * 20).round().clamp(-127, 127).to(torch.int8)
    scale = random_scales(len(weight), 1, dtype=torch.float32)
    return {"weight": codes, "weight_scale": scale}, codes.float() * scale


def float8(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    codes, scale = weight.to(torch.float8_e4m3fn), random_scales(len(weight), 1, dtype=torch.float32)
    return {"weight": codes, "weight_scale": scale}, codes.float() * scale


INT8 = config("int-quantized", scheme(8, "int", "channel"), scheme(8, "int", "token", dynamic=True))
FP8 = config("float-quantized", scheme(8, "float", "channel"), scheme(8, "float", "token", dynamic=True))


@pytest.mark.parametrize(("quantize", "settings", "kind"), [(eight_bits, INT8, "INT8"), (float8, FP8, "FP8")])
def test_rounded_activations_are_emulated_and_said_to_be(
    tmp_path: Path, quantize: Any, settings: dict[str, Any], kind: str
) -> None:
    meant = write_folder(tmp_path / "rounded", quantize, settings)
    model = load_model(str(tmp_path / "rounded"), device="cpu")
    assert f"activations rounded to {kind} in floating point (emulated)" in model.facts["note"]
    ids = torch.arange(2, 30)[None]
    rounded = model.network(ids).logits
    state = model.network.state_dict()
    assert all(torch.equal(state[name].float(), weight) for name, weight in meant.items())

    write_folder(tmp_path / "plain", None, {})
    save_file(meant, tmp_path / "plain" / "model.safetensors", metadata={"format": "pt"})
    assert not torch.equal(rounded, load_model(str(tmp_path / "plain"), device="cpu").network(ids).logits)


def test_a_cache_that_is_not_rounded_is_said_not_to_be(tmp_path: Path) -> None:
    cached = config("float-quantized", scheme(8, "float", "channel"), None, scheme(8, "float", "tensor"))
    write_folder(tmp_path, float8, cached)
    path = tmp_path / "model.safetensors"
    scales = {f"model.layers.{n}.self_attn.{part}_scale": torch.tensor([0.001]) for n in range(3) for part in "kv"}
    save_file(load_file(path) | scales, path, metadata={"format": "pt"})
    note = load_model(str(tmp_path), device="cpu").facts["note"]
    assert "the KV cache is not rounded to FP8 as a deployment does" in note
    assert "the scales of the KV cache are not used" in note
    assert "emulated" not in note


def test_activations_of_a_quantized_gguf_file_are_said_to_stay() -> None:
    def note(kind: str) -> str:
        return gguf_note(
            GgufHeader("llama", "", True, (StoredTensor("a", kind, 64, 64), StoredTensor("b", "F32", 8, 32)))
        )

    assert note("Q4_K") == (
        "GGUF Q4_K weights, dequantized; llama.cpp also rounds activations to 8 bits, which is not done here"
    )
    assert note("F16") == "GGUF F16 weights"
