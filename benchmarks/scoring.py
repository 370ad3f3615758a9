"""Questions with options, scored by this engine and by lm-evaluation-harness's HFLM in one run.

    CRUSHTEST_DATA=... python benchmarks/scoring.py --items 120 [--set bbq|mbbq|mmlu] [--shots 5] [--batch-sizes 1,4,16]

With `--one-by-one` this engine also scores every option by itself, so that nothing is shared. All sides get the same
network, tokenizer, questions and threads, and are timed from texts to scores; they take turns, and the best run of each
counts. The matmul rate is measured on the network's own weight matrices, in turn, at the size of a pack. Useful work is
what no way of scoring can leave out: the matrices for each distinct prefix token, the vocabulary for each token that
predicts, and each token's attention to those before it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from crushtest import Choices, load_engine
from crushtest.engines.encoding import encode_options
from crushtest.engines.packing import Line

LETTERS = "ABCD"
ALONE = "one by one"


def main() -> None:
    """Run both sides and print what they took."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    if arguments.set == "bbq":
        questions = bbq(arguments.items, arguments.shots)
    elif arguments.set == "mbbq":
        questions = mbbq(arguments.items, arguments.language)
    else:
        questions = mmlu(arguments.items, arguments.shots, arguments.subjects)
    engine: Any = load_engine(arguments.model, pack_tokens=arguments.pack_tokens, device="cpu")
    print(
        f"{arguments.set}, {len(questions)} questions, {arguments.shots} examples each; {engine.describe()['scoring']}"
    )
    print(f"{torch.get_num_threads()} threads, {processor()}, torch {torch.__version__}")
    sides: dict[str, Callable[[], Any]] = {
        "crushtest": lambda: [scores.logprobs for _, scores in sorted(engine.choices(questions))]
    }
    for size in arguments.batch_sizes:
        sides[f"lm-eval, batch {size}"] = partial(lm_eval_scores, engine, questions, size)
    if arguments.one_by_one:
        sides[ALONE] = partial(one_by_one, engine, questions)
    sides["crushtest"]()
    above_weights = (peak_bytes() - weight_bytes(engine)) / 1e9
    timed = take_turns(sides, arguments.repeats)
    for name, one in timed.items():
        print(f"{name:18} {len(questions) / one.wall_s:7.2f} questions/s")
    print(f"peak memory of crushtest above the weights: {above_weights:.2f} GB")
    ours = timed.pop("crushtest")
    report_rate(engine, questions, ours.wall_s)
    if alone := timed.pop(ALONE, None):
        report_ratio(ours, alone, "one option at a time")
    if timed:
        report_ratio(ours, min(timed.values(), key=lambda one: one.wall_s), "the best of lm-eval")


def report_ratio(ours: Timed, theirs: Timed, name: str) -> None:
    """Print how much longer another side took, and how far its scores are from these."""
    pairs = [(a, b) for x, y in zip(ours.result, theirs.result, strict=True) for a, b in zip(x, y, strict=True)]
    print(f"ratio to {name}: {theirs.wall_s / ours.wall_s:.1f}")
    print(f"largest difference of {len(pairs)} scores: {max(abs(a - b) for a, b in pairs):.1e} nats")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=120)
    parser.add_argument("--set", choices=["bbq", "mbbq", "mmlu"], default="bbq")
    parser.add_argument("--language", choices=["en", "es", "nl", "tr"], default="es", help="of mbbq")
    parser.add_argument("--one-by-one", action="store_true", help="also score every option by itself")
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--subjects", type=int, default=57, help="of mmlu; a subject has 246 questions on average")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--pack-tokens", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--batch-sizes", type=lambda text: [int(n) for n in text.split(",") if n], default=[1, 4, 16, 32]
    )
    return parser.parse_args()


# ---- questions -------------------------------------------------------------------------------------


def bbq(count: int, shots: int) -> list[Choices]:
    """The first questions about age, with the first of another category as examples."""
    folder = Path(os.environ["CRUSHTEST_DATA"]) / "bbq"
    rows = [json.loads(line) for line in (folder / "Age.jsonl").read_text().splitlines()[:count]]
    examples = [json.loads(line) for line in (folder / "Religion.jsonl").read_text().splitlines()[:shots]]
    front = "".join(f"{bbq_text(row)} {row['ans' + str(row['label'])]}\n\n" for row in examples)
    return [Choices(front + bbq_text(row), tuple(f" {row[f'ans{n}']}" for n in range(3))) for row in rows]


def bbq_text(row: dict[str, Any]) -> str:
    """A question without its answer."""
    return f"Context: {row['context']}\nQuestion: {row['question']}\nAnswer:"


def mbbq(count: int, language: str) -> list[Choices]:
    """What a study with that limit asks: questions of a language, each with its English counterpart."""
    from crushtest.tasks.mbbq.mbbq import mbbq as task

    items = task(language=language).sample_items(count, seed=0)
    return [item.request for item in items if isinstance(item.request, Choices)]


def mmlu(count: int, shots: int, subjects: int) -> list[Choices]:
    """Questions of the test set, spread over the first subjects, each with examples of its own subject."""
    import csv

    folder = Path(os.environ["CRUSHTEST_DATA"]) / "mmlu" / "mmlu"
    files = sorted((folder / "test").glob("*_test.csv"))[:subjects]
    asked = []
    for number, file in enumerate(files):
        share = count * (number + 1) // len(files) - count * number // len(files)
        subject = file.name.removesuffix("_test.csv")
        examples = list(csv.reader((folder / "dev" / f"{subject}_dev.csv").open()))[:shots]
        front = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
        front += "".join(f"{mmlu_text(row)} {row[5]}\n\n" for row in examples)
        rows = list(csv.reader(file.open()))[:share]
        asked += [Choices(front + mmlu_text(row), tuple(f" {letter}" for letter in LETTERS)) for row in rows]
    return asked


def mmlu_text(row: list[str]) -> str:
    """A question without its answer."""
    return "\n".join([row[0], *(f"{letter}. {row[n + 1]}" for n, letter in enumerate(LETTERS)), "Answer:"])


# ---- the two sides ---------------------------------------------------------------------------------


class Timed(NamedTuple):
    """A result and how long it took."""

    result: Any
    wall_s: float


def take_turns(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Timed]:
    """The fastest run of each side. They take turns, so that whatever else the machine does falls on all of them."""
    timed: dict[str, Timed] = {}
    for _ in range(rounds):
        for name, run in sides.items():
            begun = time.perf_counter()
            result = run()
            one = Timed(result, time.perf_counter() - begun)
            timed[name] = min(timed.get(name, one), one, key=lambda run: run.wall_s)
    return timed


def one_by_one(engine: Any, questions: list[Choices]) -> list[tuple[float, ...]]:
    """The options' log-likelihoods, each from a call of its own."""
    return [
        tuple(
            scores.logprobs[0] for option in question.options for _, scores in engine.choices([alone(question, option)])
        )
        for question in questions
    ]


def alone(question: Choices, option: str) -> Choices:
    """A question with one option only."""
    return replace(question, options=(option,))


def lm_eval_scores(engine: Any, questions: list[Choices], batch_size: int) -> list[tuple[float, ...]]:
    """The options' log-likelihoods as lm-evaluation-harness computes them."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = HFLM(
        engine.model.loaded.network, tokenizer=engine.model.loaded.tokenizer, batch_size=batch_size, device="cpu"
    )
    asked = [
        Instance(request_type="loglikelihood", doc={}, arguments=(question.context, option), idx=0)
        for question in questions
        for option in question.options
    ]
    answers = iter(model.loglikelihood(asked, disable_tqdm=True))
    return [tuple(next(answers)[0] for _ in question.options) for question in questions]


# ---- the floor -------------------------------------------------------------------------------------


def report_rate(engine: Any, questions: list[Choices], wall_s: float) -> None:
    """Print how much of the time the useful matrix products would take at the measured rate."""
    pairs = [(question.context, option) for question in questions for option in question.options]
    lines = encode_options(engine.model.tokenizer, pairs)
    work = count_work(lines)
    computed = sum(len(pack.tokens) for pack in engine.model.packed.plan(lines))
    print(f"  {work.tokens:,} tokens, {work.distinct:,} distinct prefixes, {computed:,} computed")
    print(f"  useful tokens reach {floor_seconds(engine, work) / wall_s:.0%} of the matmul rate")


def floor_seconds(engine: Any, work: Work) -> float:
    """Time that the products of this work take at the measured rate."""
    network = engine.model.loaded.network
    body = [m.weight for m in network.base_model.modules() if isinstance(m, torch.nn.Linear)]
    head = [network.get_output_embeddings().weight]
    body_rate, head_rate = rate(body, min(engine.model.packed.size, work.distinct)), rate(head, 256)
    config = network.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 4 * config.num_hidden_layers * config.num_attention_heads * size * work.attended
    print(f"  matmul rate {body_rate / 1e9:.0f} GFLOP/s in the layers, {head_rate / 1e9:.0f} in the vocabulary")
    layers = 2 * sum(weight.numel() for weight in body) * work.distinct + attention
    return layers / body_rate + 2 * head[0].numel() * work.rows / head_rate


class Work(NamedTuple):
    """Tokens asked for, distinct prefixes among them, pairs of a prefix and a token of it, prefixes that predict."""

    tokens: int
    distinct: int
    attended: int
    rows: int


def count_work(lines: list[Line]) -> Work:
    """What has to be computed at least."""
    prefixes, predicting = set(), set()
    for line in lines:
        for end in range(1, len(line.tokens)):
            prefix = hash(tuple(line.tokens[:end]))
            prefixes.add((prefix, end))
            if end >= line.start:
                predicting.add((prefix, end))
    tokens = sum(len(line.tokens) - 1 for line in lines)
    return Work(tokens, len(prefixes), sum(end for _, end in prefixes), len(predicting))


def rate(weights: list[torch.Tensor], rows: int) -> float:
    """FLOP/s of products with these matrices, one after another as in the network; the best of several passes."""
    inputs = {weight.shape[1]: torch.randn(rows, weight.shape[1]) for weight in weights}

    def products() -> None:
        for weight in weights:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    with torch.inference_mode():
        wall_s = take_turns({"": products}, 7)[""].wall_s
    return 2 * rows * sum(weight.numel() for weight in weights) / wall_s


def peak_bytes() -> int:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def weight_bytes(engine: Any) -> int:
    """Bytes of the network's weights."""
    return sum(parameter.nbytes for parameter in engine.model.loaded.network.parameters())


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


if __name__ == "__main__":
    main()
