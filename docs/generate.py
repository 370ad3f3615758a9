"""Write docs/tasks/, a page for every task made from its docstring, options, metrics and data sets, and
docs/architectures.md, the table of docs/architectures.csv.

python docs/generate.py            write the pages
python docs/generate.py --check    exit code 1, and the names, where a page on disk is not what would be written
"""

from __future__ import annotations

import csv
import inspect
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from crushtest.data.catalogue import SourceFile, data_set, read_by
from crushtest.metrics import Metric
from crushtest.registry import METHODS, TASKS, Dimension, Entry
from crushtest.tasks.base import Task
from crushtest.tasks.shared.divergence_metrics import divergence_metrics

FOLDER = Path(__file__).parent / "tasks"
GENERATED = "<!-- Generated from the docstrings by docs/generate.py; do not edit. -->\n"
BY_HAND = {"refusal"}
"""Pages there that are not made: what a real model does in the suite of that name."""
LIMIT = """A study's `limit` (`--limit`) is the number of items asked per task; `limit` among a task's options in a
study file precedes it, and `limit: null` asks for all. Items are drawn with the study's `seed`, evenly over the
combinations of groups, unless the task's page says otherwise.
"""
MANY = 8
"""From so many metrics of one prefix on, they share a line."""

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

ENTRY = re.compile(r"(\S.*?)\s{2,}(\S.*)")


def pages() -> dict[str, str]:
    """File name -> content."""
    return {"index.md": index()} | {f"{entry.name}.md": page(entry) for entry in TASKS}


def index() -> str:
    """All tasks by dimension, with their first lines."""
    parts = [f"{GENERATED}\n# Tasks\n\n{LIMIT}"]
    for dimension in get_args(Dimension):
        entries = [entry for entry in TASKS if entry.about.dimension == dimension]
        lines = "".join(f"- [{entry.name}]({entry.name}.md): {entry.summary}\n" for entry in entries)
        parts.append(f"\n## {dimension.capitalize()}\n\n{lines}")
    return "".join(parts)


def page(entry: Entry) -> str:
    """The page of one task."""
    about = inspect.getdoc(entry.function) or ""
    module = inspect.getdoc(inspect.getmodule(entry.function)) or ""
    task: Task = entry.function(**entry.bind({}))
    parts = [
        f"{GENERATED}\n# {entry.name}\n",
        f"{entry.summary}\n",
        f"**Dimension** {entry.about.dimension}  \n**Source** {entry.about.source}  \n"
        f"**Licence** {entry.about.licence}  \n**Requests** {task.kind}\n",
        markdown(about.partition("\n")[2]),
        markdown(module.partition("\n")[2]),
        *section("Options", options(entry)),
        *section("Metrics with the default options", metrics(task.metrics)),
        *section("Divergence metrics", divergence() if "divergence" in entry.options else ""),
        *section("Data", data(entry.name)),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part.strip())


def architectures() -> str:
    """The page of how each family of models is run, from what the contract test saw."""
    with (FOLDER.parent / "architectures.csv").open(encoding="utf-8", newline="") as file:
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


def section(title: str, content: str) -> Iterator[str]:
    """A section with its heading, where there is anything in it."""
    if content:
        yield f"## {title}\n"
        yield content


def markdown(docstring: str) -> str:
    """A docstring's paragraphs; aligned lists (`name   text`) and lists of names with indented text become lists."""
    paragraphs = [paragraph for paragraph in re.split(r"\n\s*\n", docstring.strip("\n")) if paragraph.strip()]
    return "".join(f"{paragraph_markdown(paragraph.splitlines())}\n" for paragraph in paragraphs)


def paragraph_markdown(lines: Sequence[str]) -> str:
    """One paragraph; a list inside an item of a list becomes a list inside it."""
    written: list[str] = []
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        in_list = bool(written) and written[-1].startswith(("- ", "  "))
        entry = ENTRY.fullmatch(line)
        if line.startswith(" "):
            inner = ENTRY.fullmatch(line.strip()) if in_list else None
            text = f"- `{inner[1]}` {inner[2]}" if inner else line.strip()
            nested = bool(written) and written[-1].startswith(("  -", "    ")) and not inner
            written.append(f"{'    ' if nested else '  ' if in_list else ''}{text}")
        elif entry:
            first = ENTRY.fullmatch(entry[2])
            written += [f"- `{entry[1]}`", f"  - `{first[1]}` {first[2]}"] if first else [f"- `{entry[1]}` {entry[2]}"]
        elif following.startswith(" ") and not ENTRY.fullmatch(following):
            written.append(f"- {', '.join(f'`{name}`' if ' ' not in name else name for name in line.split(', '))}")
        else:
            written += [""] * in_list + [line]
    return spaced("\n".join(written)) + "\n"


def spaced(text: str) -> str:
    """The text with an empty line in front of each list, which Markdown needs."""
    return re.sub(r"(?m)^(?!- |  |$)(.+)\n(?=- )", r"\1\n\n", text)


def options(entry: Entry) -> str:
    rows = [
        f"| `{name}` | {values(schema)} | `{json.dumps(schema.get('default'))}` |\n"
        for name, schema in entry.describe()["options"].items()
    ]
    return f"| option | values | default |\n| --- | --- | --- |\n{''.join(rows)}" if rows else ""


def values(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words.

    >>> values({"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}]}), values({"enum": ["a", "b"]})
    ('integer, at least 2; or none', '`a`, `b`')
    """
    if "anyOf" in schema:
        return "; or ".join(values(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value if isinstance(value, str) else json.dumps(value)}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {values(schema.get('items', {}))}"
    words = {"string": "text", "null": "none"}
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    kind = words.get(schema.get("type", ""), schema.get("type", "anything"))
    return ", ".join([kind, *(f"{limit} {schema[key]}" for key, limit in limits.items() if key in schema)])


def metrics(listed: Sequence[Metric]) -> str:
    rows = []
    for (prefix, unit, better), group in groupby(listed, key=lambda m: (m.name.partition("_")[0], m.unit, m.better)):
        names = [metric.name + (f"`, `{metric.name}_gap" if metric.with_gap else "") for metric in group]
        shown = [f"`{name}`" for name in names]
        if len(names) >= MANY:
            shown = [f"`{prefix}_...` ({len(names)})"]
        rows += [f"| {name} | {unit} | {better} |\n" for name in shown]
    return f"| metric | unit | better |\n| --- | --- | --- |\n{''.join(rows)}"


def divergence() -> str:
    """What every task with an option `divergence` says of it."""
    return markdown(inspect.getdoc(divergence_metrics) or "")


def data(task: str) -> str:
    lines = []
    for name in read_by(task):
        known = data_set(name)
        place = known.repository if known.manual_download else f"github {known.repository} @ {known.revision[:7]}"
        files = f"{len(known.files)} file{'s' if len(known.files) != 1 else ''}, {checks(known.files)}"
        lines.append(f"- {place}: {known.licence}. {known.citation}. {known.manual_download or files}.\n")
    return "".join(lines)


def checks(files: Mapping[str, SourceFile]) -> str:
    """How the content of the files is checked, with the names of those that are checked otherwise than most."""
    blobs = [name for name, file in files.items() if file.checksum.startswith("git:")]
    if len(blobs) == len(files):
        return "checked by git's blob id"
    return "checked by sha256" + (f" ({', '.join(blobs)} by git's blob id)" if blobs else "")


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or check them; returns the exit code."""
    wanted = pages()
    present = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md") if path.stem not in BY_HAND}
    stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    page, text = FOLDER.parent / "architectures.md", architectures()
    current = page.is_file() and page.read_text(encoding="utf-8") == text
    if "--check" in arguments:
        if not current:
            print("docs/architectures.md is not what docs/generate.py writes")
        print("\n".join(f"docs/tasks/{name} is not what docs/generate.py writes" for name in stale), end="")
        return 1 if stale or not current else 0
    FOLDER.mkdir(exist_ok=True)
    page.write_text(text, encoding="utf-8")
    for name in stale:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
