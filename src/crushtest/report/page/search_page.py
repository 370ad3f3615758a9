"""search.html: what a search found, how its candidates fared on either half, and where the bits went.

The page holds no script. Its figures are SVG images inside it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from crushtest.files.atomic import replacing
from crushtest.progress import in_words
from crushtest.report.figures.theme import PAPER
from crushtest.report.page.html import TEMPLATES, environment, policy
from crushtest.report.search_words import comparison, left_out, nearest, optimism, swapped, two_places
from crushtest.report.untrusted import name
from crushtest.study.searched import CandidateKind, Cell, Judged, SearchFolder, SearchRecord

if TYPE_CHECKING:
    import altair as alt

DEPTHS = (1.0, 1.5, 2.5, 4.0)
"""A part's divergence, against the mean of all parts, from which on a cell of the map is so deep."""
LOWEST, HIGHEST = -1.0, 3.0
"""The ratios of harm to margin that a figure shows; what is beyond stands at its edge, which says so."""
EDGES = (
    f"datum.value >= {HIGHEST} ? '{HIGHEST:g} or more' : datum.value <= {LOWEST} ? '{LOWEST:g} or less' : datum.label"
)
HALVES = {"search": "search", "verify": "verification"}
OUTCOME = {
    "found": "it passed every rule on the half that the search never saw, each margin shown to be kept",
    "none": "none passes",
    "inconclusive": "inconclusive: nothing was shown to pass",
}


@dataclass(frozen=True)
class Shaded:
    """A number of the map, and how deep its cell is: 0 is no deeper than the mean."""

    text: str
    depth: int


@dataclass(frozen=True)
class PartRow:
    """A part of the model: how sensitive each dimension is to it, and the option that it got in each mix shown."""

    name: str
    cells: tuple[Shaded, ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class CandidateRow:
    """A candidate: its ratios on either half, by dimension, and what was said of it."""

    name: str
    kind: str
    size: str
    search: tuple[str, ...]
    verify: tuple[str, ...]
    said: str
    is_answer: bool


def write_search_page(folder: SearchFolder) -> Path:
    """Write search.html from the files of a finished search; return its path."""
    record = folder.read()
    assert record is not None
    page = render_search(record, folder.sensitivity.read(), folder.read_costs())
    with replacing(folder.page) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return folder.page


def render_search(record: SearchRecord, cells: Mapping[str, Cell], costs: Mapping[str, float]) -> str:
    """Return the page as HTML."""
    from markupsafe import Markup

    style = TEMPLATES.joinpath("page.css").read_text("utf-8")
    dimensions = list(dict.fromkeys(key for one in (*screened(record), *verified(record)) for key in one.ratios))
    shown, known = shown_mixes(record), (*(record.candidates or ()), *record.rivals)
    measured = list(dict.fromkeys(cell.dimension for cell in cells.values()))
    return (
        environment()
        .get_template("search.html.j2")
        .render(
            policy=policy([], [style]).replace("default-src 'none';", "default-src 'none'; img-src data:;"),
            style=Markup(style),
            record=record,
            model=str(record.request["study"]["model"]),
            said=OUTCOME[record.outcome or "inconclusive"],
            nearest=nearest(record),
            nearest_recipe=recipe_of_nearest(record),
            dimensions=dimensions,
            figures=[(dimension, as_image(spec(record, dimension))) for dimension in dimensions],
            candidates=[candidate_row(record, one.name, dimensions) for one in known],
            optimism=optimism(record),
            comparison=comparison(record),
            swapped=swapped(record),
            measured=measured,
            mixes=shown,
            parts=list(part_rows(record, cells, measured, shown)),
            costs=[(step, in_words(seconds)) for step, seconds in costs.items()],
        )
    )


def recipe_of_nearest(record: SearchRecord) -> str:
    """Return the recipe of what came nearest; empty if something passed or nothing was judged."""
    closest = nearest(record)
    return "" if closest is None else record.candidate(closest.name).recipe


def screened(record: SearchRecord) -> Sequence[Judged]:
    """Return what was judged on the search half."""
    return record.screened or ()


def verified(record: SearchRecord) -> Sequence[Judged]:
    """Return what was judged on the other half, for the decision or beside it."""
    return (*(record.verified or ()), *(record.beside or ()))


def candidate_row(record: SearchRecord, candidate: str, dimensions: Sequence[str]) -> CandidateRow:
    """Return a candidate's row of the table."""
    one = record.candidate(candidate)
    searched = next((judged for judged in screened(record) if judged.name == candidate), None)
    other = next((judged for judged in verified(record) if judged.name == candidate), None)
    if other is not None:
        decided = any(judged.name == candidate for judged in record.verified or ())
        said = f"{other.outcome} on the verification half" + ("" if decided else ", for comparison")
    elif searched is not None:
        said = f"{searched.outcome} on the search half, not verified"
    else:
        said = f"not asked: {left_out(record, candidate)}"
    size = searched.size if searched else one.size

    def ratios(judged: Judged | None) -> tuple[str, ...]:
        held = {} if judged is None else judged.ratios
        return tuple(two_places(held[dimension]) if dimension in held else "" for dimension in dimensions)

    return CandidateRow(
        name=one.name,
        kind=one.kind,
        size="" if size is None else f"{size:.3f}",
        search=ratios(searched),
        verify=ratios(other),
        said=said,
        is_answer=one.name == record.answer,
    )


def shown_mixes(record: SearchRecord) -> list[str]:
    """Return the mixes whose options the map shows: those that were verified, or else the two that harm least."""
    mixes = [one.name for one in record.candidates or () if one.kind in ("mix", "swapped")]
    asked = [one.name for one in verified(record) if one.name in mixes]
    best = [one.name for one in sorted(screened(record), key=lambda one: one.worst) if one.name in mixes]
    return (asked or best or mixes)[-3:]


def part_rows(
    record: SearchRecord, cells: Mapping[str, Cell], dimensions: Sequence[str], mixes: Sequence[str]
) -> list[PartRow]:
    """Return the map: how much each part moves a dimension at the reference option, against the mean part."""
    totals: dict[str, float] = {}
    for cell in at_reference(record, cells):
        totals[cell.task] = totals.get(cell.task, 0.0) + cell.divergence
    shares: dict[tuple[str, str], list[float]] = {}
    for cell in at_reference(record, cells):
        if totals[cell.task] > 0:
            share = cell.divergence / totals[cell.task] * len(record.parts)
            shares.setdefault((cell.part, cell.dimension), []).append(share)
    labels = short_labels(record.options)
    rows = []
    for place, part in enumerate(record.parts):
        own = [shares.get((part, dimension), []) for dimension in dimensions]
        shaded = tuple(shade(sum(each) / len(each)) if each else Shaded("", 0) for each in own)
        chosen = tuple(labels[(record.candidate(mix).chosen or ())[place]] for mix in mixes)
        rows.append(PartRow(part, shaded, chosen))
    return rows


def at_reference(record: SearchRecord, cells: Mapping[str, Cell]) -> list[Cell]:
    """Return the cells of the option that is the scale."""
    return [cell for cell in cells.values() if cell.option == record.reference]


def shade(share: float) -> Shaded:
    """Return a cell of the map.

    >>> shade(2.6)
    Shaded(text='2.6', depth=3)
    """
    return Shaded(f"{share:.1f}", sum(share >= step for step in DEPTHS))


def short_labels(options: Sequence[str]) -> list[str]:
    """Return what tells each option from the others, and `dense` for the option that leaves a part as it is.

    >>> short_labels(["rtn:bits=2,group_size=64", "rtn:bits=3,group_size=64"])
    ['bits=2', 'bits=3', 'dense']
    """
    pieces = [re.split(r"[:,]", option) for option in options]
    shared = set.intersection(*map(set, pieces)) if pieces else set()
    return [", ".join(piece for piece in own if piece not in shared) for own in pieces] + ["dense"]


def spec(record: SearchRecord, dimension: str) -> dict[str, Any]:
    """Return the figure of one dimension: size against the worst ratio of harm to margin, both halves."""
    import altair as alt

    kinds = {one.name: one.kind for one in (*(record.candidates or ()), *record.rivals)}
    rows = [
        {
            "candidate": name(one.name),
            "size": one.size,
            "ratio": max(min(one.ratios[dimension], HIGHEST), LOWEST),
            "half": HALVES[half],
            "kind": kinds[one.name],
        }
        for half, judged in (("search", screened(record)), ("verify", verified(record)))
        for one in judged
        if dimension in one.ratios
    ]
    base: alt.Chart = alt.Chart(alt.NamedData("rows")).encode(
        alt.X("size:Q", title="size, of 16 bits", scale={"zero": False, "padding": 14}, axis={"tickCount": 5}),
        alt.Y("ratio:Q", title="worst harm / margin", scale={"padding": 10}, axis={"labelExpr": EDGES}),
    )
    moved = base.mark_line(strokeWidth=1, color=PAPER.muted).encode(alt.Detail("candidate:N"))
    points = base.mark_point(size=70, strokeWidth=1.5).encode(
        alt.Shape(
            "kind:N",
            title="recipe",
            scale={"domain": list(get_args(CandidateKind))},
            legend={"values": [kind for kind in get_args(CandidateKind) if kind in kinds.values()], "columns": 3},
        ),
        alt.Color("half:N", title="half", scale={"domain": list(HALVES.values()), "range": list(PAPER.series[:2])}),
        fill=alt.Color(
            "half:N", legend=None, scale={"domain": list(HALVES.values()), "range": ["white", PAPER.series[1]]}
        ),
    )
    margin = alt.Chart(alt.NamedData("margin")).mark_rule(strokeDash=[4, 3], color=PAPER.worse[3]).encode(alt.Y("at:Q"))
    chart = alt.layer(margin, moved, points).properties(width=300, height=200).resolve_scale(color="independent")
    config = PAPER.config() | {"background": "white"}
    config["legend"] = config["legend"] | {"labelLimit": 0}
    return {**chart.to_dict(validate=False), "datasets": {"rows": rows, "margin": [{"at": 1.0}]}, "config": config}


def as_image(figure: Mapping[str, Any]) -> str:
    """Return a figure as the address of an image that stands in the page."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg(dict(figure))
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
