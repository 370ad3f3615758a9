"""locate.html: which blocks carry an arm's harm, and how a repair compares at equal bytes. It holds no script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crushtest.files.atomic import replacing
from crushtest.report.page.html import TEMPLATES, environment, policy
from crushtest.report.page.search_page import Shaded
from crushtest.study.located import LocateFolder, LocateRecord, Share

DEPTHS = (0.02, 0.05, 0.1, 0.2)
"""Shares of the arm's divergence from which on a cell of the map is so deep."""


@dataclass(frozen=True)
class PartRow:
    """A block of the table: its mean share with its interval, and its share in each dimension."""

    name: str
    mean: str
    cells: tuple[Shaded, ...]


def write_locate_page(folder: LocateFolder) -> Path:
    """Write locate.html from locate.json; return its path."""
    with replacing(folder.page) as temporary:
        temporary.write_text(render_locate(folder.read()), encoding="utf-8", newline="\n")
    return folder.page


def render_locate(record: LocateRecord) -> str:
    """Return the page as HTML."""
    from markupsafe import Markup

    style = TEMPLATES.joinpath("page.css").read_text("utf-8")
    dimensions = list(dict.fromkeys(key for part in record.parts for key in part.shares))
    return (
        environment()
        .get_template("locate.html.j2")
        .render(
            policy=policy([], [style]),
            style=Markup(style),
            record=record,
            dimensions=dimensions,
            rows=[
                PartRow(
                    part.name,
                    share_text(part.mean),
                    tuple(
                        shade(part.shares[dimension].value) if dimension in part.shares else Shaded("", 0)
                        for dimension in dimensions
                    ),
                )
                for part in record.parts
            ],
            said=verdict(record),
            share_text=share_text,
        )
    )


def verdict(record: LocateRecord) -> str:
    """Say whether a repair was found."""
    if record.repair is None:
        return f"No repair was tried: {record.why}."
    if record.helps:
        return "The repair is nearer to dense than random blocks, the last blocks and smaller groups at equal bytes."
    return "No repair: finer bits for these blocks are not shown to help more than for any others at equal bytes."


def share_text(share: Share | None) -> str:
    """Return a share in percent, with its interval if it has one.

    >>> share_text(Share(value=0.12, low=0.1, high=0.14))
    '12% (10% to 14%)'
    """
    if share is None:
        return ""
    ends = "" if share.low is None or share.high is None else f" ({share.low:.0%} to {share.high:.0%})"
    return f"{share.value:.0%}{ends}"


def shade(share: float) -> Shaded:
    """Return a cell of the map."""
    return Shaded(f"{share:.0%}", sum(share >= step for step in DEPTHS))
