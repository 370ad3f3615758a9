"""Do our numbers agree with lm-evaluation-harness's? The same model, the same questions, item by item.

    CRUSHTEST_DATA=... python benchmarks/agreement.py [--model demo] [--items 300] [--articles 62] [--requests-only]

Runs the harness's own task files (its prompts, templates, few-shot order, normalisation and metrics) on rows of the
data sets as published, and our tasks on the same rows, and compares every request, every log-likelihood and every
result. Needs lm-eval (`pip install crushtest[bench]`). `--requests-only` compares the requests and runs no model.
Exit code 1 where something differs by more than 1e-3 (of whole texts: nats per token).
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crushtest.metrics import Metric
from crushtest.records import Item
from crushtest.stats.item_sums import measure_sums

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from agreement_subjects import WINDOW, Subject, subjects
from support.substitutes import read_substitutes

TOLERANCE = 1e-3


class Result(NamedTuple):
    """How far one comparison agrees. Differences are the largest over items, of whole texts in nats per token; seconds
    are of the scoring alone."""

    name: str
    items: int
    requests_equal: bool
    log_likelihood: float
    results_equal: int
    ours: dict[str, float]
    theirs: dict[str, float]
    seconds: tuple[float, float]


# ---- what is compared ------------------------------------------------------------------------------


# ---- their side ------------------------------------------------------------------------------------


def run_harness(subject: Subject, lm: Any) -> tuple[dict[str, dict[str, Any]], float]:
    """Item id -> the harness's logged sample, and the seconds it took."""
    from lm_eval import simple_evaluate

    began = time.monotonic()
    results = simple_evaluate(lm, tasks=list(subject.configs), bootstrap_iters=0, log_samples=True, verbosity="ERROR")
    seconds = time.monotonic() - began
    samples = {}
    for config, ids in zip(subject.configs, subject.rows, strict=True):
        logged = results["samples"][config["task"]]
        samples |= {ids[sample["doc_id"]]: sample for sample in logged}
    return samples, seconds


def harness_model(network: Any, tokenizer: Any, batch_size: int, max_length: int | None = None) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=network, tokenizer=tokenizer, batch_size=batch_size, max_length=max_length)


class Listener:
    """A model of the harness that answers nothing and lets the requests be read."""

    def __new__(cls) -> Any:
        from lm_eval.api.model import LM

        class Silent(LM):
            def loglikelihood(self, requests: Any, **kwargs: Any) -> Any:
                return [(-float(len(request.args[1])), False) for request in requests]

            def loglikelihood_rolling(self, requests: Any, **kwargs: Any) -> Any:
                return [-1.0 for _ in requests]

            def generate_until(self, requests: Any, **kwargs: Any) -> Any:
                raise NotImplementedError

        return Silent()


def requests_of(sample: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The requests of a logged sample: (context, continuation) or (text,)."""
    arguments = sample["arguments"]
    listed = arguments.values() if isinstance(arguments, Mapping) else arguments
    found = [tuple(one.values()) if isinstance(one, Mapping) else tuple(one) for one in listed]
    return [tuple(part for part in one if isinstance(part, str)) for one in found]


def our_requests(item: Item) -> list[tuple[str, ...]]:
    request: Any = item.request
    if hasattr(request, "options"):
        return [(request.context, option) for option in request.options]
    return [(request.text,)]


def log_likelihoods(sample: Mapping[str, Any]) -> list[float]:
    """Of each option, or of the passage."""
    found = sample["filtered_resps"]
    return [float(one[0]) if isinstance(one, list | tuple) else float(one) for one in found]


# ---- the comparison --------------------------------------------------------------------------------


def compare(subject: Subject, samples: Mapping[str, Any], answers: Mapping[str, Any], times: Any) -> Result:
    """Item by item; answers by item id."""
    requests_equal = all(requests_of(samples[item.id]) == our_requests(item) for item in subject.items)
    largest, equal = 0.0, 0
    for item in subject.items:
        answer = answers[item.id]
        ours, tokens = (answer.logprobs, 1) if hasattr(answer, "logprobs") else ([answer.logprob], answer.tokens)
        largest = max(largest, *np.abs(np.subtract(ours, log_likelihoods(samples[item.id]))) / tokens)
        equal += all(
            abs(value(metric, [item], answers) - their_value(samples[item.id], name)) < TOLERANCE
            for metric, name in named(subject)
        )
    totals = {metric.name: value(metric, subject.items, answers) for metric, _ in named(subject)}
    theirs = {metric.name: their_mean(subject, samples, name) for metric, name in named(subject)}
    return Result(subject.name, len(subject.items), requests_equal, float(largest), equal, totals, theirs, times)


def named(subject: Subject) -> list[tuple[Metric, str]]:
    by_name = {metric.name: metric for metric in subject.metrics_of}
    return [(by_name[ours], theirs) for ours, theirs in subject.metrics.items()]


def value(metric: Metric, items: Sequence[Item], answers: Mapping[str, Any]) -> float:
    return float(metric.formula(*measure_sums(metric, items, answers, {}).columns.sum(axis=0)))


PERPLEXITIES = {
    "word_perplexity": np.exp,
    "byte_perplexity": np.exp,
    "bits_per_byte": lambda nats: nats / np.log(2),
}


def their_value(sample: Mapping[str, Any], name: str) -> float:
    """The harness's result of one item; of perplexities it logs (log-likelihood, count)."""
    result = sample[name]
    if name in PERPLEXITIES:
        return float(PERPLEXITIES[name](-result[0] / result[1]))
    return float(result)


def their_mean(subject: Subject, samples: Mapping[str, Any], name: str) -> float:
    results = [samples[item.id][name] for item in subject.items]
    if name in PERPLEXITIES:
        return float(PERPLEXITIES[name](-sum(one[0] for one in results) / sum(one[1] for one in results)))
    return float(np.mean(results))


def our_answers(engine: Any, items: Sequence[Item]) -> dict[str, Any]:
    requests: Any = [item.request for item in items]
    ask = engine.choices if hasattr(requests[0], "options") else engine.passages
    return {items[index].id: answer for index, answer in ask(requests)}


def show(result: Result) -> None:
    ours, theirs = (" ".join(f"{value:.6f}" for value in side.values()) for side in (result.ours, result.theirs))
    times = f"{result.seconds[0]:.1f} s, {result.seconds[1]:.1f} s, {result.seconds[1] / result.seconds[0]:.1f}x"
    equal = "all" if result.requests_equal else "NOT ALL"
    numbers = f"{result.log_likelihood:.1e} | {result.results_equal} | {', '.join(result.ours)} | {ours} | {theirs}"
    print(f"| {result.name} | {result.items} | {equal} | {numbers} | {times} |", flush=True)


def agrees(result: Result) -> bool:
    return result.requests_equal and result.log_likelihood < TOLERANCE and result.results_equal == result.items


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--articles", type=int, default=62)
    parser.add_argument("--batch-size", type=int, default=16, help="of the harness")
    parser.add_argument("--only", help="only comparisons whose name holds this")
    parser.add_argument("--requests-only", action="store_true")
    arguments = parser.parse_args()
    read_substitutes()
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HF_HOME", folder)
        listed = subjects(arguments.items, arguments.articles, Path(folder))
        chosen = (one for one in listed if not arguments.only or arguments.only in one.name)
        return check_requests(chosen) if arguments.requests_only else check_scores(chosen, arguments)


def check_requests(listed: Iterator[Subject]) -> int:
    failed = False
    for subject in listed:
        samples, _ = run_harness(subject, Listener())
        different = [item for item in subject.items if requests_of(samples[item.id]) != our_requests(item)]
        print(f"{subject.name}: {len(subject.items) - len(different)} of {len(subject.items)} requests are equal")
        if different:
            failed = True
            print(f"first: {our_requests(different[0])[0]!r}\nharness: {requests_of(samples[different[0].id])[0]!r}")
    return int(failed)


def check_scores(listed: Iterator[Subject], arguments: argparse.Namespace) -> int:
    from crushtest import load_engine, load_model

    model = load_model(arguments.model)
    engine = load_engine(model)
    lm = harness_model(model.network, model.tokenizer, arguments.batch_size)
    rolling = harness_model(model.network, model.tokenizer, 1, WINDOW)
    print(
        "| set | items | requests equal | largest difference, nats | results equal | metrics | ours | harness | time |"
    )
    print("| --- | ---: | --- | ---: | ---: | --- | --- | --- | --- |")
    results = []
    for subject in listed:
        began = time.monotonic()
        answers = our_answers(engine, subject.items)
        seconds = time.monotonic() - began
        samples, theirs = run_harness(subject, rolling if "word_perplexity" in subject.metrics else lm)
        results.append(compare(subject, samples, answers, (seconds, theirs)))
        show(results[-1])
    return 0 if all(map(agrees, results)) else 1


if __name__ == "__main__":
    sys.exit(main())
