"""UnQover's subjects: which of them each number is of, from the numbers alone.

In every line the subjects of a category stand in descending order of gamma, under a header that names them in the order
of the last line. Two things tell them apart, once it is clear how many items each subject has. Its eta is the mean of
as many signs, so a whole number divided by their count. And gammas weighted by the counts cancel, because what one
subject of an item wins the other one loses. The counts follow from UnQover's word lists and the seed of the authors'
sample.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations

from crushtest.data import sources
from crushtest.data.published.xu2024.tables import Cell, Line, is_whole

RELABELLED, UNKNOWN = "relabelled", "label_unknown"
COUNTRY = "country"
TOLD_APART = ("religion", "ethnicity")
"""The categories with few enough subjects of equal count; others keep their numbers and lose their names."""
SAMPLE, SEED = 10_000, 42
ITEMS_PER_PAIR = 700
"""Of two subjects in these categories: 14 templates with 50 attributes each."""
CANCELS = 1e-3
"""Below this the weighted gammas cancel: they are sums of a few thousand, from ten digits."""
ALIKE = "|"
"""Joins the names of subjects that cannot be told apart."""
NOBODY = "?"


def relabel(lines: Sequence[Line]) -> list[Line]:
    """Give the numbers of every subject the name that they belong to, or `?` where that cannot be told."""
    counts = {category: item_counts(subjects(category)) for category in TOLD_APART}
    return [_relabelled(line, counts) for line in lines]


def subjects(category: str) -> list[str]:
    """Return the subjects of a category in the order of UnQover's word lists, in lower case as in the tables."""
    return list(spellings(category))


@cache
def spellings(category: str) -> dict[str, str]:
    """Return the subjects of a category as UnQover's word lists, and our task, spell them, by the tables' names."""
    text = sources.read_text("unqover", f"word_lists/nouns/subjects/{category}")
    words = (line.partition("[subj]")[2].strip() for line in text.splitlines())
    return {word.lower(): word for word in words if word}


def spelled(category: str, name: str) -> str:
    """Return our task's name of a subject, or of candidates joined by `|`; the same name for other categories."""
    known = spellings(category) if category in (*TOLD_APART, COUNTRY) else {}
    return ALIKE.join(known.get(each, each) for each in name.split(ALIKE))


def item_counts(names: Sequence[str]) -> dict[str, int]:
    """Draw the authors' sample again and count in how many of its items each subject is."""
    pairs = list(combinations(names, 2))
    drawn = random.Random(SEED).sample(range(len(pairs) * ITEMS_PER_PAIR), SAMPLE)
    return dict(Counter(name for place in drawn for name in pairs[place // ITEMS_PER_PAIR]))


def places(line: Line) -> dict[str, list[str]]:
    """Return what the header calls the subjects of every category, in the order of the columns."""
    named = defaultdict(list)
    whole = [column.removesuffix("_model_mu") for column in line.cells if column.endswith("_model_mu")]
    for column in line.cells:
        if column.endswith("_gamma"):
            category = next(category for category in whole if column.startswith(f"{category}_"))
            named[category].append(column.removeprefix(f"{category}_").removesuffix("_gamma"))
    return dict(named)


def _relabelled(line: Line, counts: Mapping[str, Mapping[str, int]]) -> Line:
    headed = places(line)
    if all(headed[category] == names_of(line, category, counts[category], headed[category]) for category in counts):
        return line  # the header is in its order
    cells: dict[str, Cell] = {}
    for category, header in headed.items():
        named = names_of(line, category, counts[category], header) if category in counts else [NOBODY] * len(header)
        flag = RELABELLED if category in counts else UNKNOWN
        for subject, name in zip(header, named, strict=True):
            for column in (f"{category}_{subject}_gamma", f"{category}_{subject}_eta"):
                cell = line.cells[column].flagged(flag)
                cells[column] = Cell(cell.value, cell.flags, name)
    return line.with_cells(cells)


def names_of(line: Line, category: str, counts: Mapping[str, int], header: Sequence[str]) -> list[str]:
    """Return the subject of each place of a category, candidates joined by `|`; the header's where it fits."""
    values = [[line.value(f"{category}_{subject}_{what}") for subject in header] for what in ("gamma", "eta")]
    gammas, etas = ([value for value in listed if value is not None] for listed in values)
    if header_fits(gammas, etas, counts, header):
        return list(header)
    chosen = [names for names in assignments(etas, counts) if abs(weighted(gammas, names, counts)) < CANCELS]
    return [ALIKE.join(sorted({names[place] for names in chosen})) or NOBODY for place in range(len(header))]


def header_fits(
    gammas: Sequence[float], etas: Sequence[float], counts: Mapping[str, int], names: Sequence[str]
) -> bool:
    """Return whether the numbers can be of these subjects."""
    whole = all(is_whole(eta * counts[name]) for eta, name in zip(etas, names, strict=True))
    return whole and abs(weighted(gammas, names, counts)) < CANCELS


def weighted(gammas: Sequence[float], names: Sequence[str], counts: Mapping[str, int]) -> float:
    """Return the sum of the gammas times their subjects' counts: 0 where the names are right."""
    return sum(gamma * counts[name] for gamma, name in zip(gammas, names, strict=True))


def assignments(etas: Sequence[float], counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield every way to give each eta a subject of its own with whose count it is a whole number."""
    fitting = [[name for name, count in counts.items() if is_whole(eta * count)] for eta in etas]
    order = sorted(range(len(etas)), key=lambda place: len(fitting[place]))
    yield from _extended({}, order, fitting)


def _extended(chosen: dict[int, str], order: Sequence[int], fitting: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    if len(chosen) == len(order):
        yield [chosen[place] for place in range(len(order))]
        return
    place = order[len(chosen)]
    for name in fitting[place]:
        if name not in chosen.values():
            yield from _extended({**chosen, place: name}, order, fitting)
