"""The sources of published results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crushtest.data import catalogue
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


def source_of(name: str) -> Source:
    """Return a source by name. Raises UnknownName, with the nearest match, if there is none of that name."""
    if name not in SOURCES:
        raise UnknownName("source of published results", name, SOURCES)
    return SOURCES[name]
