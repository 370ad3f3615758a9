"""The command that looks for the smallest recipe whose harms stay within a budget: search."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crushtest.cli.envelope import Status, print_result
from crushtest.cli.options import DryRun, Model, Running, Selection, Threads, flattened, given
from crushtest.cli.output import AsJson, print_line, print_table
from crushtest.errors import UnknownName, UsageError
from crushtest.printing import quoted

if TYPE_CHECKING:
    from crushtest.pipeline.search.opening import Search
    from crushtest.study.searched import SearchRecord

GRAINS = ("block", "linear")
SCORES = ("measured", "gradient")
SWAPS = 12
"""Measurements that go into swaps by default if there is a target: then there is one mix."""
EXIT_CODES = {"found": 0, "none": 3, "inconclusive": 4}
STATUS: dict[str, Status] = {"found": "passed", "none": "regression", "inconclusive": "inconclusive"}


Target = Annotated[
    str | None,
    typer.Option(
        metavar="size=SHARE",
        help="Seek the best recipe of this size: the linear layers' bits as a share of what they take at 16 bits. "
        "Default: seek the smallest recipe that passes.",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RECIPE",
        help="What parts are tried with: recipes of one step, whose lists expand. Repeatable. "
        "Default: rtn:bits=2,3,4,8,group_size=64.",
    ),
]


@flattened
def search(
    model: Model,
    budget: Annotated[str, typer.Option(help="The policy whose margins are the budget: a file or a built-in one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The search's folder.")],
    target: Target = None,
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", "-r", help="A recipe that is a candidate too. Repeatable.")
    ] = None,
    option: Options = None,
    grain: Annotated[str, typer.Option(help="What has an option of its own: block or linear.")] = "block",
    items: Annotated[
        int, typer.Option(min=1, help="Items per task that each part's sensitivity is measured on, about.")
    ] = 64,
    sensitivity: Annotated[
        Path | None,
        typer.Option(help="Take the sensitivities from another search's folder: same model, items and options."),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(help="measured, or gradient: estimated from gradients. Default: gradient above 7B parameters."),
    ] = None,
    swaps: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Measurements of each whole mix that go into swaps of two parts. Default: 12 with --target, else 0.",
        ),
    ] = None,
    *,
    selection: Selection,
    running: Running,
    threads: Threads = None,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """Find the smallest mix of options whose harms stay within a policy, and verify it on items that it never saw.

    Exit code 0: found; 3: none passes; 4: inconclusive. If it is interrupted, the same command resumes it.

    Example: crushtest search demo --budget policy.yaml --target size=0.25 -o searches/demo
    """
    from crushtest.pipeline.dtypes import settle_dtype
    from crushtest.pipeline.search.opening import open_search
    from crushtest.pipeline.search.request import DEFAULT_OPTIONS, SearchRequest
    from crushtest.pipeline.search.run import run_search
    from crushtest.study.searched import SearchFolder
    from crushtest.study.spec import build_spec

    if grain not in GRAINS:
        raise UnknownName("grain", grain, GRAINS, where="search")
    if scores is not None and scores not in SCORES:
        raise UnknownName("scores", scores, SCORES, where="search")
    spec = build_spec({"model": model} | given(selection) | given(running), where="search")
    request = SearchRequest(
        spec=settle_dtype(spec, SearchFolder(out).screen),
        budget=budget_text(budget),
        given=tuple(recipe or ()),
        grain="linear" if grain == "linear" else "block",
        target=None if target is None else size_of(target),
        items=items,
        scores=None if scores is None else ("gradient" if scores == "gradient" else "measured"),
        swaps=swaps if swaps is not None else SWAPS if target is not None else 0,
        options=tuple(option) if option else DEFAULT_OPTIONS,
    )
    found = open_search(request, out, sensitivity)
    if dry_run:
        show_plan(found)
        return
    try:
        record = run_search(found)
    except KeyboardInterrupt:
        print_line("crushtest: interrupted; the same command resumes from here", file=sys.stderr)
        raise typer.Exit(130) from None
    show(record, out, json=json)
    raise typer.Exit(EXIT_CODES[record.outcome or "inconclusive"])


def budget_text(name: str) -> str:
    """Return the text of a policy, in a file or ready-made. Raises UsageError if there is none, or it is invalid."""
    from crushtest.gate.policy import policies, read_policy

    read_policy(name)
    path = Path(name)
    return path.read_text(encoding="utf-8") if path.is_file() else policies()[name]


def size_of(text: str) -> float:
    """Return the share in `size=0.25`. Raises UsageError for any other text."""
    match = re.fullmatch(r"size=(\d*\.?\d+)", text.strip())
    if match is None:
        raise UsageError(f"target: write size=SHARE, such as size=0.25 (got {quoted(text)})")
    return float(match[1])


def show_plan(found: Search) -> None:
    """Print what a search would do, step by step, and how much that is."""
    request, halves = found.request, found.counted
    print_table(
        [
            ["task", "items to search", "clusters", "items to verify", "clusters"],
            *(
                [task, str(half.search), str(half.search_clusters), str(half.verify), str(half.verify_clusters)]
                for task, half in halves.items()
            ),
        ]
    )
    parts, options = len(found.parts), len(request.option_recipes)
    mixes = 10 if request.target is None else 1
    arms = mixes * (2 if request.swaps else 1) + options + len(request.given_recipes)
    asked = sum(min(half.search, request.items) for half in halves.values())
    search, verify = (sum(getattr(half, name) for half in halves.values()) for name in ("search", "verify"))
    for line in (
        f"1. dense answers the {search} items of the search half",
        f"2. sensitivity: {parts} parts x {options} options on about {asked} items, "
        + (
            "estimated from a backward pass per item"
            if found.scores == "gradient"
            else f"each from its block up (some {parts * options * asked // 2:,} items read through the whole model)"
        ),
        f"3. at most {mixes} mixes by integer program, {options} uniform recipes"
        + (f", {len(request.given_recipes)} given" if request.given else "")
        + (f"; swaps: at most {request.swaps} measurements per mix on about {asked} items" if request.swaps else ""),
        f"4. screening: at most {arms} arms on {search} items, stopping early",
        f"5. verification: from the largest down, until one fails, on the {verify} items of the other half"
        if request.target is None
        else f"5. verification of the best on the {verify} items of the other half",
    ):
        print_line(line)


def show(record: SearchRecord, out: Path, *, json: bool) -> None:
    """Print what a search found, and its recipe."""
    from crushtest.report.search_words import comparison, nearest, swapped

    if json:
        facts = {"search": str(out), **record.model_dump(mode="json", exclude={"parts", "candidates"})}
        print_result("search", facts, status=STATUS[record.outcome or "inconclusive"])
        return
    rows = [["half", "candidate", "size", "worst harm / margin", "verdict"]]
    for half, judged in (("search", record.screened), ("verify", record.verified), ("verify, beside", record.beside)):
        for one in judged or ():
            ratio = "unknown" if one.worst == float("inf") else f"{one.worst:.2f}"
            rows.append([half, one.name, f"{one.size:.3f}", ratio, one.outcome])
    print_table(rows)
    for line in (*swapped(record), comparison(record)):
        if line:
            print_line(line)
    if record.answer is not None:
        size = next(one.size for one in record.verified or () if one.name == record.answer)
        print_line(f"found: {record.answer}, {size:.3f} of 16 bits; every rule was shown to be kept on the other half")
        print_line(f"crushtest compress {record.request['study']['model']} -o DIR -r '{record.recipe}'")
        return
    print_line("none passes" if record.outcome == "none" else "inconclusive: nothing was shown to pass")
    if (closest := nearest(record)) is not None:
        print_line(f"nearest: {closest.name}, {closest.size:.3f} of 16 bits")
        for why in closest.broke:
            print_line(f"  {why}")
