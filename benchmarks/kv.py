"""Rounded keys and values in `hf` beside llama.cpp's own, on the demo's weights in float32.

    CRUSHTEST_DATA=... python benchmarks/kv.py --files FOLDER [--tokens 2048] [--items 12] [--kinds q8_0,q4_0]

WikiText-2 in windows of 512 tokens is compared token by token, BBQ questions option by option. For each kind: how far
`hf` and llama.cpp are from each other, how far llama.cpp is from itself if it reads a token at a time instead of a
batch and `hf` from itself in smaller packs, and how far each is from its own exact run. Then `hf` without the order of
channels and without the rotation, both of which llama.cpp has. `kivi4` and `kivi2` are compared with the exact run
alone, every token after the first of a window being written. The file of float32 weights is made in FOLDER, where it
stays.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from crushtest import Choices, load_engine
from crushtest.engines.packing import Line
from llamacpp import EXACT, file_of, flips, llama, scores
from scoring import bbq, processor

WINDOW = 512
ROUNDING = "crushtest.engines.hf.kv_cache"


class Measured(NamedTuple):
    """Log-likelihoods in nats of every token of the text, and of every option."""

    tokens: np.ndarray[Any, Any]
    options: np.ndarray[Any, Any]


def main() -> None:
    """Print a line per kind and comparison."""
    arguments = parse()
    torch.set_num_threads(1)
    path, questions = file_of(arguments.files, "F32"), bbq(arguments.items, 0)
    plain, exact = load_engine("demo", device="cpu"), llama(path, **EXACT)
    windows = text_windows(plain, arguments.tokens)
    if windows != text_windows(exact, arguments.tokens):
        raise SystemExit("the two tokenizers cut the text in different ways")
    count = sum(len(window) - 1 for window in windows)
    print(f"{count} tokens, {len(questions)} questions; 1 thread, {processor()}")
    ours_exact, theirs_exact = (measure(engine, windows, questions) for engine in (plain, exact))
    show("none", "hf against llama.cpp", ours_exact, theirs_exact)
    for kind in arguments.kinds:
        if kind.startswith("kivi"):
            ours = measure(load_engine("demo", device="cpu", kv=kind), windows, questions)
            show(kind, "hf against hf kv=none", ours, ours_exact)
            continue
        theirs = measure(llama(path, kv=kind), windows, questions)
        alone = measure(llama(path, kv=kind, batch=1), windows, questions)
        for name, engine in simulations(kind):
            ours = measure(engine, windows, questions)
            show(kind, f"{name} against llama.cpp", ours, theirs)
            if name == "hf":
                show(kind, "llama.cpp token by token against llama.cpp", alone, theirs)
                quarter = load_engine("demo", device="cpu", kv=kind, pack_tokens=256)
                show(kind, "hf in packs of 256 against hf", measure(quarter, windows, questions), ours)
                show(kind, "hf against hf kv=none", ours, ours_exact)
                show(kind, "llama.cpp against llama.cpp kv=f32", theirs, theirs_exact)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--items", type=int, default=12)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["q8_0", "q4_0"])
    return parser.parse_args()


def text_windows(engine: Any, tokens: int) -> list[list[int]]:
    """The beginning of WikiText-2, in windows that each begin with the start token."""
    text = (Path(os.environ["CRUSHTEST_DATA"]) / "wikitext-2-raw" / "wiki.valid.raw").read_text()[: 8 * tokens]
    [ids] = engine.model.tokenizer.encode([text], add_special=False)
    start = engine.model.tokenizer.start
    return [[start, *ids[first : first + WINDOW]] for first in range(0, tokens, WINDOW)]


def simulations(kind: str) -> Iterator[tuple[str, Any]]:
    """`hf` as it is, and without what llama.cpp does before it rounds."""
    yield "hf", load_engine("demo", device="cpu", kv=kind)
    engine = load_engine("demo", device="cpu", kv=kind)
    engine.model.packed.kv = replace(engine.model.packed.kv, paired=False)
    yield "hf, keys in transformers' order,", engine
    with patch(f"{ROUNDING}.key_rotation", lambda size: 0), patch(f"{ROUNDING}.value_rotation", lambda size: 0):
        yield "hf, not rotated,", load_engine("demo", device="cpu", kv=kind)


def measure(engine: Any, windows: list[list[int]], questions: list[Choices]) -> Measured:
    """Score every token of the windows after the first, and every option."""
    if str(engine.describe().get("kv")).startswith("kivi"):
        plain = engine.model.padded
        tokens = [plain.run(plain.plan([Line(window, 1)]), 0) for window in windows]
        return Measured(np.concatenate(tokens), scores(engine, questions))
    # Lines that continue each other share all their tokens, so each token is computed once.
    groups = [[Line(window[: stop + 1], stop) for stop in range(1, len(window))] for window in windows]
    answers = sorted(engine.model.score(groups, ()), key=lambda pair: pair[0])
    return Measured(np.concatenate([logprobs for _, logprobs in answers]), scores(engine, questions))


def show(kind: str, what: str, ours: Measured, theirs: Measured) -> None:
    """Print mean and signed mean per token, then mean, largest and changed picks per option."""
    tokens, options = ours.tokens - theirs.tokens, np.abs(ours.options - theirs.options)
    print(
        f"{kind:5} {what:50} token {np.abs(tokens).mean():.2g}, signed {tokens.mean():+.2g}; "
        f"option {options.mean():.2g}, largest {options.max():.2g}, picks {flips(ours.options, theirs.options)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
