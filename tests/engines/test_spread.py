"""A model spread over devices, the host's memory and the disk says what it says on one device."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import backend_registration
from transformers import AutoConfig, AutoModelForCausalLM

from crushtest.compress import compress
from crushtest.compress.calibration import Calibration, calibration_tokens
from crushtest.compress.recipes import parse_recipe
from crushtest.engines import load_engine
from crushtest.errors import ModelError
from crushtest.files.cache import cache_folder
from crushtest.models.load import load_model
from crushtest.records import Choices, Passage, Prompt, Sampling
from support import spread_over_toys
from support.tiny_models import GATED, SENTENCES, network, tokenizer

QUESTIONS = [Choices("Context: Two neighbours met", (" at the market", " late", f" {n}")) for n in range(5)]
PROMPTS = [Prompt("Nine people were"), Prompt("She said that the river"), Prompt("She said")]
TESTS = Path(__file__).parents[1]
LIMITS = {"llama": "420KB", "gpt2": "600KB", "gemma2": "360KB", "mixtral": "900KB"}


@pytest.fixture(
    scope="module",
    params=["llama", "mixtral", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("gpt2", "gemma2"))],
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A saved model, and how much of it the host's memory takes."""
    kind, made = request.param, tmp_path_factory.mktemp("models") / request.param
    if kind == "mixtral":  # its experts are packed as it is loaded, so the disk holds them in another form
        torch.manual_seed(0)
        shape = GATED | {"vocab_size": 400, "num_local_experts": 4, "bos_token_id": 0, "eos_token_id": 1}
        AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape)).save_pretrained(made)
    else:
        network(kind).save_pretrained(made)
    tokenizer().save_pretrained(made)
    return str(made), LIMITS[kind]


def answers(model: str, device: str) -> list[Any]:
    """Everything that an engine says of a model, and where its weights were."""
    loaded = load_model(model, device=device)
    engine = load_engine(loaded, engine="hf:pack_tokens=24")
    said: list[Any] = [engine.describe()["scoring"], engine.describe()["generation"]]
    said += [sorted(engine.choices(QUESTIONS)), sorted(engine.passages([Passage(text) for text in SENTENCES]))]
    said += [sorted(engine.generate(PROMPTS, Sampling(max_tokens=12)))]
    return [loaded.facts, *said]


def test_weights_on_the_disk_give_the_same_answers(
    folder: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path))
    model, limit = folder
    facts, *in_memory = answers(model, "cpu")
    facts_spread, *from_disk = answers(model, f"cpu={limit},disk")
    places = facts_spread.pop("placement_bytes")
    assert min(places["cpu"], places["disk"]) > 10_000
    assert facts_spread == facts  # the device is the CPU either way
    assert in_memory == from_disk
    gc.collect()
    assert not list(cache_folder().glob("offload-*"))


def test_weights_on_the_disk_are_not_compressed(tmp_path: Path) -> None:
    network("llama").save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), device=f"cpu={LIMITS['llama']},disk")
    tokens = calibration_tokens(Calibration("pydoc", 2, 16, 0), loaded.tokenizer)
    with pytest.raises(ModelError, match=r"weights wait outside of the devices, first .*--offload disk"):
        compress(loaded, parse_recipe("magnitude:sparsity=0.5"), tokens)


@pytest.mark.parametrize(
    "ways",
    [
        ("fastest", "wanda"),
        pytest.param(("plainly", "q8_0", "magnitude", "sparsegpt"), marks=pytest.mark.slow),
    ],
)
def test_two_devices_say_and_compress_what_one_does(ways: tuple[str, ...]) -> None:
    """No GPU is needed: toy devices hold ordinary tensors, and whatever mixes two devices raises."""
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch takes no devices from Python")
    done = subprocess.run(
        [sys.executable, spread_over_toys.__file__, *ways],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(TESTS)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    alone, over_two = json.loads(done.stdout)
    assert alone.keys() == over_two.keys() == set(ways)
    if "fastest" in ways:
        assert alone["fastest"]["ways"] == ["packs", "packs"]
    pairs = list(zip(leaves(alone), leaves(over_two), strict=True))
    assert len(pairs) > 100
    for one, two in pairs:
        # Toy tensors are copied between devices, and PyTorch rounds by how a tensor lies in memory.
        assert one == two if not isinstance(one, float) else math.isclose(one, two, abs_tol=3e-5)


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if not isinstance(value, list):
        yield value
        return
    for each in value:
        yield from leaves(each)


# ---- on GPUs, where there are any -------------------------------------------------------------------


@pytest.mark.gpu
def test_a_gpu_says_what_the_cpu_does(folder: tuple[str, str]) -> None:
    assert_alike(answers(folder[0], "cpu"), answers(folder[0], "cuda:0"))


@pytest.mark.gpu(2)
def test_two_gpus_say_what_the_cpu_does(folder: tuple[str, str]) -> None:
    on_two = answers(folder[0], "cuda:0,cuda:1")
    assert on_two[0]["placement_bytes"].keys() == {"cuda:0", "cuda:1"}
    assert_alike(answers(folder[0], "cpu"), on_two)


@pytest.mark.gpu
def test_a_gpu_with_weights_in_the_hosts_memory_says_what_the_cpu_does(folder: tuple[str, str]) -> None:
    model, limit = folder
    spread = answers(model, f"cuda:0={limit},cpu")
    assert spread[0]["placement_bytes"].keys() == {"cuda:0", "cpu"}
    assert_alike(answers(model, "cpu"), spread)


def assert_alike(on_cpu: list[Any], elsewhere: list[Any]) -> None:
    """Log-likelihoods within rounding; completions the same to the letter in float32."""
    for (_, one), (_, other) in zip([*on_cpu[3], *on_cpu[4]], [*elsewhere[3], *elsewhere[4]], strict=True):
        ours, theirs = (getattr(each, "logprobs", None) or (each.logprob,) for each in (one, other))
        assert ours == pytest.approx(theirs, abs=2e-3)
    assert on_cpu[5] == elsewhere[5]
