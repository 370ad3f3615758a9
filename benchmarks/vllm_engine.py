"""The vllm engine beside `hf`, and beside itself, on BBQ questions and texts: agreement, and what sharing gains.

    CRUSHTEST_DATA=... python benchmarks/vllm_engine.py --items 24 [--options dtype=float32] [--timed 9]
        [--address URL]

It needs an environment that has vLLM. Questions and texts are scored by `hf` (in --hf-dtype), by vLLM with shared
prefixes, without, and one line at a time. Then the three ways are timed in turn, without and with five examples in
front. With an address, the same model behind vLLM's server is asked by the engine `openai` as well.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from crushtest import Choices, Passage, Prompt, Sampling, load_engine
from crushtest.registry import ENGINES
from crushtest.tasks.probes.probe_qa import probe_qa
from crushtest.tasks.probes.probe_text import probe_text
from scoring import bbq, processor, take_turns

Scores = np.ndarray[Any, np.dtype[np.float64]]


def main() -> None:
    """Print agreement, then what sharing gains."""
    arguments = parse()
    given = ENGINES.get("vllm").bind(dict(pair.split("=") for pair in arguments.options.split(",") if pair))
    shared = load_engine(arguments.model, engine="vllm", **given)
    alone = unshared(shared)
    described = shared.describe()
    threads = described.get("threads", torch.get_num_threads())
    print(f"{described['program']}, {described['dtype']}, {described['scoring']}; {threads} threads, {processor()}")
    agreement(arguments, shared, alone)
    for shots in (0, 5) if arguments.timed else ():
        time_ways(shared, alone, bbq(arguments.timed, shots), shots)


def agreement(arguments: argparse.Namespace, shared: Any, alone: Any) -> None:
    """Print how far the ways are from each other, on questions and on texts."""
    hf = load_engine(arguments.model, device="cpu", dtype=arguments.hf_dtype)
    sides = {f"hf {arguments.hf_dtype}": hf, "vllm unshared": alone}
    if arguments.address:
        sides["vllm served"] = load_engine(arguments.address, engine="openai", tokenizer=arguments.model)
    probe = [item.request for item in probe_qa().items()][: arguments.items]
    texts = [item.request for item in probe_text().items()][: arguments.texts]
    for name, asked in {"probe_qa": probe, "bbq": bbq(arguments.items, 0), "probe_text": texts}.items():
        if not asked:
            continue
        ours = scores(shared, asked)
        print(f"{name}: {len(asked)} items, {len(ours)} numbers")
        for side, engine in sides.items():
            print(f"    shared against {side:16} {far(ours, scores(engine, asked))}")
        if name != "probe_text":
            singly = np.concatenate([scores(shared, [one]) for one in lines(asked)])
            print(f"    shared against {'single lines':16} {far(ours, singly)}")
    prompts = [Prompt(text.text[:80]) for text in texts]
    for sampling in (Sampling(16), Sampling(16, temperature=1.0, seed=1)):
        ours = dict(shared.generate(prompts, sampling))
        for side, engine in sides.items():
            same = sum(ours[index] == theirs for index, theirs in engine.generate(prompts, sampling))
            print(f"completions at temperature {sampling.temperature}: {same} of {len(prompts)} as {side}")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--texts", type=int, default=4)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--options", default="", help="of the engine: dtype=float32,kv=fp8")
    parser.add_argument("--hf-dtype", default="float32")
    parser.add_argument("--address", help="of vLLM's server with the same model")
    parser.add_argument("--timed", type=int, default=0, help="how many questions are timed")
    return parser.parse_args()


def unshared(engine: Any) -> Any:
    """The same engine without shared prefixes."""
    likelihood = replace(engine.model.likelihood, shares=False)
    return replace(engine, model=replace(engine.model, likelihood=likelihood, unshared="every line by itself"))


def lines(questions: list[Choices]) -> list[Choices]:
    """Every option as a question of its own."""
    return [replace(question, options=(option,)) for question in questions for option in question.options]


def scores(engine: Any, asked: list[Choices] | list[Passage]) -> Scores:
    """Log-likelihoods of all options or texts, in nats; those of a text per token."""
    if isinstance(asked[0], Choices):
        return np.array([value for _, answer in sorted(engine.choices(asked)) for value in answer.logprobs])
    return np.array([answer.logprob / answer.tokens for _, answer in sorted(engine.passages(asked))])


def far(ours: Scores, theirs: Scores) -> str:
    """Mean and largest difference."""
    difference = np.abs(ours - theirs)
    return f"mean {difference.mean():.1e}, largest {difference.max():.1e} nats"


def time_ways(shared: Any, alone: Any, questions: list[Choices], shots: int) -> None:
    """Print questions per second."""
    timed = take_turns(
        {
            "shared prefixes": lambda: scores(shared, questions),
            "unshared": lambda: scores(alone, questions),
            "one line at a time": lambda: [scores(alone, [one]) for one in lines(questions)],
        },
        1,
    )
    for name, way in timed.items():
        print(f"{shots} examples, {name:18} {len(questions) / way.wall_s:7.2f} questions/s")


if __name__ == "__main__":
    main()
