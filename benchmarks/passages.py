"""Perplexity of texts: this engine, lm-evaluation-harness's HFLM, and the loop of transformers' documentation.

    CRUSHTEST_DATA=... python benchmarks/passages.py --tokens 20000 [--set articles|pairs] [--window 2048]

Rolling: every token once, windows that do not overlap; beside `HFLM.loglikelihood_rolling`. Sliding: a window every
`--stride` tokens; beside the strided loop of https://huggingface.co/docs/transformers/perplexity. `articles` is
WikiText-2 (validation), `pairs` are the short sentences of dialect-prejudice. Same network, tokenizer, texts, windows
and threads on all sides; the best run of each counts. Useful work is counted as in scoring.py.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from crushtest import Passage, load_engine
from crushtest.data.sources import read_text
from crushtest.engines.encoding import passage_lines
from crushtest.tasks.dialect_pairs import HABITUAL
from scoring import count_work, floor_seconds, peak_bytes, processor, take_turns, weight_bytes


def main() -> None:
    """Run all sides and print what they took."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    engine: Any = load_engine(arguments.model, pack_tokens=arguments.pack_tokens, device="cpu")
    texts = {"articles": articles, "pairs": pairs}[arguments.set](engine.model.loaded.tokenizer, arguments.tokens)
    print(f"{arguments.set}, {len(texts)} texts, window {arguments.window}; {engine.describe()['scoring']}")
    print(f"{torch.get_num_threads()} threads, {processor()}, torch {torch.__version__}")
    rolling(engine, texts, arguments)
    if arguments.set == "articles":
        sliding(engine, "\n\n".join(texts), arguments)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--set", choices=["articles", "pairs"], default="articles")
    parser.add_argument("--window", type=int, default=2048)
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--pack-tokens", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", type=lambda text: [int(n) for n in text.split(",") if n], default=[1, 4, 16])
    return parser.parse_args()


def articles(tokenizer: Any, tokens: int) -> list[str]:
    """Articles of WikiText-2 until that many tokens are reached."""
    text = (Path(os.environ["CRUSHTEST_DATA"]) / "wikitext-2-raw" / "wiki.valid.raw").read_text()
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        # A line of one `=` on either side is an article's title; sections have more of them.
        if line.startswith(" = ") and not line.startswith(" = ="):
            found.append("")
        if found:
            found[-1] += line
    return _first(found, tokenizer, tokens)


def pairs(tokenizer: Any, tokens: int) -> list[str]:
    """Sentences, dialect and mainstream in turn, until that many tokens are reached."""
    lines = read_text("dialect-prejudice", HABITUAL).strip().split("\n")
    return _first([side for line in lines for side in line.split("\t")], tokenizer, tokens)


def _first(texts: list[str], tokenizer: Any, tokens: int) -> list[str]:
    chosen = []
    for text in texts:
        chosen.append(text)
        tokens -= len(tokenizer(text)["input_ids"])
        if tokens <= 0:
            break
    return chosen


def rolling(engine: Any, texts: list[str], arguments: argparse.Namespace) -> None:
    """Every token once: beside lm-evaluation-harness."""
    requests = [Passage(text, arguments.window) for text in texts]
    sides: dict[str, Callable[[], Any]] = {
        "crushtest": lambda: [score for _, score in sorted(engine.passages(requests))]
    }
    for size in arguments.batch_sizes:
        sides[f"lm-eval, batch {size}"] = partial(lm_eval_rolling, engine, texts, arguments.window, size)
    sides["crushtest"]()
    above_weights = (peak_bytes() - weight_bytes(engine)) / 1e9
    timed = take_turns(sides, arguments.repeats)
    tokens = sum(score.tokens for score in timed["crushtest"].result)
    print(f"rolling, {tokens:,} tokens")
    for name, one in timed.items():
        print(f"  {name:18} {tokens / one.wall_s:7.0f} tokens/s")
    print(f"  peak memory of crushtest above the weights: {above_weights:.2f} GB")
    ours = timed.pop("crushtest")
    groups = passage_lines(engine.model.tokenizer, requests, engine.model.context)
    work = count_work([line for group in groups for line in group])
    print(f"  useful tokens reach {floor_seconds(engine, work) / ours.wall_s:.0%} of the matmul rate")
    if timed:
        theirs = min(timed.values(), key=lambda one: one.wall_s)
        differences = [abs(a.logprob - b) / max(a.tokens, 1) for a, b in zip(ours.result, theirs.result, strict=True)]
        print(f"  ratio to the best of lm-eval: {theirs.wall_s / ours.wall_s:.2f}")
        print(f"  largest difference: {max(differences):.1e} nats per token")


def lm_eval_rolling(engine: Any, texts: list[str], window: int, batch_size: int) -> list[float]:
    """The texts' log-likelihoods as lm-evaluation-harness computes them."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = HFLM(
        engine.model.loaded.network,
        tokenizer=engine.model.loaded.tokenizer,
        batch_size=batch_size,
        max_length=window,
        device="cpu",
    )
    asked = [Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0) for text in texts]
    answers: list[float] = model.loglikelihood_rolling(asked, disable_tqdm=True)
    return answers


def sliding(engine: Any, text: str, arguments: argparse.Namespace) -> None:
    """A window every so many tokens: beside transformers' documentation."""
    request = Passage(text, arguments.window, protocol="sliding", stride=arguments.stride)
    timed = take_turns(
        {
            "crushtest": lambda: next(engine.passages([request]))[1],
            "documented": lambda: documented_loop(engine, text, arguments.window, arguments.stride),
        },
        arguments.repeats,
    )
    ours, theirs = timed["crushtest"], timed["documented"]
    tokens, mean = ours.result.tokens, -ours.result.logprob / ours.result.tokens
    print(f"sliding every {arguments.stride}, {tokens:,} tokens")
    print(f"  crushtest         {tokens / ours.wall_s:7.0f} tokens/s")
    print(f"  transformers' loop {tokens / theirs.wall_s:6.0f} tokens/s")
    print(f"  ratio: {theirs.wall_s / ours.wall_s:.2f}; difference of the mean {abs(mean - theirs.result):.1e} nats")


def documented_loop(engine: Any, text: str, window: int, stride: int) -> float:
    """Mean negative log-likelihood by the strided loop: one window at a time, the loss of its new tokens."""
    network = engine.model.loaded.network
    ids = engine.model.loaded.tokenizer(text, return_tensors="pt", verbose=False)["input_ids"]
    total, count, before = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + window, ids.shape[1])
        labels = ids[:, begin:end].clone()
        labels[:, : before - begin] = -100
        with torch.inference_mode():
            loss = network(ids[:, begin:end], labels=labels).loss
        # The network shifts the labels, so the first token of a window is not among those it averages over.
        scored = int((labels[:, 1:] != -100).sum())
        total, count, before = total + float(loss) * scored, count + scored, end
        if end == ids.shape[1]:
            break
    return total / count


if __name__ == "__main__":
    main()
