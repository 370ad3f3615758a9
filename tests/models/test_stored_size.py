"""The size and the method of a model that is tested as found come from its files' headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from crushtest.errors import ModelError
from crushtest.models.load import load_model, load_tokenizer
from crushtest.models.stored_size import stored_facts
from support.quantized_folders import awq, fp8, gptq, mlx, write_folder
from support.tiny_gguf import write_gguf
from support.tiny_models import network, tokenizer

GPTQ = {"quant_method": "gptq", "group_size": 16}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 16}
FP8 = {"quant_method": "fp8", "weight_block_size": [40, 40]}
INPUTS = 4 * 64 + 2 * 64 + 96
"""Inputs of a block's seven layers together: q, k, v, o, gate and up read 64, down reads 96."""


def files_bytes(folder: Path, parts: tuple[str, ...]) -> int:
    tensors = load_file(folder / "model.safetensors")
    return sum(t.numel() * t.itemsize for name, t in tensors.items() if name.endswith(parts) and "_proj." in name)


@pytest.mark.parametrize(
    ("quantize", "config", "parts", "method"),
    [
        (
            gptq(3),
            {"quantization_config": GPTQ | {"bits": 3}},
            ("qweight", "qzeros", "scales", "g_idx"),
            "GPTQ, 3 bits",
        ),
        (
            gptq(8),
            {"quantization_config": GPTQ | {"bits": 8}},
            ("qweight", "qzeros", "scales", "g_idx"),
            "GPTQ, 8 bits",
        ),
        (awq, {"quantization_config": AWQ}, ("qweight", "qzeros", "scales"), "AWQ, 4 bits"),
        (mlx(5), {"quantization": {"bits": 5, "group_size": 32}}, ("weight", "scales", "biases"), "MLX, 5 bits"),
        (fp8, {"quantization_config": FP8}, ("weight", "weight_scale_inv"), "FP8 in blocks"),
    ],
)
def test_sizes_count_codes_and_scales_as_stored(
    tmp_path: Path, quantize: Any, config: dict[str, Any], parts: tuple[str, ...], method: str
) -> None:
    meant = write_folder(tmp_path, quantize, config)
    facts = stored_facts(str(tmp_path))
    sizes, stored = facts["totals"], files_bytes(tmp_path, parts)
    inside = sum(weight.numel() for name, weight in meant.items() if "_proj." in name)
    parameters = sum(weight.numel() for weight in meant.values())
    assert facts["method"] == method
    assert (sizes["layers"], sizes["linear_weights"]) == (21, inside)
    assert sizes["compressed_size_bytes"] == stored
    assert sizes["bits_per_weight"] == pytest.approx(stored * 8 / inside)
    assert sizes["compression_ratio"] == pytest.approx(1 - stored / (2 * inside))
    assert sizes["dense_model_size_bytes"] == 2 * parameters
    assert sizes["compressed_model_size_bytes"] == 2 * (parameters - inside) + stored
    assert sizes["weights_size_bytes"] == (tmp_path / "model.safetensors").stat().st_size


def test_a_model_that_is_not_quantized_has_16_bits_a_number(tmp_path: Path) -> None:
    meant = write_folder(tmp_path, None, {})
    facts = stored_facts(str(tmp_path))
    assert facts["method"] == "not quantized"
    dense = 2 * sum(weight.numel() for weight in meant.values())
    assert facts["totals"] == {
        "dense_model_size_bytes": dense,
        "compressed_model_size_bytes": dense,
        "weights_size_bytes": (tmp_path / "model.safetensors").stat().st_size,
    }


@pytest.mark.parametrize("recipe", ["rtn:bits=3,group_size=32", "rtn:bits=4,group_size=32,symmetric=false", "int8"])
def test_what_compress_saves_is_sized_by_its_headers_too(tmp_path: Path, recipe: str) -> None:
    from crushtest.compress.calibration import Calibration
    from crushtest.compress.to_folder import compress_and_save
    from crushtest.models.options import ModelOptions

    network().save_pretrained(tmp_path / "dense")
    tokenizer().save_pretrained(tmp_path / "dense")
    text = Calibration(sequences=1, length=16)
    options = ModelOptions(dtype="bfloat16", device="cpu")
    record = compress_and_save(str(tmp_path / "dense"), recipe, tmp_path / "small", options=options, calibration=text)
    sizes = stored_facts(str(tmp_path / "small"))["totals"]
    assert sizes["linear_weights"] == record.totals.linear_weights
    assert sizes["dense_model_size_bytes"] == record.totals.dense_model_size_bytes
    assert sizes["bits_per_weight"] == pytest.approx(record.totals.bits_per_weight, rel=0.1)


def test_what_is_not_here_has_no_size(tmp_path: Path) -> None:
    for spec in ("demo", "http://localhost:8000/v1", str(tmp_path / "none"), str(tmp_path / "none.gguf"), ""):
        assert stored_facts(spec) == {}


def test_a_format_that_another_program_reads_has_a_size_as_well(tmp_path: Path) -> None:
    dense = write_folder(tmp_path, None, {"quantization_config": {"quant_method": "modelopt"}})
    names = [name for name in dense if "_proj." in name]
    tensors = {name: weight.to(torch.float8_e4m3fn) if name in names else weight for name, weight in dense.items()}
    tensors |= {name.replace("weight", "weight_scale"): torch.tensor(0.5) for name in names}
    save_file(tensors, tmp_path / "model.safetensors")
    facts = stored_facts(str(tmp_path))
    inside = sum(dense[name].numel() for name in names)
    assert facts["method"] == "NVIDIA ModelOpt"
    assert facts["totals"]["linear_weights"] == inside
    assert facts["totals"]["compressed_size_bytes"] == inside + 4 * len(names)


def test_weights_stored_in_ways_of_their_own_are_not_counted(tmp_path: Path) -> None:
    dense = write_folder(tmp_path, None, {"quantization_config": {"quant_method": "exl2"}})
    save_file(dense | {"a.q_weight": torch.ones(4, 4, dtype=torch.int32)}, tmp_path / "model.safetensors")
    facts = stored_facts(str(tmp_path))
    size = (tmp_path / "model.safetensors").stat().st_size
    assert facts == {"method": "ExLlamaV2", "totals": {"weights_size_bytes": size}}


def test_a_gguf_model_in_several_files_counts_them_all_and_is_refused(tmp_path: Path) -> None:
    files = [str(tmp_path / f"a-{number:05}-of-00002.gguf") for number in (1, 2)]
    for file in files:
        write_gguf(Path(file), add=lambda writer: writer.add_uint16("split.count", 2))
    whole = stored_facts(str(write_gguf(tmp_path / "b.gguf")))["totals"]
    totals = stored_facts(files[0])["totals"]
    assert totals["dense_model_size_bytes"] == 2 * whole["dense_model_size_bytes"]
    assert totals["weights_size_bytes"] == sum(Path(file).stat().st_size for file in files)
    with pytest.raises(ModelError, match=r"is one of 2 that hold the model.*engine 'llamacpp'"):
        load_model(files[0])
    Path(files[1]).unlink()
    assert stored_facts(files[0]) == {}


def test_a_gguf_file_has_a_size_whatever_its_pre_tokenizer(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    path.write_bytes(path.read_bytes().replace(b"gpt-2", b"gpt-9"))
    assert stored_facts(str(path))["method"] == "GGUF F32"
    with pytest.raises(ModelError, match="pre-tokenizer 'gpt-9' is not known"):
        load_tokenizer(str(path))
