"""Greedy completions by this engine and by plain transformers `generate`, on the same prompts in one run.

    CRUSHTEST_DATA=... python benchmarks/generation.py --prompts 128 [--batch-sizes 8,32,64] [--max-tokens 32]

Prompts are as mixed as in use: beginnings of sentences (RealToxicityPrompts), and for every fourth, a question in the
chat template (MT-Bench), longer and often answered before the room is used. `generate` gets the prompts in the order
given, padded on the left, with its own cache, and goes on until all rows of a batch have ended. Both sides take turns;
the best run of each counts. Tokens are those written before a text ends, the same for both.

The floor is the time of what no way of writing can leave out: each distinct prefix of the prompts once through the
layers; then for the tokens written, the larger of reading all weights once a step (a batch at a time) and the
multiply-adds at the measured rate.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from crushtest import Prompt, Sampling, load_engine, load_model
from crushtest.engines.encoding import encode_prompts
from crushtest.engines.hf.generation import end_tokens
from crushtest.engines.packing import Line
from scoring import count_work, floor_seconds, processor, rate, take_turns

Tokens = Sequence[int]
Text = tuple[str, int]
SIDES = ("crushtest", "generate")


def main() -> None:
    """Run both sides and print what they took."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    prompts = mixed(arguments.prompts)
    sampling = Sampling(max_tokens=arguments.max_tokens)
    model = load_model(arguments.model, device="cpu")
    engines: dict[int, Any] = {size: load_engine(model, batch_size=size) for size in arguments.batch_sizes}
    engine = next(iter(engines.values()))
    tokens = encode_prompts(engine.model.tokenizer, prompts)
    ends = end_tokens(engine.model.loaded)
    sides: dict[str, Callable[[], Any]] = {}
    for size, one in engines.items():
        sides[f"crushtest, batch {size}"] = partial(ours, one, prompts, sampling)
        sides[f"generate, batch {size}"] = partial(theirs, engine, tokens, size, arguments.max_tokens, ends)
    timed = take_turns(sides, arguments.repeats)
    lengths = sorted(map(len, tokens))
    print(f"{len(prompts)} prompts of {lengths[0]} to {lengths[-1]} tokens, up to {arguments.max_tokens} more")
    print(f"{torch.get_num_threads()} threads, {processor()}, torch {torch.__version__}")
    written = {name: [count for _, count in one.result] for name, one in timed.items()}
    for name, one in timed.items():
        print(f"{name:22} {sum(written[name]) / one.wall_s:6.0f} tokens/s")
    best = {side: min((n for n in timed if n.startswith(side)), key=lambda n: timed[n].wall_s) for side in SIDES}
    mine, plain = (timed[best[side]] for side in SIDES)
    early = sum(count < arguments.max_tokens for count in written[best["crushtest"]])
    same = sum(a == b for a, b in zip(mine.result, plain.result, strict=True))
    print(f"{early} of {len(prompts)} end early; {same} are the same text on both sides")
    print(f"ratio of the best to the best: {plain.wall_s / mine.wall_s:.2f}")
    size = int(best["crushtest"].rpartition(" ")[2])
    floor = floor_of(engine, tokens, sum(written[best["crushtest"]]), size)
    print(f"  the floor is {floor:.1f} s of {mine.wall_s:.1f} s: {floor / mine.wall_s:.0%}")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--batch-sizes", type=lambda text: [int(n) for n in text.split(",")], default=[8, 32, 64])
    return parser.parse_args()


def mixed(count: int) -> list[Prompt]:
    """Three beginnings of a sentence, then a question, and so on."""
    data = Path(os.environ["CRUSHTEST_DATA"])
    beginnings = (data / "realtoxicityprompts" / "quark_val.jsonl").read_text().splitlines()
    questions = (data / "mt_bench" / "question.jsonl").read_text().splitlines()
    return [
        Prompt(json.loads(questions[number // 4 % len(questions)])["turns"][0], chat=True)
        if number % 4 == 3
        else Prompt(json.loads(beginnings[number])["prompt"]["text"])
        for number in range(count)
    ]


def ours(engine: Any, prompts: list[Prompt], sampling: Sampling) -> list[Text]:
    """The completions and their lengths in tokens."""
    completions = sorted(engine.generate(prompts, sampling), key=lambda pair: pair[0])
    return [(completion.text, completion.tokens) for _, completion in completions]


def theirs(engine: Any, tokens: list[Tokens], size: int, room: int, ends: set[int]) -> list[Text]:
    """The completions and their lengths in tokens by `generate`, a batch at a time."""
    found = []
    for first in range(0, len(tokens), size):
        batch = tokens[first : first + size]
        width = max(map(len, batch))
        ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in batch])
        present = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch])
        rows = engine.model.loaded.network.generate(
            input_ids=ids,
            attention_mask=present,
            max_new_tokens=room,
            do_sample=False,
            eos_token_id=sorted(ends),
            pad_token_id=0,
        )
        for row in rows[:, width:].tolist():
            stop = next((place for place, token in enumerate(row) if token in ends), len(row))
            found.append((engine.model.tokenizer.decode(row[:stop]), stop))
    return found


def floor_of(engine: Any, prompts: list[Tokens], written: int, size: int) -> float:
    """Seconds of the work that is left however it is done, at the rates of this machine."""
    reading = floor_seconds(engine, count_work([Line([*prompt, 0], len(prompt)) for prompt in prompts]))
    network = engine.model.loaded.network
    weights = [m.weight for m in network.base_model.modules() if isinstance(m, torch.nn.Linear)]
    weights.append(network.get_output_embeddings().weight)
    products = 2 * sum(weight.numel() for weight in weights)
    once = products / rate(weights, 1)
    print(f"  reading all weights takes {once * 1e3:.0f} ms; {rate(weights, size) / 1e9:.0f} GFLOP/s at {size} rows")
    return reading + max(written / size * once, written * products / rate(weights, 2048))


if __name__ == "__main__":
    main()
