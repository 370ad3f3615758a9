"""Numbers that are printed well and are unlikely: which they are, and why, stands in `rules.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from crushtest.data.published.xu2024.tables import Line


@dataclass(frozen=True)
class Where:
    """Cells by table, model, and patterns of recipes and columns."""

    tables: Sequence[str]
    model: str
    arms: Sequence[str]
    columns: Sequence[str] = ("*",)

    def columns_of(self, line: Line) -> list[str]:
        """Return the columns of a line that are meant; none if the line is not."""
        meant = line.table in self.tables and line.model == self.model
        if not meant or not any(fnmatchcase(line.arm.recipe, pattern) for pattern in self.arms):
            return []
        return [column for column in line.cells if any(fnmatchcase(column, pattern) for pattern in self.columns)]


@dataclass(frozen=True)
class Rule:
    """What a rule says of its cells, whether they compare with others, and which they are if it is a doubt."""

    reason: str
    comparable: bool = True
    where: tuple[Where, ...] = ()


@cache
def rules() -> Mapping[str, Rule]:
    """Return the rules by the flag that they set."""
    listed = tomllib.loads((files(__package__) / "rules.toml").read_text(encoding="utf-8"))
    return {
        flag: Rule(**facts | {"where": tuple(Where(**where) for where in facts.get("where", ()))})
        for flag, facts in listed.items()
    }


def mark_doubts(lines: Sequence[Line]) -> list[Line]:
    """Flag what is unlikely for its neighbours' sake."""
    return [_marked(line) for line in lines]


def _marked(line: Line) -> Line:
    for flag, rule in rules().items():
        for where in rule.where:
            if columns := where.columns_of(line):
                line = line.flagged(flag, columns)
    return line
