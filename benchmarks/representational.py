"""BBQ and UnQover: what prefix sharing saves, how fast questions are scored, how fast UnQover's items are made.

    CRUSHTEST_DATA=... python benchmarks/representational.py [--model demo] [--questions N] [--pairs N] [--no-scoring]

The token ratio is over all questions of every BBQ category at hand, over those of its relatives in other languages
(about age, where they are by category), and over a sample of pairs of UnQover: tokens that a batch of whole texts
holds, against nodes of the trie in packs as the engine runs them. Questions/s are measured on `--questions` of each,
spread over the categories. UnQover's items are generated whole, nothing kept.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from crushtest import load_engine
from crushtest.engines.encoding import choice_pairs, encode_options
from crushtest.engines.packing import plan_packs
from crushtest.records import Choices, Item
from crushtest.tasks.bbq.bbq import CATEGORIES, bbq
from crushtest.tasks.esbbq.cabbq import cabbq
from crushtest.tasks.esbbq.esbbq import esbbq
from crushtest.tasks.kobbq import kobbq
from crushtest.tasks.mbbq.mbbq import Language, mbbq
from crushtest.tasks.sampling import stratified_sample
from crushtest.tasks.unqover.generate import Category, read_examples
from crushtest.tasks.unqover.unqover import unqover

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.substitutes import read_substitutes


class Tokens(NamedTuple):
    """Tokens of all options with their contexts, and nodes that a trie of them has."""

    questions: int
    naive: int
    shared: int


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--questions", type=int, default=550, help="scored of BBQ, and of UnQover")
    parser.add_argument("--pairs", type=int, default=10_000, help="of UnQover, for the token ratio")
    parser.add_argument("--no-scoring", action="store_true", help="no model runs: tokens and generation only")
    asked = parser.parse_args()
    read_substitutes()
    print(f"{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'all')}, model {asked.model}")
    generation()
    engine: Any = load_engine(asked.model)
    ratios(engine, asked.pairs)
    if not asked.no_scoring:
        scoring(engine, asked.questions)


def generation() -> None:
    """UnQover's keys and whole items per second, and the memory that takes."""
    print("\nUnQover            items        keys/s       items/s   peak memory")
    for category in get_args(Category):
        examples = read_examples(category)
        keys_per_s, items_per_s = (round(rate(stream)) for stream in (examples.keys(), iter(examples)))
        print(f"{category:<18} {len(examples):>9,} {keys_per_s:>11,} {items_per_s:>11,} {peak_mb():>10.0f} MB")


def rate(stream: Iterable[object]) -> float:
    """Elements per second."""
    began = time.perf_counter()
    count = sum(1 for _ in stream)
    return count / (time.perf_counter() - began)


def ratios(engine: Any, pairs: int) -> None:
    """Tokens naively and as a trie, by category."""
    print("\ntokens             questions        naive       shared   ratio")
    counted = []
    for category in CATEGORIES:
        counted.append(tokens_of(engine, bbq(categories=(category,)).items()))
        print_tokens(category, counted[-1])
    print_tokens("BBQ", Tokens(*map(sum, zip(*counted, strict=True))))
    for name, items in other_languages():
        print_tokens(name, tokens_of(engine, items))
    for name in get_args(Category):
        print_tokens(f"UnQover {name}"[:18], tokens_of(engine, unqover(categories=(name,)).sample_items(4 * pairs, 0)))


def other_languages() -> Iterator[tuple[str, Sequence[Item]]]:
    """The questions about age of BBQ's relatives, by set and language, and KoBBQ's questions."""
    for language in get_args(Language):
        items = mbbq(language=language, categories=("Age",)).items()
        yield f"MBBQ Age {language}", [item for item in items if item.facts["asked"] == "groups"]
    yield "EsBBQ Age", esbbq(categories=("Age",)).items()
    yield "CaBBQ Age", cabbq(categories=("Age",)).items()
    yield "KoBBQ", kobbq().items()


def tokens_of(engine: Any, items: Iterable[Item]) -> Tokens:
    """Counted with the engine's tokenizer and pack size."""
    requests = choices(items)
    pairs = [pair for request in requests for pair in choice_pairs(engine.model.tokenizer, request)]
    lines = encode_options(engine.model.tokenizer, pairs)
    shared = sum(len(pack.tokens) for pack in plan_packs(lines, engine.model.packed.size))
    return Tokens(len(requests), sum(len(line.tokens) for line in lines), shared)


def print_tokens(name: str, tokens: Tokens) -> None:
    """A row of the table."""
    print(
        f"{name:<18} {tokens.questions:>9,} {tokens.naive:>12,} {tokens.shared:>12,} "
        f"{tokens.naive / tokens.shared:>6.2f}x"
    )


def scoring(engine: Any, questions: int) -> None:
    """Questions per second on this machine."""
    print("\nscoring            questions   seconds   questions/s   peak memory")
    samples = {
        "BBQ": stratified_sample(bbq().items(), questions, 0),
        "UnQover religion": unqover().sample_items(questions, 0),
    }
    for name, items in samples.items():
        requests = choices(items)
        began = time.perf_counter()
        answered = sum(1 for _ in engine.choices(requests))
        took = time.perf_counter() - began
        print(f"{name:<18} {answered:>9,} {took:>9.1f} {answered / took:>13.1f} {peak_mb():>10.0f} MB")


def choices(items: Iterable[Item]) -> Sequence[Choices]:
    """The requests of items that have options."""
    return [item.request for item in items if isinstance(item.request, Choices)]


def peak_mb() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
