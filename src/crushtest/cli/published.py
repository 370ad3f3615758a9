"""The commands of `crushtest published`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from crushtest.cli.envelope import print_result
from crushtest.cli.output import AsJson, print_line, print_table

app = typer.Typer(help="Results that others published, as one table to set beside your own.", no_args_is_help=True)


@app.command("list")
def list_sources(json: AsJson = False) -> None:
    """List the sources of published results, with their licences."""
    from crushtest.data.published.catalogue import SOURCES

    rows = [
        {"source": name, "licence": source.licence, "citation": source.citation} for name, source in SOURCES.items()
    ]
    if json:
        print_result("published list", rows)
    else:
        print_table([["source", "licence", "citation"], *([row[key] for key in row] for row in rows)])


@app.command("fetch")
def fetch(
    source: Annotated[str, typer.Argument(help="A source of `crushtest published list`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write published.parquet into.")],
    json: AsJson = False,
) -> None:
    """Write a source's numbers into published.parquet, and print how many of them each rule marked.

    The authors' files are read at their pinned revision: from a mirror (CRUSHTEST_DATA), the cache, or their
    repository. Rules put back what stands in the wrong place, and mark what is not comparable, each with its reason.

    Example: crushtest published fetch xu2024 -o published/
    """
    from crushtest.data.published import table
    from crushtest.data.published.catalogue import source_of
    from crushtest.files.atomic import make_writable

    chosen = source_of(source)
    make_writable(output)
    points = chosen.read()
    path = table.write(points, output)
    counts = table.cells_per_flag(points)
    if json:
        print_result("published fetch", {"path": str(path), "numbers": len(points), "marked": counts})
        return
    print_line(str(path))
    print_line(f"{len(points):,} numbers; marked by each rule:", file=sys.stderr)
    print_table([["rule", "numbers"], *([flag, str(count)] for flag, count in counts.items())])


@app.command("figures")
def figures(
    source: Annotated[str, typer.Argument(help="A source of `crushtest published list`, or a published.parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write into.")],
    json: AsJson = False,
) -> None:
    """Write the figures (SVG) and tables of published results, drawn as a study's are.

    Per measure: changes against compression, the change in each group, training before and after compression; and
    what a dialect costs. Numbers that are not comparable are left out and counted.
    """
    from crushtest.data.published.catalogue import read_points
    from crushtest.files.atomic import make_writable
    from crushtest.report.published import write_published

    make_writable(output)
    paths = [str(path) for path in write_published(read_points(source), output)]
    if json:
        print_result("published figures", {"files": paths})
        return
    for path in paths:
        print_line(path)
