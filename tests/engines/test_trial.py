"""What the trial at load decides, and what is run beside the ways that it chose."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from crushtest import load_engine
from crushtest.engines.hf import limits, trial
from crushtest.engines.hf.decoding import PackedDecoder
from crushtest.engines.packing import Line
from crushtest.errors import EngineError
from crushtest.models.load import LoadedModel
from crushtest.records import Choices, Passage, Prompt, Sampling
from support import architectures
from support.tiny_models import SENTENCES, loaded, run_plainly, tokenizer

DYNAMIC = {
    "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    "max_position_embeddings": 64,
}
PROMPTS = [Prompt(sentence[:end]) for sentence in SENTENCES for end in (3, 20, 40)]


def scored(engine: Any, lines: list[Line]) -> list[float]:
    scores = dict(engine.model.score([[line] for line in lines], ()))
    return [scores[index][0] for index in range(len(lines))]


@pytest.mark.parametrize("company", [[], [140], [140, 100], [70, 140, 20]])
def test_a_line_scores_the_same_in_any_company(company: list[int]) -> None:
    words = architectures.WORDS
    lines = [Line(words[:size], 1) for size in (80, 30, 64, 65)]
    engine = load_engine(loaded("llama", **DYNAMIC), pack_tokens=512)
    together = scored(engine, [*(Line(words[:size], 1) for size in company), *lines])[len(company) :]
    alone = [scored(load_engine(loaded("llama", **DYNAMIC)), [line])[0] for line in lines]
    assert together == pytest.approx(alone, abs=1e-4)


def test_divergence_is_zero_from_equal_weights_also_beyond_the_limit() -> None:
    from crushtest.engines.base import Reference

    model = loaded("llama", **DYNAMIC)
    engine = load_engine(model)
    dense = replace(model, network=copy.deepcopy(model.network))
    engine.attach_reference(Reference(lambda: dense, None, None, keep=False))  # type: ignore[arg-type]
    text = " ".join(SENTENCES)
    for _, score in engine.passages([Passage(text[:30], against_dense=True), Passage(text, 60, against_dense=True)]):
        assert len(score.kl) == score.tokens
        assert max(score.kl) < 1e-6


@pytest.mark.parametrize("writing", ["cached", "cached_by_length", "cached_alone", "anew"])
def test_every_way_of_writing_gives_the_same_texts(writing: str) -> None:
    packed, other = load_engine(loaded()), load_engine(loaded())
    run_plainly(other, writing)
    for sampling in (Sampling(max_tokens=12), Sampling(max_tokens=12, temperature=0.9, seed=3)):
        assert dict(packed.generate(PROMPTS, sampling)) == dict(other.generate(PROMPTS, sampling))


def test_packs_that_would_write_something_else_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = PackedDecoder.step

    def astray(self: PackedDecoder, tokens: Tensor) -> Tensor:
        return honest(self, tokens).flip(-1)

    monkeypatch.setattr(PackedDecoder, "step", astray)
    described = load_engine(loaded()).describe()
    assert described["scoring"].startswith("prefix-shared packs")
    assert described["generation"].startswith("transformers' cache, padded batches (prefix-shared packs: differs by")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_that_reads_ahead_is_refused(dtype: str) -> None:
    model = architectures.loaded("bert")
    model = replace(model, network=model.network.to(getattr(torch, dtype)), facts=model.facts | {"dtype": dtype})
    model.network.config.is_decoder = False
    for module in model.network.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False
    with pytest.raises(EngineError, match="depends on later tokens"):
        load_engine(model)


def test_passages_fit_a_model_that_names_its_length_otherwise() -> None:
    engine: Any = load_engine(architectures.loaded("mpt short"))
    assert engine.model.context == 128
    text = " ".join(SENTENCES)
    ((_, score),) = engine.passages([Passage(text)])
    assert score.tokens == len(engine.model.loaded.tokenizer(text)["input_ids"])
    assert list(engine.generate([Prompt(text)], Sampling(max_tokens=4)))


def test_rows_of_the_head_are_the_networks_own_logits() -> None:
    from crushtest.engines.hf.head import base_of, logits_of

    for name in ("cohere scaled", "gemma2 capped", "granite scaled", "opt projected", "llama4_text"):
        network = architectures.build(name)
        ids = torch.tensor([architectures.WORDS[:20]])
        with torch.inference_mode():
            hidden, logits = base_of(network)(ids, use_cache=False)[0][0], network(ids, use_cache=False).logits[0]
        assert torch.allclose(logits_of(network, hidden), logits, atol=1e-5)
        assert "forward" not in vars(base_of(network))


def test_a_trial_costs_few_forward_passes() -> None:
    model = loaded()
    runs = 0

    def count(*_: object) -> None:
        nonlocal runs
        runs += 1

    model.network.base_model.register_forward_pre_hook(count)
    trial.find_paths(model, 2048)
    assert runs <= 25
    assert list(load_engine(model).choices([Choices("a", (" b",))]))


def test_rounding_in_16_bits_is_no_reading_ahead_and_costs_no_packs() -> None:
    described = load_engine(noisy("mixtral", num_local_experts=8, num_experts_per_tok=2)).describe()
    assert described["scoring"].startswith("prefix-shared packs")
    assert described["generation"].startswith("prefix-shared packs")


def test_attention_that_reads_ahead_in_long_texts_only_is_refused() -> None:
    with pytest.raises(EngineError, match="block_sparse"):
        load_engine(architectures.loaded("big_bird"))


def test_packs_are_no_longer_than_the_limit() -> None:
    engine: Any = load_engine(architectures.loaded("llama4 floor"))
    assert (engine.model.paths.limit, engine.model.packed.size) == (64, 63)
    assert engine.model.paths.scoring == "packs"
    words = architectures.WORDS
    lines = [Line(words[start : start + 30], 20) for start in range(0, 60, 6)]
    expected = [architectures.logprob("llama4 floor", [*line.tokens], line.start) for line in lines]
    assert scored(engine, lines) == pytest.approx(expected, abs=1e-4)


def test_attention_that_nobody_saw_is_not_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "variant_of", lambda *_: (_ for _ in ()).throw(EngineError("unknown")))
    assert limits.attention_variants(loaded().network) is None
    assert not trial.find_paths(loaded(), 2048).plain_attention


def noisy(kind: str, **settings: Any) -> LoadedModel:
    """A network of so many layers and so large weights that rounding moves what it says by nats."""
    torch.manual_seed(1)
    shape = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 16, "num_attention_heads": 8}
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer()), num_key_value_heads=4, head_dim=32, **shape, **settings
    )
    network = AutoModelForCausalLM.from_config(config).float().eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.dim() >= 2:
            parameter.mul_(4.0)
    network.get_output_embeddings().weight.mul_(4.0)
    return LoadedModel(
        network.to(torch.bfloat16), tokenizer(), kind, {"kind": "tiny", "dtype": "bfloat16", "device": "cpu"}
    )
