"""The identities of SeeGULL with the attributes that people of their region annotated as stereotypes of them.

Identities are compared within blocks of six of one kind. Everything that is compared stands in one block, so that a
study that asks few items still compares whole blocks.

`identities.csv` is ours: it says for each identity as the files list it what we call it, the plural in which it is
asked about ("Turks": Turkish people) and its region, a group of the United Nations' M49 subregions. The files have no
column of regions. Two names of one identity (Nepali and Nepalese, British and "United KingdomUK") are one.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

from crushtest.data.sources import read_text
from crushtest.errors import DataError

Kind = Literal["nationality", "us_state", "indian_state"]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]
FILES: Mapping[Kind, str] = {
    "nationality": "stereotypes_global_v2.csv",
    "us_state": "stereotypes_us_states.csv",
    "indian_state": "stereotypes_indian_states.csv",
}
BLOCK = 6
FEWEST = 3
"""Identities in the smallest block: one, another one, and a third whose attributes are of neither."""

Severity = float | None
"""Mean offensiveness from -1 (not offensive) to 4 (extremely); None if nobody rated it."""

Row = Mapping[str, str]


class Named(NamedTuple):
    """How an identity is called, asked about, and grouped."""

    name: str
    people: str
    region: str


@dataclass(frozen=True)
class Identity:
    """An identity with its stereotypes.

    stereotypes   attribute -> severity: those that at least two of three annotators of the region call a stereotype
    left_out      number of its other attributes: fewer called it one, or it is the identity's own name
    """

    kind: Kind
    name: str
    people: str
    region: str
    stereotypes: Mapping[str, Severity]
    left_out: int

    @property
    def key(self) -> str:
        """A name for ids and clusters."""
        return f"{self.kind}/{self.name}"


@cache
def read_identities(kind: Kind) -> tuple[Identity, ...]:
    """Return the identities of a kind, by region and name. Raises DataError as `find` does."""
    table = _table(kind)
    rows: dict[Named, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in csv.DictReader(io.StringIO(read_text("seegull", FILES[kind]), newline="")):
        if row["identity"] not in table:
            raise DataError(f"seegull: {FILES[kind]} has an identity that identities.csv lacks ({row['identity']!r})")
        rows[table[row["identity"]]][plain(row["attribute"])].append(row)
    made = (_identity(kind, named, attributes) for named, attributes in rows.items())
    return tuple(sorted(made, key=lambda each: (each.region, each.name)))


def blocks(identities: Iterable[Identity]) -> list[tuple[Identity, ...]]:
    """Return the identities that have stereotypes in blocks of six, each of as many regions as possible.

    Identities come ordered by region and are dealt to the blocks in turn. The last block holds the remainder.
    """
    chosen = [identity for identity in identities if identity.stereotypes]
    whole, rest = divmod(len(chosen), BLOCK)
    sizes = [BLOCK] * whole
    if rest >= FEWEST or not sizes:
        sizes.append(rest)
    else:
        sizes[-1] += rest
    dealt: list[list[Identity]] = [[] for _ in sizes]
    turns = (place for turn in range(max(sizes)) for place, size in enumerate(sizes) if turn < size)
    for place, identity in zip(turns, chosen, strict=True):
        dealt[place].append(identity)
    return [tuple(block) for block in dealt if block]


def plain(attribute: str) -> str:
    """Return an attribute in lower case, with spaces for the other signs between its words.

    >>> plain("Anti-gun_control"), plain("pro-life")
    ('anti gun control', 'pro life')
    """
    return " ".join(re.findall(r"[^\W_]+", attribute.casefold()))


def _table(kind: Kind) -> dict[str, Named]:
    text = files("crushtest.tasks.seegull").joinpath("identities.csv").read_text("utf-8")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return {row["listed"]: Named(row["name"], row["people"], row["region"]) for row in rows if row["kind"] == kind}


def _identity(kind: Kind, named: Named, attributes: Mapping[str, Sequence[Row]]) -> Identity:
    own = set(plain(named.name).split())
    stereotypes = {
        attribute: _severity(rows)
        for attribute, rows in attributes.items()
        if _is_annotated(rows) and not set(attribute.split()) <= own
    }
    return Identity(kind, *named, stereotypes, len(attributes) - len(stereotypes))


def _is_annotated(rows: Sequence[Row]) -> bool:
    """Return True if at least two of three of the region's annotators, over all rows, call it a stereotype."""
    votes = {vote: sum(int(row[f"region_{vote}"]) for row in rows) for vote in ("stereo", "nonstereo", "unsure")}
    return 3 * votes["stereo"] >= 2 * sum(votes.values()) > 0


def _severity(rows: Sequence[Row]) -> Severity:
    """Return the mean of the rows that somebody rated. The files have 0 where nobody did."""
    rated = [rating for row in rows if (rating := _rating(row)) is not None]
    return sum(rated) / len(rated) if rated else None


def _rating(row: Row) -> float | None:
    if not any(row[f"Annotation{number}"] not in ("", "NA") for number in (1, 2, 3)):
        return None
    return float(next(row[name] for name in ("mean offensiveness_score", "offensiveness_score") if name in row))


def all_blocks(kinds: Sequence[Kind]) -> Iterator[tuple[Identity, ...]]:
    """Yield the blocks of these kinds."""
    for kind in kinds:
        yield from blocks(read_identities(kind))
