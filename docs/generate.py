"""Write docs/tasks/, a page for every task made from its docstring, options, metrics and data sets, and
docs/architectures.md, the table of docs/architectures.csv.

python docs/generate.py            write the pages
python docs/generate.py --check    exit code 1, and the names, where a page on disk is not what would be written
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from architectures_page import architectures
from crushtest.data.catalogue import SourceFile, data_set, read_by
from crushtest.metrics import Metric
from crushtest.registry import TASKS, Dimension, Entry
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
