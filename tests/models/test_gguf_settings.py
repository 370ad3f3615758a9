"""A GGUF file is read as the model that its metadata describe, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from transformers import CONFIG_MAPPING

from crushtest.engines.load import load_engine
from crushtest.errors import ModelError
from crushtest.models.gguf_header import GgufHeader, StoredTensor
from crushtest.models.gguf_rope import LLAMA3, llama3_factors, rope_of
from crushtest.models.gguf_settings import refuse_other_settings
from crushtest.models.load import load_config, load_model
from crushtest.models.reader import _dequantizing
from crushtest.records import Passage
from support.tiny_gguf import write_gguf

Add = Callable[[gguf.GGUFWriter], None]
TEXT = "The quick brown fox jumps over the lazy dog. " * 6
PATH = Path("model.gguf")


def scaled(kind: str, factor: float = 4.0, **more: float) -> Add:
    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_string("llama.rope.scaling.type", kind)
        writer.add_rope_scaling_factor(factor)
        writer.add_rope_scaling_orig_ctx_len(64)
        for name, value in more.items():
            writer.add_float32(f"llama.rope.scaling.{name}", value)

    return add


def tensor(name: str, values: Any) -> Add:
    return lambda writer: writer.add_tensor(name, np.array(values, dtype=np.float32))


def llama3(factor: float = 32.0) -> Add:
    return tensor("rope_freqs.weight", llama3_factors(8, 10_000.0, LLAMA3 | {"factor": factor}))


def logprob(engine: Any) -> float:
    [(_, score)] = engine.passages([Passage(TEXT)])
    return float(score.logprob)


@pytest.mark.parametrize("add", [scaled("linear"), scaled("yarn"), llama3()], ids=["linear", "yarn", "llama3"])
def test_a_scaled_rope_turns_as_in_llama_cpp(add: Add, tmp_path: Path) -> None:
    from crushtest.engines.llamacpp.library import is_installed

    if not is_installed():
        pytest.skip("no llama.cpp")
    plain, stretched = (
        str(write_gguf(tmp_path / f"{name}.gguf", add=extra)) for name, extra in [("a", None), ("b", add)]
    )
    there = logprob(load_engine(stretched, engine="llamacpp", kv="f32", flash="off"))
    model = load_model(stretched, device="cpu")
    assert logprob(load_engine(model)) == pytest.approx(there, abs=1e-3)
    assert abs(logprob(load_engine(plain, engine="llamacpp", kv="f32", flash="off")) - there) > 0.05
    model.network.save_pretrained(tmp_path)
    saved = CONFIG_MAPPING["llama"].from_pretrained(tmp_path).rope_parameters
    assert saved == load_config(stretched).rope_parameters == model.network.config.rope_parameters
    assert saved["rope_type"] != "default"


def test_factors_of_llama3_are_those_of_transformers() -> None:
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {"rope_theta": 500_000.0, **LLAMA3, "factor": 8.0}
    config = CONFIG_MAPPING["llama"](hidden_size=128, num_attention_heads=1, head_dim=128, rope_parameters=rope)
    turned, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    factors = torch.tensor(llama3_factors(64, 500_000.0, rope))
    assert torch.allclose(turned * factors, 500_000.0 ** -(torch.arange(64) / 64), rtol=1e-5)


def test_factors_of_one_scale_nothing(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", add=tensor("rope_freqs.weight", [1.0] * 8))
    assert load_model(str(tmp_path / "a.gguf")).network.config.rope_parameters["rope_type"] == "default"


@pytest.mark.parametrize(
    ("add", "complaint"),
    [
        (scaled("longrope"), "its rope is scaled by 'longrope'"),
        (scaled("yarn", attn_factor=0.5), "its rope is scaled with rope.scaling.attn_factor = 0.5"),
        (tensor("rope_freqs.weight", [1, 1, 1, 1, 2, 2, 3, 9]), "factors (rope_freqs) that are not Llama 3's"),
        (tensor("rope_factors_long.weight", [2.0] * 8), "its rope is scaled by factors of its own"),
        (tensor("blk.0.attn_q.bias", [1.0] * 64), "1 tensors that transformers leaves out, first blk.0.attn_q.bias"),
        (lambda writer: writer.add_attention_scale(0.5), "llama.attention.scale = 0.5, which transformers reads not"),
        (lambda writer: writer.add_sliding_window(16), "llama.attention.sliding_window = 16"),
        (lambda writer: writer.add_causal_attention(False), "attention.causal = False"),
        (lambda writer: writer.add_final_logit_softcapping(30.0), "final_logit_softcapping = 30.0"),
    ],
)
def test_what_transformers_would_leave_out_is_refused(add: Add, complaint: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", add=add)
    with pytest.raises(ModelError) as caught:
        load_model(str(path))
    assert complaint in str(caught.value)
    assert "engine 'llamacpp' runs the file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_that_are_switched_off_change_nothing(tmp_path: Path) -> None:
    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_expert_count(0)
        writer.add_expert_used_count(0)
        writer.add_sliding_window(0)
        writer.add_string("llama.rope.scaling.type", "none")
        writer.add_vocab_size(400)

    plain, switched_off = (
        load_model(str(write_gguf(tmp_path / f"{name}.gguf", add=extra)), device="cpu")
        for name, extra in [("a", None), ("b", add)]
    )
    assert switched_off.network.config.to_dict().keys() == plain.network.config.to_dict().keys()
    assert logprob(load_engine(switched_off)) == logprob(load_engine(plain))


@pytest.mark.parametrize(
    ("kind", "settings", "complaint"),
    [
        ("phi3", {"rope.dimension_count": 72}, "phi3.rope.dimension_count = 72, which transformers reads as 96"),
        ("phi3", {"attention.sliding_window": 2047}, "phi3.attention.sliding_window = 2047"),
        ("qwen3", {"attention.key_length": 64}, "qwen3.attention.key_length = 64, which transformers reads as 128"),
        ("gemma2", {"block_count": 46}, "scales attention otherwise"),
        ("gemma3", {"rope.freq_base": 5e5}, "gemma3.rope.freq_base = 500000.0"),
        ("lfm2", {"attention.head_count_kv": [0, 8, 4]}, "lfm2.attention.head_count_kv = [0, 8, 4]"),
        ("stablelm", {"use_parallel_residual": True}, "stablelm.use_parallel_residual = True"),
    ],
)
def test_settings_are_compared_with_the_model_that_was_built(
    kind: str, settings: dict[str, Any], complaint: str
) -> None:
    config = CONFIG_MAPPING[{"gemma3": "gemma3_text"}.get(kind, kind)]()
    header = GgufHeader("gpt2", "gpt-2", True, (), architecture=kind, settings=settings)
    with pytest.raises(ModelError) as caught:
        refuse_other_settings(PATH, header, config)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("phi3", {"rope.dimension_count": 96, "attention.layer_norm_rms_epsilon": float(np.float32(1e-5))}),
        ("gemma3", {"rope.freq_base": 1e6, "rope.freq_base_swa": 1e4, "attention.sliding_window": 4096}),
        ("lfm2", {"attention.head_count_kv": [0, 8, 8, 0]}),
        ("mamba", {"attention.head_count": 0, "ssm.state_size": 16, "ssm.dt_b_c_rms": False}),
        ("gpt2", {"attention.layer_norm_epsilon": float(np.float32(1e-5)), "attention.head_count": 12}),
    ],
)
def test_settings_that_a_model_keeps_are_no_complaint(kind: str, settings: dict[str, Any]) -> None:
    config = CONFIG_MAPPING[{"gemma3": "gemma3_text"}.get(kind, kind)]()
    refuse_other_settings(PATH, GgufHeader("gpt2", "gpt-2", True, (), architecture=kind, settings=settings), config)
    others = GgufHeader("gpt2", "gpt-2", True, (), architecture=kind, settings=settings | {"unheard.of": 7})
    with pytest.raises(ModelError, match=r"unheard\.of = 7"):  # and not one of those before it
        refuse_other_settings(PATH, others, config)


def test_a_base_that_transformers_leaves_out_is_read() -> None:
    header = GgufHeader("gpt2", "gpt-2", True, (), architecture="starcoder2", settings={"rope.freq_base": 1e6})
    assert rope_of(PATH, header) == {"rope_theta": 1e6}


def test_factors_of_long_texts_are_no_base() -> None:
    factors = (StoredTensor("rope_factors_short.weight", "F32", 8, 32),)
    with pytest.raises(ModelError, match="factors of its own for long texts"):
        rope_of(PATH, GgufHeader("gpt2", "gpt-2", True, factors))


def test_transformers_is_told_to_dequantize() -> None:
    import transformers

    if not hasattr(transformers, "GgufConfig"):
        pytest.skip("this transformers always does")
    assert _dequantizing()["quantization_config"].dequantize is True
