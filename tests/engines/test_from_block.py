"""Running from a block gives what running everything gives, for any block and any change above it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from crushtest import load_engine
from crushtest.compress.layers.activations import probe
from crushtest.compress.layers.offload import InPlace
from crushtest.compress.layers.structure import find_structure
from crushtest.engines.hf.block_divergence import BlockDivergence, block_divergence
from crushtest.engines.hf.kl import compare
from crushtest.records import Choices, Completion, Passage, Prompt
from support.tiny_models import SENTENCES, loaded

QUESTIONS = [
    Choices(f"{sentence} Question {number}:", (" a", " b", " c")) for number, sentence in enumerate(SENTENCES * 2)
]
PASSAGES = [Passage(sentence) for sentence in SENTENCES]
PROMPTS = [Prompt(sentence[:30]) for sentence in SENTENCES]
WRITTEN = [Completion(sentence[30:60], 5, "length") for sentence in SENTENCES]
REQUESTS: dict[str, tuple[Any, Any]] = {
    "choices": (QUESTIONS, [None] * len(QUESTIONS)),
    "passages": (PASSAGES, [None] * len(PASSAGES)),
    "prompts": (PROMPTS, WRITTEN),
}


def made(kind: str, what: str, pack_tokens: int = 2048) -> tuple[Any, BlockDivergence]:
    model = loaded(kind)
    engine: Any = load_engine(model, engine="hf", pack_tokens=pack_tokens)
    structure = find_structure(model.network)
    ids = torch.arange(2, 10)[None]
    extras = probe(model.network, structure.blocks, ids, InPlace(model.network))
    return engine.model, block_divergence(engine.model, *REQUESTS[what], structure.blocks, extras)


def disturb(network: Any, block: int) -> dict[str, torch.Tensor]:
    """Change the weights of one block; return those that it had."""
    module = find_structure(network).blocks[block]
    before = copy.deepcopy(module.state_dict())
    generator = torch.Generator().manual_seed(block)
    for parameter in module.parameters():
        parameter.data.add_(0.5 * parameter.data.std() * torch.randn(parameter.shape, generator=generator))
    return before


@pytest.mark.parametrize("kind", ["llama", "gpt2", "phi"])
@pytest.mark.parametrize("what", REQUESTS)
def test_every_block_measures_what_a_whole_run_measures(kind: str, what: str) -> None:
    model, kept = made(kind, what)
    _, whole = made(kind, what)
    for block in range(3):
        before = disturb(model.loaded.network, block)
        found = kept.divergence()
        disturbed = disturb(whole.from_block.network, block)
        expected = whole.divergence()
        np.testing.assert_allclose(found.total, expected.total, rtol=1e-4, atol=1e-6)
        assert found.total.max() > 1e-4
        find_structure(model.loaded.network).blocks[block].load_state_dict(before)
        find_structure(whole.from_block.network).blocks[block].load_state_dict(disturbed)
        assert kept.divergence().total.max() < 1e-9, "dense does not differ from itself"
        if block < 2:
            kept.advance()
    assert whole.number == 0 < kept.number


def test_packs_that_continue_trunks_run_from_a_block_too() -> None:
    model, small = made("llama", "choices", pack_tokens=16)
    assert any(pack.is_trunk for pack in small.from_block.plan)
    other, large = made("llama", "choices")
    for each in (small, large):
        each.advance()
    for network in (model.loaded.network, other.loaded.network):
        disturb(network, 1)
    np.testing.assert_allclose(small.divergence().total, large.divergence().total, rtol=1e-4, atol=1e-6)


def test_the_divergence_of_a_text_is_that_of_whole_distributions() -> None:
    model, kept = made("llama", "passages")
    network = model.loaded.network
    ids = [[0, *model.tokenizer.encode([sentence], add_special=False)[0]] for sentence in SENTENCES]

    def logits(row: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            result: torch.Tensor = network(torch.tensor([row[:-1]])).logits[0]
        return result

    dense = [logits(row) for row in ids]
    disturb(network, 0)
    found = kept.divergence()
    for number, row in enumerate(ids):
        kl = compare(dense[number], logits(row)).kl.numpy()
        chosen = np.unique(np.linspace(0, len(kl) - 1, min(len(kl), 24)).round().astype(int))
        assert found.weight[number] == len(chosen)
        # All 400 tokens are among the 512 that are kept, so the lower bound is the divergence itself.
        assert found.total[number] == pytest.approx(kl[chosen].sum(), rel=1e-3)
