"""Nothing is loaded wrongly in silence: quantization that nobody here reads is refused, and what is read says how."""

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
from crushtest.models.quantization import FORMATS, READ
from support.quantized_folders import awq, fp8, gptq, mlx, random_scales, write_folder

REFUSED = [entry.method for entry in FORMATS if entry.reading == "refused"]


def add_tensors(folder: Path, **tensors: torch.Tensor) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | tensors, path, metadata={"format": "pt"})


def refusal(folder: Path, *, before_loading: bool = True) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(str(folder))
    if before_loading:
        with pytest.raises(ModelError) as checked:
            check_model(str(folder))
        assert str(checked.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("method", [*REFUSED, "Modelopt", "gptq_marlin2000", "w8a8"])
def test_a_format_that_is_not_read_is_refused_with_those_that_are(tmp_path: Path, method: str) -> None:
    write_folder(tmp_path, None, {"quantization_config": {"quant_method": method}})
    line = refusal(tmp_path)
    assert f"quantized by {method.lower()!r}, which is not read" in line
    assert all(read in line for read in READ)


def test_a_misspelt_format_names_the_nearest(tmp_path: Path) -> None:
    write_folder(tmp_path, None, {"quantization_config": {"quant_method": "gtpq"}})
    assert "did you mean 'gptq'?" in refusal(tmp_path)


@pytest.mark.parametrize("place", ["quantization_config", "quantization", "compression_config"])
def test_quantization_without_a_method_is_refused(tmp_path: Path, place: str) -> None:
    write_folder(tmp_path, None, {place: {"bits": 4}})
    assert "it names no quant_method" in refusal(tmp_path)


@pytest.mark.parametrize("stated", ["gptq", ["gptq"], 4])
def test_a_quantization_that_is_no_mapping_is_refused(tmp_path: Path, stated: object) -> None:
    write_folder(tmp_path, None, {"quantization_config": stated})
    assert "quantization_config in config.json must be a mapping" in refusal(tmp_path)


def test_quantization_of_the_language_model_within_counts(tmp_path: Path) -> None:
    write_folder(tmp_path, None, {"text_config": {"quantization_config": {"quant_method": "modelopt"}}})
    assert "'modelopt'" in refusal(tmp_path)


def test_modelopt_is_refused_by_the_file_that_it_writes(tmp_path: Path) -> None:
    write_folder(tmp_path, None, {})
    stated = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(stated))
    assert "hf_quant_config.json (FP8) says" in refusal(tmp_path)
    stated["quantization"] = {"quant_algo": None}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(stated))
    load_model(str(tmp_path))


@pytest.mark.parametrize("quantize", [gptq(4), awq, mlx(4), fp8])
def test_codes_are_never_taken_for_weights(tmp_path: Path, quantize: Any) -> None:
    write_folder(tmp_path, quantize, {})
    assert "quantiz" in refusal(tmp_path, before_loading=False)


@pytest.mark.parametrize(
    "part", ["weight_scale", "weight_scale_inv", "scales", "qzeros", "g_idx", "input_scale", "weight_zero_point", "SCB"]
)
def test_a_part_of_a_quantized_weight_is_never_ignored(tmp_path: Path, part: str) -> None:
    write_folder(tmp_path, None, {})
    add_tensors(tmp_path, **{f"model.layers.0.mlp.up_proj.{part}": random_scales(96)})
    line = refusal(tmp_path, before_loading=False)
    assert f"1 tensors of quantized weights would be ignored, first model.layers.0.mlp.up_proj.{part}" in line


def test_integers_as_weights_are_refused_before_loading(tmp_path: Path) -> None:
    write_folder(tmp_path, None, {})
    name = "model.layers.0.mlp.up_proj.weight"
    add_tensors(tmp_path, **{name: torch.ones(96, 64, dtype=torch.int8)})
    assert f"{name} holds integers (I8), but config.json names no quantization" in refusal(tmp_path)


def test_scales_of_the_cache_and_other_unused_tensors_are_noted(tmp_path: Path) -> None:
    write_folder(tmp_path, None, {})
    assert "note" not in load_model(str(tmp_path)).facts
    add_tensors(
        tmp_path, **{"model.layers.0.self_attn.k_scale": random_scales(1), "vision.up.weight": random_scales(2)}
    )
    note = load_model(str(tmp_path)).facts["note"]
    assert "KV cache" in note
    assert "1 tensors of the files are not used, first vision.up.weight" in note


def test_a_refused_model_in_the_hubs_cache_is_refused_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--org--tiny"
    write_folder(repository / "snapshots" / commit, None, {"quantization_config": {"quant_method": "exl3"}})
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for attempt in (check_model, load_model):
        with pytest.raises(ModelError, match="quantized by 'exl3', which is not read"):
            attempt("org/tiny")


def test_a_note_also_stands_beside_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--org--tiny"
    settings = {"quant_method": "awq", "bits": 4, "group_size": 16}
    write_folder(repository / "snapshots" / commit, awq, {"quantization_config": settings})
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    facts = load_model("org/tiny").facts
    assert facts["revision"] == commit
    assert "AWQ" in facts["note"]
