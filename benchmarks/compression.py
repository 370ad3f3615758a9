"""One method here and in llm-compressor: the same model, the same calibration tokens, one run.

    python benchmarks/compression.py wanda --other /path/to/python-with-llmcompressor

Prints seconds, processor seconds (which other work on the machine disturbs less), peak memory, perplexity on 16 x 512
held-out tokens, the ratios, and how far we are from the floor: two forward passes over the calibration tokens, plus the
Gram matrices (where the method needs them) at the measured matmul rate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

RECIPES = {
    "wanda": "wanda:sparsity=0.5",
    "sparsegpt": "sparsegpt:sparsity=0.5",
    "gptq": "gptq:bits=4,group_size=64,symmetric=true",
    "gptq-act-order": "gptq:bits=4,group_size=64,symmetric=true,act_order=true",
    "awq": "awq:bits=4,group_size=64",
}
GRAM = ("sparsegpt", "gptq", "gptq-act-order", "awq")

OURS = """
import json, sys, time, torch
from crushtest.compress.calibration import Calibration, calibration_tokens
from crushtest.compress import compress
from crushtest.models.load import load_model
from crushtest.compress.recipes import parse_recipe
recipe, sequences, length, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
model = load_model("demo")
start = time.process_time()
tokens = calibration_tokens(Calibration(sequences=sequences, length=length), model.tokenizer)
record = compress(model, parse_recipe(recipe), tokens)
result = {"seconds": record.seconds, "cpu": time.process_time() - start}
result["peak_bytes"] = record.peak_memory_bytes["process"]
network = model.network
"""

THEIRS = """
import json, resource, sys, time, torch
from datasets import Dataset
from llmcompressor import oneshot
from transformers import AutoModelForCausalLM
recipe, sequences, length, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
network = AutoModelForCausalLM.from_pretrained(sys.argv[5], dtype=torch.float32)
tokens = torch.load(folder + "/tokens.pt")
data = Dataset.from_dict({"input_ids": tokens.tolist(), "attention_mask": torch.ones_like(tokens).tolist()})
if recipe.startswith("wanda"):
    from llmcompressor.modifiers.pruning import WandaPruningModifier
    modifier = WandaPruningModifier(sparsity=0.5, targets=["Linear"], ignore=["re:.*lm_head"])
elif recipe.startswith("sparsegpt"):
    from llmcompressor.modifiers.pruning import SparseGPTModifier
    modifier = SparseGPTModifier(sparsity=0.5, targets=["Linear"], ignore=["re:.*lm_head"])
else:
    from llmcompressor.modifiers.quantization import GPTQModifier
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 64}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    order = "static" if "act_order" in recipe else None
    modifier = GPTQModifier(config_groups=groups, ignore=["lm_head"], actorder=order)
start, cpu = time.monotonic(), time.process_time()
oneshot(model=network, dataset=data, recipe=[modifier], max_seq_length=length, num_calibration_samples=sequences)
result = {"seconds": time.monotonic() - start, "cpu": time.process_time() - cpu}
result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""

PERPLEXITY = """
held_out = torch.load(folder + "/held_out.pt")
with torch.no_grad():
    losses = [network(ids[None], labels=ids[None]).loss.item() for ids in held_out]
result["perplexity"] = float(torch.tensor(losses).mean().exp())
print("RESULT" + json.dumps(result))
"""


def run(python: str, script: str, arguments: list[str]) -> dict[str, Any]:
    """One side, in a process of its own."""
    done = subprocess.run([python, "-c", script + PERPLEXITY, *arguments], capture_output=True, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT"):
            result: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
            return result
    sys.exit(f"no result from {python}:\n{done.stderr[-2000:]}")


def prepare(sequences: int, length: int, folder: Path) -> str:
    """Write calibration and held-out tokens; return the folder of the dense model."""
    import torch

    from crushtest.compress.calibration import Calibration, token_batches
    from crushtest.data.python_docs import evaluation_prose
    from crushtest.models.demo import converted_folder
    from crushtest.models.load import load_model

    tokenizer = load_model("demo").tokenizer
    torch.save(token_batches(Calibration(sequences=sequences, length=length), tokenizer), folder / "tokens.pt")
    ids = tokenizer("\n\n".join(evaluation_prose()), verbose=False)["input_ids"]
    torch.save(torch.tensor(ids[: len(ids) // 512 * 512]).reshape(-1, 512)[:16], folder / "held_out.pt")
    return str(converted_folder())


class Took(NamedTuple):
    """Seconds by the clock, and of the processor (of both cores together)."""

    seconds: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    """How long something takes."""
    start, cpu = time.monotonic(), time.process_time()
    work()
    return Took(time.monotonic() - start, time.process_time() - cpu)


def floor(with_gram: bool, folder: Path) -> Took:
    """Two forward passes through the blocks, and the Gram matrices' multiplications at the matmul rate."""
    import torch

    from crushtest.models.load import load_model

    tokens = torch.load(folder / "tokens.pt")
    network: Any = load_model("demo").network
    square = torch.randn(2048, 2048)

    def pass_through() -> None:
        for batch in tokens.split(max(1, 1024 // tokens.shape[1])):
            network.model(batch, use_cache=False)

    with torch.no_grad():
        network.model(tokens[:1], use_cache=False)
        forward = timed(pass_through)
        matmul = timed(lambda: [square @ square for _ in range(10)])
    config = network.config
    widths = [config.hidden_size] * 3 + [config.intermediate_size]
    # a symmetric product needs half the multiplications of a plain one
    gram = config.num_hidden_layers * tokens.numel() * sum(width**2 for width in widths) / (10 * 2 * 2048**3)
    print(f"forward pass {forward.seconds:.1f} s, matmul {20 * 2048**3 / matmul.seconds / 1e9:.0f} GFLOP/s", flush=True)
    share = gram if with_gram else 0
    return Took(2 * forward.seconds + share * matmul.seconds, 2 * forward.cpu + share * matmul.cpu)


def show(name: str, side: dict[str, Any]) -> None:
    print(
        f"{name:15} {side['seconds']:6.1f} s  {side['cpu']:6.1f} cpu s  {side['peak_bytes'] / 1e9:.2f} GB  "
        f"ppl {side['perplexity']:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=RECIPES)
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--other", help="a python that has llm-compressor; without it only our side runs")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dense = prepare(options.sequences, options.length, folder)
        arguments = [RECIPES[options.method], str(options.sequences), str(options.length), name, dense]
        least = floor(options.method in GRAM, folder)
        ours = run(sys.executable, OURS, arguments)
        show("crushtest", ours)
        print(
            f"floor           {least.seconds:6.1f} s  {least.cpu:6.1f} cpu s  "
            f"we take {ours['seconds'] / least.seconds:.2f} times that ({ours['cpu'] / least.cpu:.2f} in cpu s)",
            flush=True,
        )
        if options.other:
            theirs = run(options.other, THEIRS, arguments)
            show("llm-compressor", theirs)
            ratio, cpu = theirs["seconds"] / ours["seconds"], theirs["cpu"] / ours["cpu"]
            worse = ours["perplexity"] / theirs["perplexity"] - 1
            print(f"ratio           {ratio:6.2f}    {cpu:6.2f}   our perplexity {worse:+.2%} against theirs")


if __name__ == "__main__":
    main()
