"""Make docs/architectures.md from docs/architectures.csv, which tests/contracts/test_architectures.py fills.

docs/generate.py writes the page.
"""

from __future__ import annotations

import csv
import inspect
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from crushtest.registry import METHODS

TABLE = Path(__file__).parent / "architectures.csv"
SCORING = ("packs", "batches", "alone")
GENERATION = ("packs", "cached", "cached_by_length", "cached_alone", "anew")
ARCHITECTURES = """<!-- Generated from docs/architectures.csv by docs/generate.py; do not edit. -->

# Architectures

How the engine `hf` runs each family of causal language models that transformers makes small on a CPU, and some
variants of them. Weights are random, in float32. Each row compares the log-likelihoods of 20 lines of 7 to 90
tokens, in packs of 64, with a forward pass of the line alone, and greedy completions of 10 tokens, of 7 prompts of 4 to
80 tokens, with a loop of such passes without a cache. No longer lines, no other packs and no 16 bits were compared.
Such lines do not reach the windows of 512 tokens and more that many families have. Of {total} families and variants
{ran} ran. Scoring: {scoring}. Generation: {generation}. `tests/contracts/test_architectures.py` measures them
again (CRUSHTEST_SLOW=1), and with CRUSHTEST_EVIDENCE=write it renews the table.

The engine decides when it loads a model, by a trial against the model's own forward pass. `describe()` and the manifest
say how it ran (`scoring`, `generation`) and why no faster way was taken.

| word | scoring |
| --- | --- |
| packs | prefix-shared packs |
| batches | lines padded on the right, in the network's own forward pass |
| alone | a forward pass per line |

| word | generation |
| --- | --- |
| packs | prompts in packs, then a token per row, with our own store of keys and values |
| cached | transformers' generation and cache, prompts padded on the left |
| cached by length | the same, prompts of one length together |
| cached alone | the same, one prompt at a time |
| anew | no cache: every line is read again for each token |

Where rotary frequencies follow the longest line of a call (`dynamic`, `longrope`), the scale of attention follows a
token's place in the call (`floor_scale`), or attention leaves tokens out beyond a number of them, longer lines are
scored alone and written anew, and packs hold fewer tokens than that. The last column names that number. Beyond it
some models (`index_topk`, `keep_window_size`) let a token depend on later ones: transformers' own forward pass does.

The column `methods` says which compression methods run: see [below](#compression). Where it is empty, none was tried.

| family | scoring | generation | nats | texts that differ | methods | why no faster way |
| --- | --- | --- | --- | --- | --- | --- |
{table}
## Compression

Each method ran with its defaults, on groups that are whole rows where it has groups, and calibrated on 4 sequences
of 48 tokens, on a fresh copy of each of {compressed} networks. {take_all} of them take all of these methods,
{take_none} take none. A method that does not run is refused by its check, from the configuration alone, unless its
reason says otherwise. One model of each way of storing (`rtn`, `nf4`, `int8`, `wanda`) was saved and loaded again:
no token's log-likelihood differs by more than {saved} nats between the two, nor, for `wanda`, between the model in
memory and the engine's score of the saved one. A method that needs a file of its own (`llmcompressor`) was not
tried.

| method | families that it runs on | refused |
| --- | --- | --- |
{per_method}
{reasons}
## Refused when loaded

{refused}
## Not made

transformers names these as causal language models, and a small one could not be made from its configuration:

{none}"""


def architectures() -> str:
    """The page of how each family of models is run, from what the contract test saw."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ran = [row for row in rows if row["nats"]]
    made = [row for row in rows if row["methods"]]
    count = {way: sum(row["scoring"] == way for row in ran) for way in SCORING}
    wrote = {way: sum(row["generation"] == way for row in ran) for way in GENERATION}
    table = "".join(
        f"| {row['name']} | {row['scoring']} | {row['generation'].replace('_', ' ')} | {row['nats']} | {row['texts']} "
        f"| {taken(row['methods'])} | {row['why'].replace('|', '/')} |\n"
        for row in ran
    )
    beside = {
        way: "".join(f"- {row['name']}: {row['why']}\n" for row in rows if row["scoring"] == way)
        for way in ("refused", "none")
    }
    return ARCHITECTURES.format(
        total=len(rows),
        ran=len(ran),
        scoring=", ".join(f"{count[way]} {way}" for way in SCORING),
        generation=", ".join(f"{wrote[way]} {way.replace('_', ' ')}" for way in GENERATION),
        table=table,
        compressed=len(made),
        take_all=sum(row["methods"] == "all" for row in made),
        take_none=sum(row["methods"] == "none" for row in made),
        per_method=per_method(made),
        reasons=reasons(made),
        saved=max((row["saved"] for row in made if row["saved"]), key=float),
        **beside,
    )


def without_file() -> list[str]:
    """The compression methods that need no option, which are those that were tried."""
    entries = [METHODS.get(name) for name in METHODS.names()]
    return [e.name for e in entries if all(p.default is not inspect.Parameter.empty for p in e.options.values())]


def taken(methods: str) -> str:
    """The cell that says which methods run on a family."""
    return methods if methods in ("all", "none", "") else f"not {', '.join(left_out(methods))}"


def left_out(methods: str) -> list[str]:
    """The methods that do not run."""
    return [] if methods == "all" else sorted({*without_file()} - set(methods.split()))


def per_method(rows: Sequence[Mapping[str, str]]) -> str:
    """A line per method: on how many families it runs."""
    refused = Counter(method for row in rows for method in left_out(row["methods"]))
    return "".join(f"| {method} | {len(rows) - refused[method]} | {refused[method]} |\n" for method in without_file())


def reasons(rows: Sequence[Mapping[str, str]]) -> str:
    """A line per reason why methods are refused: which, and on which families."""
    gathered: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        for refusal in filter(None, row["refused"].split(" | ")):
            method, _, reason = refusal.partition(": ")
            reason = re.sub(
                r"^method '[^']+', layer [^:]+: |^\w+(?:ForCausalLM|LMHeadModel|Model) |; use another.*", "", reason
            )
            by_family = gathered.setdefault(re.sub(r"skip=\w+", "skip=...", reason), {})
            by_family.setdefault(row["name"], set()).add(method)
    return "".join(f"- {reason}: {_whom(families)}\n" for reason, families in sorted(gathered.items()))


def _whom(families: Mapping[str, set[str]]) -> str:
    """The families, gathered by the methods that are refused on them."""
    gathered: dict[str, list[str]] = {}
    for name, methods in families.items():
        which = "all methods" if len(methods) == len(without_file()) else ", ".join(sorted(methods))
        gathered.setdefault(which, []).append(name)
    return "; ".join(f"{which} on {', '.join(names)}" for which, names in gathered.items())
