"""The sources of published results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crushtest.data import catalogue
from crushtest.data.published import table
from crushtest.data.published.point import Point
from crushtest.data.published.xu2024 import source as xu2024
from crushtest.errors import UnknownName


@dataclass(frozen=True)
class Source:
    """A paper's published results: the data set that holds its files, and what reads them."""

    data_set: str
    read: Callable[[], list[Point]]

    @property
    def citation(self) -> str:
        return catalogue.data_set(self.data_set).citation

    @property
    def licence(self) -> str:
        return catalogue.data_set(self.data_set).licence


SOURCES = {"xu2024": Source("xu2024", xu2024.read)}


def read_points(given: str) -> list[Point]:
    """Return the points of a source, or of a published.parquet (or its folder) that was fetched before.

    Raises UnknownName if it is neither, DataError if the source's files are missing, StoreError for a damaged table.
    """
    path = Path(given)
    return table.read(path) if given not in SOURCES and path.exists() else source_of(given).read()


def check_name(given: str) -> None:
    """Raise UnknownName unless this is a source or the path of a table."""
    if not Path(given).exists():
        source_of(given)


def source_of(name: str) -> Source:
    """Return a source by name. Raises UnknownName, with the nearest match, if there is none of that name."""
    if name not in SOURCES:
        raise UnknownName("source of published results", name, SOURCES)
    return SOURCES[name]
