"""What engines, file types, compression and two faults do to the fixed text that every arm scores.

    python benchmarks/fixed_text.py --files FOLDER [--recipes rtn:bits=4,group_size=64]

Differences are nats per token from `demo` in `hf`, its Q4_1 file dequantized to float32. Files of other types are made
from that file in FOLDER, where they stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from crushtest import load_engine, load_model
from crushtest.compress.calibration import Calibration
from crushtest.compress.prepare import compress_base, read_calibration
from crushtest.compress.recipes import parse_recipe
from crushtest.engines.llamacpp.requantize import requantize
from crushtest.models.demo import find_gguf
from crushtest.models.options import ModelOptions
from crushtest.pipeline.fixed_text import score_fixed_text
from crushtest.progress import show_progress

STORES = {
    "F32": [{"kv": "f32", "flash": "off"}, {}],
    "F16": [{}],
    "Q8_0": [{}],
    "Q6_K": [{}],
    "Q4_1": [{}, {"kv": "q8_0"}, {"kv": "q4_0"}],
    "Q4_K_M": [{}],
    "Q4_0": [{}],
}


def main() -> None:
    """Print a line per engine, file or fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, required=True)
    recipes = [f"{method}:bits={bits},group_size=64" for method in ("rtn", "gptq") for bits in (4, 3)]
    parser.add_argument("--recipes", nargs="*", default=recipes)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dense = score_fixed_text(load_engine("demo", device="cpu"))
    print(f"dense: {dense['nats']:.2f} nats, {dense['tokens']} tokens, {dense['bytes']} bytes", flush=True)
    for name, engine in measured(arguments.files, arguments.recipes):
        score = score_fixed_text(engine)
        change = (score["nats"] - dense["nats"]) / dense["tokens"]
        same = "same tokens" if score["token_digest"] == dense["token_digest"] else "OTHER TOKENS"
        print(f"{name:34} {change:+.5f} per token, {same}", flush=True)


def measured(files: Path, recipes: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield each engine under a name."""
    files.mkdir(parents=True, exist_ok=True)
    for file_type, stores in STORES.items():
        path = find_gguf() if file_type == "Q4_1" else files / f"demo-{file_type}.gguf"
        if not path.exists():
            requantize(find_gguf(), path, file_type)
        for store in stores:
            shown = ", ".join(f"{key}={value}" for key, value in store.items())
            yield f"llamacpp {file_type} {shown}", load_engine(str(path), engine="llamacpp", threads=1, **store)
    yield "hf, rope base 10000", load_engine(other_rope())
    yield "hf, scales left out", load_engine(without_scales())
    options = ModelOptions("float32", "cpu", trust_remote_code=False, allow_pickle=False)
    calibration = Calibration(source="pydoc", sequences=16, length=512, seed=0)
    for text in recipes:
        model = options.load("demo")
        with show_progress(0) as progress:
            compress_base(model, parse_recipe(text), read_calibration(options, "demo", calibration), text, progress)
        yield f"hf {text}", load_engine(model)


def other_rope() -> Any:
    """The demo as an engine has it that does not find the file's rope base, 100,000."""
    model = load_model("demo", device="cpu")
    rotary: Any = model.network.model.rotary_emb  # type: ignore[union-attr]
    size = 2 * len(rotary.inv_freq)
    rotary.inv_freq = 10_000.0 ** -(torch.arange(0, size, 2).float() / size)
    return model


def without_scales() -> Any:
    """The demo with 8-bit integers in the place of its weights, and their scales forgotten."""
    model = load_model("demo", device="cpu")
    for name, weight in model.network.named_parameters():
        if weight.dim() == 2 and "embed" not in name:
            weight.data = (weight / (weight.abs().amax(dim=1, keepdim=True) / 127)).round()
    return model


if __name__ == "__main__":
    main()
