"""AWQ, GPTQ, MLX and FP8 are read as the weights that their codes stand for, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from crushtest.errors import ModelError
from crushtest.models.find import check_model
from crushtest.models.load import load_model
from crushtest.models.quantized.bits import unpack
from support.quantized_folders import awq, fp8, gptq, mlx, pack, random_codes, write_folder


def gptq_config(bits: int, **settings: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": "gptq", "bits": bits, "group_size": 16, **settings}}


AWQ = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm"}}
FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [40, 40], "activation_scheme": "dynamic"}}


def mlx_config(bits: int) -> dict[str, Any]:
    return {"quantization": {"group_size": 32, "bits": bits}}


def assert_means(folder: Path, meant: dict[str, torch.Tensor], dtype: str = "float32") -> None:
    model = load_model(str(folder), dtype=dtype, device="cpu")
    state = model.network.state_dict()
    assert state.keys() == meant.keys()
    assert all(torch.equal(state[name], weight.to(getattr(torch, dtype))) for name, weight in meant.items())
    assert model.network.generation_config.eos_token_id == 1


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpacking_gives_back_what_was_packed(bits: int) -> None:
    codes = random_codes(3, 96, bits=bits)
    assert torch.equal(unpack(pack(codes, bits), bits), codes.to(torch.int32))
    assert torch.equal(unpack(pack(codes, bits).view(torch.uint32), bits), codes.to(torch.int32))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize(("version", "act_order"), [(1, False), (2, True)])
def test_gptq_is_code_less_zero_times_scale(tmp_path: Path, bits: int, version: int, act_order: bool) -> None:
    named = {} if version == 1 else {"checkpoint_format": "gptq_v2"}
    quantize = gptq(bits, version=version, act_order=act_order)
    meant = write_folder(tmp_path, quantize, gptq_config(bits, desc_act=act_order, **named))
    assert_means(tmp_path, meant)


def test_awq_is_code_less_zero_times_scale(tmp_path: Path) -> None:
    meant = write_folder(tmp_path, awq, AWQ)
    assert_means(tmp_path, meant)
    assert_means(tmp_path, meant, "bfloat16")
    assert load_model(str(tmp_path)).facts["note"] == "AWQ weights of 4 bits, dequantized"


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_mlx_is_code_times_scale_plus_bias(tmp_path: Path, bits: int) -> None:
    assert_means(tmp_path, write_folder(tmp_path, mlx(bits), mlx_config(bits), embeddings=True))


def test_mlx_layers_may_have_bits_of_their_own(tmp_path: Path) -> None:
    own = "model.layers.1.mlp.down_proj"

    def quantize(layer: str, weight: torch.Tensor) -> Any:
        return mlx(8 if layer == own else 4)(layer, weight)

    config = {"quantization": {"group_size": 32, "bits": 4, own: {"group_size": 32, "bits": 8}}}
    assert_means(tmp_path, write_folder(tmp_path, quantize, config))


def test_fp8_blocks_need_not_divide_a_layer(tmp_path: Path) -> None:
    assert_means(tmp_path, write_folder(tmp_path, fp8, FP8))
    note = load_model(str(tmp_path), device="cpu").facts["note"]
    assert note == "FP8 weights in blocks, dequantized; activations are not rounded to FP8 as a deployment does"


def test_gptq_groups_follow_one_another_without_g_idx(tmp_path: Path) -> None:
    meant = write_folder(tmp_path, gptq(4), gptq_config(4))
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith("g_idx")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_means(tmp_path, meant)


@pytest.mark.parametrize(
    ("quantize", "config", "part", "wrong", "complaint"),
    [
        (gptq(4), gptq_config(4), "g_idx", lambda t: t.clamp(max=2), "g_idx names 3 groups, scales have 4"),
        (gptq(4), gptq_config(4), "g_idx", lambda t: t[:-8], r"g_idx is \[.*\], must be"),
        (gptq(4), gptq_config(4), "qzeros", lambda t: t[:, :-1], r"qzeros is \[.*\], must be"),
        (gptq(3), gptq_config(3), "qweight", lambda t: t[:-1], "qweight has . words, which 3-bit codes do not fill"),
        (gptq(4), gptq_config(8), "g_idx", lambda t: t, r"q\w+ is \[.*\], must be"),
        (awq, AWQ, "qzeros", lambda t: t[1:], r"qzeros is \[.*\], must be"),
        (awq, AWQ, "qweight", lambda t: t[:, 1:], r"qweight is \[.*\], must be"),
        (mlx(4), mlx_config(4), "biases", lambda t: t[:, 1:], r"biases is \[.*\], must be"),
        (mlx(4), mlx_config(8), "biases", lambda t: t, r"(scales|weight) is \[.*\]"),
        (fp8, FP8, "weight_scale_inv", lambda t: t[1:], r"weight_scale_inv is \[.*\], must be"),
    ],
)
def test_parts_that_do_not_fit_are_one_line(
    tmp_path: Path, quantize: Any, config: dict[str, Any], part: str, wrong: Any, complaint: str
) -> None:
    write_folder(tmp_path, quantize, config)
    tensors = load_file(tmp_path / "model.safetensors")
    name = next(name for name in sorted(tensors) if name.endswith(f"mlp.up_proj.{part}"))
    tensors[name] = wrong(tensors[name]).contiguous()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=rf"layer model\.layers\.\d\.\w+\.\w+: {complaint}") as caught:
        load_model(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (gptq_config(4, checkpoint_format="marlin"), r"'marlin' is not read \(allowed: gptq, gptq_v2\)"),
        (gptq_config(5), r"GPTQ of 5 bits is not read \(allowed: 2, 3, 4, 8\)"),
        ({"quantization_config": AWQ["quantization_config"] | {"version": "gemv"}}, "'gemv' of AWQ is not read"),
        ({"quantization_config": AWQ["quantization_config"] | {"bits": 3}}, "AWQ of 3 bits is not read"),
        ({"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"}}, "mode 'mxfp4' is not read"),
        ({"quantization": {"group_size": 32, "bits": 7}}, "MLX of 7 bits is not read"),
        (mlx_config(4) | {"model_type": "gpt2"}, "MLX may store the weights of 'gpt2' under other names"),
    ],
)
def test_other_variants_are_refused_before_loading(tmp_path: Path, config: dict[str, Any], complaint: str) -> None:
    write_folder(tmp_path, None, config)
    with pytest.raises(ModelError, match=complaint):
        check_model(str(tmp_path))


def test_weights_that_a_model_keeps_transposed_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, None, AWQ, kind="gpt2")
    tensors = load_file(tmp_path / "model.safetensors")
    name = next(name for name in tensors if name.endswith("attn.c_proj.weight"))
    parts, _ = awq("", tensors.pop(name))
    tensors |= {f"{name.removesuffix('.weight')}.{part}": tensor for part, tensor in parts.items()}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="keeps its weight transposed"):
        load_model(str(tmp_path))


def test_quantization_that_no_tensor_shows_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, None, AWQ)
    with pytest.raises(ModelError, match=r"no tensor is named \*\.qzeros"):
        load_model(str(tmp_path))
    assert json.loads((tmp_path / "config.json").read_text())["quantization_config"]["quant_method"] == "awq"
