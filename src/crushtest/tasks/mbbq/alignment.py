"""Find the English question that a question of MBBQ translates, by what it means and not by its number.

Numbers and answers do not line up between the files:

- The Spanish Gender_identity file has question 7 in its numerical place and the others have it at the end, so nearly
  every number there means another question.
- The Turkish files list the answers in another order, as do the Spanish control files and some Dutch and Turkish ones.
- In 624 questions of the Turkish SES file the people have swapped parts: under one number the poorer person is right in
  one language and the richer one in the other.
- Labels of people are in the file's own language in Gender_identity and Sexual_orientation.

A question's meaning is its template, its polarity, its kind of context and who is right. Questions pair up by their
place within the template where the meaning there is the same; the others of one meaning pair up in the order of the
files. Twelve Spanish questions of Gender_identity label a girl and a boy alike (`chico`). Who of the two is right, or
stereotyped, does not follow from them, and they have no counterpart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]

UNKNOWN = "unknown"
ROLES = {
    **dict.fromkeys(("mujer", "vrouw", "kadın"), "woman"),
    **dict.fromkeys(("chica", "meisje", "kız"), "girl"),
    **dict.fromkeys(("hombre", "adam"), "man"),
    **dict.fromkeys(("chico", "jongen", "erkek çocuk"), "boy"),
    **dict.fromkeys(("lesbiana", "lesbisch", "lezbiyen"), "lesbian"),
    **dict.fromkeys(("homo", "eşcinsel"), "gay"),
    **dict.fromkeys(("heterosexual", "hetero", "heteroseksüel"), "straight"),
    **dict.fromkeys(("biseksueel", "biseksüel"), "bisexual"),
}
"""Labels of people in the files' own languages -> one word in all of them. Other labels are English everywhere."""


class Meaning(NamedTuple):
    """What a question asks, in no language: two questions that share it say the same of the same kind of people."""

    template: str
    version: str
    polarity: str
    condition: str
    right: str


def with_roles(row: Row) -> dict[str, Any]:
    """Return a row whose labels and stereotyped groups are the same words in every language."""
    answers = {name: [text, ROLES.get(label, label)] for name, (text, label) in row["answer_info"].items()}
    groups = [ROLES.get(group, group) for group in row["additional_metadata"]["stereotyped_groups"]]
    metadata = {**row["additional_metadata"], "stereotyped_groups": groups}
    return {**row, "answer_info": answers, "additional_metadata": metadata}


def roles(row: Row) -> tuple[str, ...]:
    """Return who each answer names, in the order of the answers; the row is one of `with_roles`."""
    return tuple(row["answer_info"][f"ans{place}"][1] for place in range(3))


def tells_people_apart(row: Row) -> bool:
    """Return True if the two people of a question have different labels."""
    return len(set(roles(row))) == len(roles(row))


def meaning(row: Row) -> Meaning:
    """Return the meaning of a row of `with_roles`."""
    return Meaning(
        template=row["question_index"],
        version=row["additional_metadata"]["version"],
        polarity=row["question_polarity"],
        condition=row["context_condition"],
        right=roles(row)[row["label"]],
    )


def english_counterparts(rows: Sequence[Row], english: Sequence[Row]) -> dict[int, Row]:
    """Return, for the number of every row that has one, the English row that means the same. No row has two."""
    pairs: dict[int, Row] = {}
    at_place = dict(_by_place(english))
    free: dict[Meaning, list[Row]] = defaultdict(list)
    left: list[Row] = []
    taken: set[int] = set()
    for place, row in _by_place(rows):
        other = at_place.get(place)
        if not tells_people_apart(row):
            continue
        if other is not None and meaning(other) == meaning(row) and set(roles(other)) == set(roles(row)):
            pairs[row["example_id"]] = other
            taken.add(other["example_id"])
        else:
            left.append(row)
    for other in english:
        if other["example_id"] not in taken:
            free[meaning(other)].append(other)
    for row in left:
        if free[meaning(row)]:
            pairs[row["example_id"]] = free[meaning(row)].pop(0)
    return pairs


def _by_place(rows: Sequence[Row]) -> list[tuple[tuple[str, str, int], Row]]:
    """Return every row with its template, its version and its place among the rows of both."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    placed = []
    for row in rows:
        block = row["question_index"], row["additional_metadata"]["version"]
        placed.append(((*block, counts[block]), row))
        counts[block] += 1
    return placed
