"""Formats that other packages read stand for the weights of their codes as well: folders written from known codes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from crushtest.errors import ModelError
from crushtest.models.load import load_model
from support.quantized_folders import Parts, awq, fp8, gptq, pack, random_codes, random_scales, write_folder
from support.tiny_models import CONFIGS

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages, about their own code
needs_compressed_tensors = pytest.mark.skipif(
    find_spec("compressed_tensors") is None, reason="compressed-tensors is not installed"
)
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
"""The numbers of NVFP4 without their sign; the highest bit is the sign."""
_BELOW = (-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0)
_ABOVE = (0.07958030, 0.16093020, 0.24611230, 0.33791524, 0.44070983, 0.56261700, 0.72295684, 1.0)
NF4 = torch.tensor([*_BELOW, *_ABOVE])
"""Table of arXiv:2305.14314, appendix E."""


def compressed(name: str, **weights: Any) -> dict[str, Any]:
    scheme = {"type": "int", "num_bits": 4, "symmetric": True, "dynamic": False, **weights}
    return {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": name,
            "quantization_status": "compressed",
            "ignore": ["lm_head"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": scheme, "format": name}},
        }
    }


def four_bits(layer: str, weight: Tensor, *, zeros: bool = False) -> tuple[Parts, Tensor]:
    """W4A16: codes stored 8 higher than they are, in groups of 16 inputs."""
    outputs, inputs = weight.shape
    codes, scales = random_codes(outputs, inputs, bits=4), random_scales(outputs, inputs // 16, dtype=torch.float32)
    parts = {"weight_packed": pack(codes, 4), "weight_scale": scales, "weight_shape": torch.tensor([outputs, inputs])}
    zero = torch.full(scales.shape, 8)
    if zeros:
        zero = random_codes(*scales.shape, bits=4, seed=1)
        parts["weight_zero_point"] = pack(zero.T.contiguous(), 4).T.contiguous()
    return parts, (codes - zero.repeat_interleave(16, 1)) * scales.repeat_interleave(16, 1)


def with_zeros(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    return four_bits(layer, weight, zeros=True)


def nvfp4(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    """Four bits of floating point, two in a byte, with a scale of eight bits per 16 inputs and one for all of them."""
    outputs, inputs = weight.shape
    codes = random_codes(outputs, inputs, bits=4)
    scales = (random_scales(outputs, inputs // 16, dtype=torch.float32) * 64).to(torch.float8_e4m3fn)
    whole = torch.tensor([32.0])
    packed = (codes[:, ::2] | (codes[:, 1::2] << 4)).to(torch.uint8)
    values = E2M1[codes & 7] * torch.where(codes >= 8, -1.0, 1.0)
    meant = values * (scales.float() / whole).repeat_interleave(16, 1)
    return {"weight_packed": packed, "weight_scale": scales, "weight_global_scale": whole}, meant


def mxfp4(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    """The same four bits with a power of 2 per 32 inputs, stored as its exponent and 127."""
    outputs, inputs = weight.shape
    codes, powers = random_codes(outputs, inputs, bits=4), random_codes(outputs, inputs // 32, bits=3) - 6
    values = E2M1[codes & 7] * torch.where(codes >= 8, -1.0, 1.0)
    parts = {
        "weight_packed": (codes[:, ::2] | (codes[:, 1::2] << 4)).to(torch.uint8),
        "weight_scale": (powers + 127).to(torch.uint8),
    }
    return parts, values * (2.0**powers).repeat_interleave(32, 1)


GROUP = {"strategy": "group", "group_size": 16}
TENSOR_GROUP = {"type": "float", "strategy": "tensor_group", "group_size": 16, "scale_dtype": "torch.float8_e4m3fn"}

POWERS = {"type": "float", "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"}


@needs_compressed_tensors
@pytest.mark.parametrize(
    ("quantize", "config"),
    [
        (four_bits, compressed("pack-quantized", **GROUP)),
        (with_zeros, compressed("pack-quantized", **GROUP, symmetric=False)),
        (nvfp4, compressed("nvfp4-pack-quantized", **TENSOR_GROUP)),
        (mxfp4, compressed("mxfp4-pack-quantized", **POWERS)),
    ],
    ids=["W4A16", "W4A16 with zero points", "NVFP4A16", "MXFP4A16"],
)
def test_compressed_tensors_are_codes_times_scales(quantize: Any, config: dict[str, Any], tmp_path: Path) -> None:
    meant = write_folder(tmp_path, quantize, config)
    model = load_model(str(tmp_path), device="cpu")
    assert bool(model.network(torch.arange(2, 9)[None]).logits.isfinite().all())
    state = model.network.state_dict()
    for name, weight in meant.items():
        assert torch.equal(state[name], weight), name
    assert "compressed-tensors" in model.facts["note"]
    assert "bfloat16" not in model.facts["note"]


@needs_compressed_tensors
def test_floats_of_four_bits_run_beside_rounded_activations(tmp_path: Path) -> None:
    config = compressed("mxfp4-pack-quantized", **POWERS)
    scheme = {"num_bits": 4, "symmetric": True, "dynamic": True, **POWERS}
    config["quantization_config"]["config_groups"]["group_0"]["input_activations"] = scheme
    meant = write_folder(tmp_path, mxfp4, config)
    model = load_model(str(tmp_path), device="cpu")
    assert bool(model.network(torch.arange(2, 9)[None]).logits.isfinite().all())
    state = model.network.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in meant.items())  # bfloat16 holds these
    assert "unpacked in bfloat16, to which they are rounded; activations rounded to FP4" in model.facts["note"]


def nf4(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    """Two codes in a byte, the first in the high bits, with a scale per 64 numbers of the flattened weight."""
    codes = random_codes(*weight.shape, bits=4).flatten()
    scales = random_scales(weight.numel() // 64, dtype=torch.float32)
    meant = (NF4[codes].unflatten(0, (-1, 64)) * scales[:, None]).reshape(weight.shape)
    shape = ",".join(map(str, weight.shape))
    state = f'{{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[{shape}]}}'.encode()
    parts = {
        "weight": ((codes[::2] << 4) | codes[1::2]).to(torch.uint8)[:, None],
        "weight.absmax": scales,
        "weight.quant_map": NF4.clone(),
        "weight.quant_state.bitsandbytes__nf4": torch.tensor(list(state), dtype=torch.uint8),
    }
    return parts, meant


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_bitsandbytes_holds_the_weights_of_its_codes(tmp_path: Path) -> None:
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    settings |= {
        "bnb_4bit_compute_dtype": "float32",
        "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_use_double_quant": False,
    }
    meant = write_folder(tmp_path, nf4, {"quantization_config": settings})
    network = load_model(str(tmp_path), device="cpu").network
    from bitsandbytes.functional import dequantize_4bit

    for number in range(3):
        layer = f"model.layers.{number}.mlp.up_proj"
        stored: Any = network.get_submodule(layer)
        weight = meant[f"{layer}.weight"]
        held = dequantize_4bit(stored.weight.data, stored.weight.quant_state)
        torch.testing.assert_close(held, weight, rtol=1e-5, atol=0)
        torch.testing.assert_close(stored(torch.eye(64)).T, weight, rtol=2e-2, atol=0)  # what its CPU kernel rounds


# ---- what our own readers take besides


EXPERTS = [
    ("awq", awq, {"bits": 4, "group_size": 16}),
    ("gptq", gptq(4), {"bits": 4, "group_size": 16}),
    ("fp8", fp8, {"weight_block_size": [40, 40]}),
]


@pytest.mark.parametrize(("method", "quantize", "settings"), EXPERTS, ids=["awq", "gptq", "fp8"])
def test_quantized_experts_are_read_one_by_one(
    method: str, quantize: Any, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experts = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32, "head_dim": 16}
    monkeypatch.setitem(CONFIGS, "qwen3_moe", CONFIGS["llama"] | experts)
    config = {"quantization_config": {"quant_method": method, **settings}}
    meant = write_folder(tmp_path / "quantized", quantize, config, kind="qwen3_moe")
    assert any(".experts.1.up_proj" in name for name in meant)
    load_model(str(tmp_path / "quantized"), device="cpu").network.save_pretrained(tmp_path / "plain")
    from safetensors.torch import load_file

    plain = load_file(tmp_path / "plain" / "model.safetensors")
    assert plain.keys() == meant.keys()
    assert all(torch.equal(plain[name], weight) for name, weight in meant.items())


def whole_scale(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    codes, scale = weight.to(torch.float8_e4m3fn), torch.tensor([0.25])
    return {"weight": codes, "weight_scale_inv": scale}, codes.float() * scale


def test_fp8_may_have_one_scale_per_layer(tmp_path: Path) -> None:
    meant = write_folder(tmp_path, whole_scale, {"quantization_config": {"quant_method": "fp8"}})
    state = load_model(str(tmp_path), device="cpu").network.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in meant.items())


def not_float8(layer: str, weight: Tensor) -> tuple[Parts, Tensor]:
    return {"weight": weight.to(torch.int8), "weight_scale_inv": torch.tensor([0.25])}, weight


@pytest.mark.parametrize(
    ("quantize", "more", "complaint"),
    [
        (whole_scale, {"scale_fmt": "odd"}, "scale_fmt 'odd' is not read"),
        (not_float8, {}, "weight is of torch.int8"),
    ],
)
def test_fp8_in_another_form_is_refused(quantize: Any, more: dict[str, str], complaint: str, tmp_path: Path) -> None:
    write_folder(tmp_path, quantize, {"quantization_config": {"quant_method": "fp8", **more}})
    with pytest.raises(ModelError, match=complaint):
        load_model(str(tmp_path), device="cpu")
