"""A figure: a chart, the sentence that says what it shows, and the table of the numbers in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from crushtest.report.figures.theme import Theme

if TYPE_CHECKING:
    import altair as alt

Row = dict[str, Any]
SIZE = {"width": 330, "height": 220}


class Subject(Protocol):
    """What a figure is about: a task by name, and what its measure is called in a heading."""

    @property
    def name(self) -> str: ...

    @property
    def heading(self) -> str: ...


@dataclass(frozen=True)
class Figure:
    """One figure, defined once: drawn on the page, and written as PDF, SVG and PNG.

    key      its place on the page and the name of its file
    caption  all that it shows in a sentence, for those who do not see it
    note     what those who see it must know besides
    columns  headings of its data table; `rows` are the rows, as text
    data     the rows that are drawn, by the names that the chart calls them by
    draw     gives the chart in a theme, without its data
    wide     whether it needs the page's whole width
    """

    key: str
    task: Subject
    title: str
    caption: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    data: dict[str, list[Row]]
    draw: Callable[[Theme], alt.TopLevelMixin]
    wide: bool = False

    def spec(self, theme: Theme) -> dict[str, Any]:
        """Return the Vega-Lite specification, data included.

        The data are put in last: handed to altair they would be copied with every layer, which takes longer than all
        the rest of a report. Altair's own validation, a third of the rest, is left to the tests.
        """
        from altair.utils.schemapi import debug_mode

        with debug_mode(False):
            return {**self.draw(theme).to_dict(validate=False), "datasets": self.data}
