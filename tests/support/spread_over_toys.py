"""A process of its own: what a network says on one device and spread over two toy ones, as JSON on stdout.

Arguments: `fastest`, `plainly`, `q8_0` (a cache), or a method's name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from crushtest.compress.layers.loop import as_job, compress_layers
from crushtest.engines.base import Reference
from crushtest.engines.hf.model import engine_of
from crushtest.engines.hf.sizes import Asked
from crushtest.records import Choices, Passage, Prompt, Sampling
from crushtest.registry import METHODS
from support.tiny_models import SENTENCES, WORDS, loaded, run_plainly
from support.toy_devices import spread, toy_devices

QUESTIONS = [Choices("Context: Two neighbours met", (" at the market", " late", f" {n}")) for n in range(6)]
PROMPTS = [Prompt("Nine people were"), Prompt("She said that the river"), Prompt("She said")]
TEXTS = [Passage(text, against_dense=True) for text in SENTENCES]
PLACES = {
    "model.embed_tokens": "toy:0",
    "model.layers.0": "toy:0",
    "model.layers.1": "toy:1",
    "model.layers.2": "toy:1",
    "model.norm": "toy:1",
    "model.rotary_emb": "toy:0",
    "lm_head": "toy:1",
}
COMPRESSED: dict[str, dict[str, Any]] = {
    "magnitude": {"sparsity": 0.5, "scope": "global"},
    "wanda": {"sparsity": 0.5},
    "sparsegpt": {"pattern": "2:4"},
}


def answers(model: Any, dense: Any, *, plainly: bool, kv: str = "none") -> dict[str, Any]:
    """What an engine of the model says to everything."""
    engine = engine_of(model, Asked(16, 8), kv=kv)
    if plainly:
        run_plainly(engine)
    engine.attach_reference(Reference(load=lambda: dense, top_k=None, folder=Path(), keep=False))
    return {
        "ways": [engine.model.paths.scoring, engine.model.paths.writing],
        "questions": [answer.logprobs for _, answer in sorted(engine.choices(QUESTIONS))],
        "texts": [[answer.logprob, *(answer.kl or ())] for _, answer in sorted(engine.passages(TEXTS))],
        "completions": [answer.text for _, answer in sorted(engine.generate(PROMPTS, Sampling(max_tokens=9)))],
    }


def compressed(model: Any, method: str, given: dict[str, Any]) -> list[list[float]]:
    """A few numbers of every layer's weight after a method has compressed it."""
    options = METHODS.get(method).bind(given)
    job = as_job(model.network, torch.tensor(WORDS[:96]).view(4, 24), method, options)
    return [done.linear.weight.flatten()[::97].float().tolist() for done in compress_layers(job)]


def said(name: str, *, spreading: bool) -> Any:
    """What one network, or the same one spread, says in one way, or what a method makes of its weights."""

    def model(seed: int = 0) -> Any:
        made = loaded("llama", seed=seed, num_attention_heads=2)  # heads of 32 channels, as caches in blocks need
        if spreading:
            spread(made.network, PLACES)
        return made

    if name in COMPRESSED:
        return compressed(model(), name, COMPRESSED[name])
    return answers(model(), model(1), plainly=name == "plainly", kv=name if name.startswith("q") else "none")


if __name__ == "__main__":
    asked = sys.argv[1:]
    alone = {name: said(name, spreading=False) for name in asked}
    with toy_devices():
        over_two = {name: said(name, spreading=True) for name in asked}
    print(json.dumps([alone, over_two]))
