"""The command that looks for the smallest recipe whose harms stay within a budget: search."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crushtest.cli.envelope import Status, print_result
from crushtest.cli.options import DryRun, Model, Running, Selection, Threads, flattened, given
from crushtest.cli.output import AsJson, print_line, print_table
from crushtest.errors import UnknownName, UsageError
from crushtest.printing import quoted

if TYPE_CHECKING:
    from crushtest.pipeline.search.opening import Search
    from crushtest.pipeline.search.request import SearchRequest
    from crushtest.records import Item
    from crushtest.study.searched import SearchRecord

GRAINS = ("block", "linear")
SCORES = ("measured", "gradient")
SWAPS = 12
"""Measurements that go into swaps by default if there is a target: then there is one mix."""
EXIT_CODES = {"found": 0, "none": 3, "inconclusive": 4}
STATUS: dict[str, Status] = {"found": "passed", "none": "regression", "inconclusive": "inconclusive"}


@dataclass(frozen=True)
class Asked:
    """The options that say what is sought, and how."""

    budget: Annotated[
        str,
        typer.Option(
            help="The policy whose margins are the budget: a file, or a ready-made one. Half of each task must have "
            "its min_items."
        ),
    ]
    target: Annotated[
        str | None,
        typer.Option(
            metavar="size=SHARE",
            help="Seek the best recipe of this size: the linear layers' bits as a share of what they take at 16 bits. "
            "Default: seek the smallest recipe that passes.",
        ),
    ] = None
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", "-r", help="A recipe that is a candidate too. Repeatable.")
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RECIPE",
            help="What parts are tried with: recipes of one step, whose lists expand. Repeatable. "
            "Default: rtn:bits=2,3,4,8,group_size=64.",
        ),
    ] = None
    grain: Annotated[str, typer.Option(help="What has an option of its own: block or linear.")] = "block"
    items: Annotated[
        int,
        typer.Option(
            min=1,
            help="Questions per task that sensitivities are measured on, about; of texts a quarter as many.",
        ),
    ] = 64
    scores: Annotated[
        str | None,
        typer.Option(help="measured, or gradient: estimated from gradients. Default: gradient above 7B parameters."),
    ] = None
    swaps: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Measurements of each whole mix that go into swaps of two parts. Default: 12 with --target, else 0.",
        ),
    ] = None
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="TASKS",
            help="Tasks that are asked in the verification alone, beside the other half, with the budget's rules about "
            "them: a suite's name, a YAML file, or task names joined by commas.",
        ),
    ] = None


@flattened
def search(
    model: Model,
    *,
    asked: Asked,
    out: Annotated[Path, typer.Option("--out", "-o", help="The search's folder.")],
    sensitivity: Annotated[
        Path | None,
        typer.Option(help="Take the sensitivities from another search's folder: same model, items and options."),
    ] = None,
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
    from crushtest.pipeline.search.opening import open_search
    from crushtest.pipeline.search.run import run_search

    found = open_search(request_of(model, asked, given(selection) | given(running), out), out, sensitivity)
    if dry_run:
        show_plan(found, json=json)
        return
    record = run_search(found)
    show(record, out, json=json)
    raise typer.Exit(EXIT_CODES[record.outcome or "inconclusive"])


def request_of(model: str, asked: Asked, study: dict[str, Any], out: Path) -> SearchRequest:
    """Return the search that a command line asks for.

    Raises UnknownName for an unknown grain or way to come by sensitivities, UsageError for an invalid budget or target.
    """
    from crushtest.pipeline.dtypes import settle_dtype
    from crushtest.pipeline.search.request import DEFAULT_OPTIONS, SearchRequest
    from crushtest.study.searched import SearchFolder
    from crushtest.study.spec import build_spec

    if asked.grain not in GRAINS:
        raise UnknownName("grain", asked.grain, GRAINS, where="search")
    if asked.scores is not None and asked.scores not in SCORES:
        raise UnknownName("scores", asked.scores, SCORES, where="search")
    return SearchRequest(
        spec=settle_dtype(build_spec({"model": model} | study, where="search"), SearchFolder(out).screen),
        budget=budget_text(asked.budget),
        given=tuple(asked.recipe or ()),
        grain="linear" if asked.grain == "linear" else "block",
        target=None if asked.target is None else size_of(asked.target),
        items=asked.items,
        scores=None if asked.scores is None else ("gradient" if asked.scores == "gradient" else "measured"),
        swaps=asked.swaps if asked.swaps is not None else SWAPS if asked.target is not None else 0,
        options=tuple(asked.option) if asked.option else DEFAULT_OPTIONS,
        verify=asked.verify,
    )


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
        raise UsageError(f"target: write size=SHARE, above 0 and at most 1, such as size=0.25 (got {quoted(text)})")
    return float(match[1])


def show_plan(found: Search, *, json: bool) -> None:
    """Print what a search would do, step by step, and how much that is."""
    halves = found.counted
    steps = list(steps_of(found))
    if json:
        items = {task: {"search": half.search, "verify": half.verify} for task, half in halves.items()}
        items |= {task: {"search": 0, "verify": len(last)} for task, last in found.other.items()}
        facts = {"search": str(found.folder.root), "outcome": None, "items": items, "steps": steps}
        print_result("search", facts)
        return
    print_table(
        [
            ["task", "items to search", "clusters", "items to verify", "clusters"],
            *(
                [task, str(half.search), str(half.search_clusters), str(half.verify), str(half.verify_clusters)]
                for task, half in halves.items()
            ),
            *([task, "0", "0", str(len(items)), str(_clusters(items))] for task, items in found.other.items()),
        ]
    )
    for line in steps:
        print_line(line)


def steps_of(found: Search) -> Iterator[str]:
    """Yield what each step of a search does, and how much that is."""
    from crushtest.stats.verdicts import counted

    request, halves = found.request, found.counted
    parts, options = len(found.parts), len(request.option_recipes)
    mixes = 10 if request.target is None else 1
    arms = mixes * (2 if request.swaps else 1) + options + len(request.given_recipes)
    asked = sum(min(halves[each.name].search, request.items_of(each.task.kind)) for each in found.plan.tasks)
    search, verify = (sum(getattr(half, name) for half in halves.values()) for name in ("search", "verify"))
    last = f"the {verify} items of the other half"
    if found.other:
        last += f", and {sum(map(len, found.other.values()))} of {', '.join(found.other)}"
    yield f"1. dense answers the {search} items of the search half"
    yield f"2. sensitivity: {parts} parts x {options} options on about {asked} items, " + (
        "estimated from a backward pass per item"
        if found.scores == "gradient"
        else f"each from its block up (some {parts * options * asked // 2:,} items read through the whole model)"
    )
    yield (
        f"3. at most {counted(mixes, 'mix', 'mixes')} by integer program, {options} uniform recipes"
        + (f", {len(request.given_recipes)} given" if request.given else "")
        + (f"; swaps: at most {request.swaps} measurements per mix on about {asked} items" if request.swaps else "")
    )
    yield f"4. screening: at most {arms} arms on {search} items, from the largest down, stopping early"
    if request.target is None:
        yield f"5. verification: from the largest down, until one fails, on {last}"
    else:
        yield f"5. verification of the best on {last}"


def _clusters(items: Sequence[Item]) -> int:
    return len({item.unit for item in items})


def show(record: SearchRecord, out: Path, *, json: bool) -> None:
    """Print what a search found, and its recipe."""
    from crushtest.report.search_words import comparison, left_out, nearest, swapped, two_places

    if json:
        stored = record.model_dump(mode="json", exclude={"parts", "candidates"})
        facts = {"search": str(out), "page": str(out / "search.html"), **stored}
        print_result("search", facts, status=STATUS[record.outcome or "inconclusive"])
        return
    rows = [["half", "candidate", "size", "worst harm / margin", "verdict"]]
    for half, judged in (("search", record.screened), ("verify", record.verified), ("verify, beside", record.beside)):
        for one in judged or ():
            ratio = "unknown" if one.worst == float("inf") else two_places(one.worst)
            rows.append([half, one.name, f"{one.size:.3f}", ratio, one.outcome])
        if half == "search":
            rows += [
                ["search", name, f"{record.candidate(name).size:.3f}", "not asked", left_out(record, name)]
                for name in record.left_out
            ]
    print_table(rows)
    for line in (*swapped(record), comparison(record)):
        if line:
            print_line(line)
    if record.answer is not None:
        size = next(one.size for one in record.verified or () if one.name == record.answer)
        print_line(f"found: {record.answer}, {size:.1%} of the size at 16 bits")
        print_line("it passed every rule on the other half, each margin shown to be kept")
        print_line(f"crushtest compress {record.request['study']['model']} -o DIR -r '{record.recipe}'")
    else:
        print_line("none passes" if record.outcome == "none" else "inconclusive: nothing was shown to pass")
        if (closest := nearest(record)) is not None:
            print_line(f"nearest: {closest.name}, {closest.size:.1%} of the size at 16 bits")
            for why in closest.broke:
                print_line(f"  {why}")
            print_line(f"  its recipe: {record.candidate(closest.name).recipe}")
        if record.outcome == "inconclusive":
            print_line("more items (--limit, a larger suite), wider margins or fewer rules show more")
    print_line(f"page: {out / 'search.html'}")
