"""Write docs/tasks/, a page for every task made from its docstring, options, metrics and data sets, docs/reference/,
made from the rest of the code, and docs/architectures.md, the table of docs/architectures.csv.

python docs/generate.py            write the pages
python docs/generate.py --check    exit code 1, and the names, where a page on disk is not what would be written
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import get_args

from architectures_page import architectures
from crushtest.data.catalogue import SourceFile, data_set, read_by
from crushtest.metrics import Metric
from crushtest.registry import TASKS, Dimension, Entry
from crushtest.tasks.base import Task
from crushtest.tasks.shared.divergence_metrics import divergence_metrics
from docstrings import markdown, option_table
from reference_pages import pages as reference_pages

DOCS = Path(__file__).parent
GENERATED = "<!-- Generated from the docstrings by docs/generate.py; do not edit. -->\n"
BY_HAND = {"refusal"}
"""Pages there that are not made: what a real model does in the suite of that name."""
LIMIT = """A study's `limit` (`--limit`) is the number of items asked per task; `limit` among a task's options in a
study file precedes it, and `limit: null` asks for all. Items are drawn with the study's `seed`, evenly over the
combinations of groups, unless the task's page says otherwise.
"""
MANY = 8
"""From so many metrics of one prefix on, they share a line."""


def pages() -> dict[str, str]:
    """Path in docs/ -> content."""
    tasks = {"index": index()} | {entry.name: page(entry) for entry in TASKS}
    return (
        {f"tasks/{name}.md": text for name, text in tasks.items()}
        | {f"reference/{name}": f"{GENERATED}\n{text}" for name, text in reference_pages().items()}
        | {"architectures.md": architectures()}
    )


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
        *section("Options", option_table(entry.describe()["options"])),
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


def present() -> dict[str, str]:
    """Path in docs/ -> content of the generated pages on disk."""
    paths = [*(DOCS / "tasks").glob("*.md"), *(DOCS / "reference").glob("*.md"), DOCS / "architectures.md"]
    found = [path for path in paths if path.is_file() and path.stem not in BY_HAND]
    return {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in found}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or check them; returns the exit code."""
    wanted, there = pages(), present()
    stale = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if "--check" in arguments:
        print("".join(f"docs/{name} is not what docs/generate.py writes\n" for name in stale), end="")
        return 1 if stale else 0
    for name in stale:
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        if name in wanted:
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
