"""The figures and tables of published results, drawn by the code that draws a study's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from crushtest.data.published.point import Point
from crushtest.registry import TASKS
from crushtest.report.beside import said_of
from crushtest.report.change import Change, Quantity, of_points, pooled, quantity_of
from crushtest.report.dialect import published_tables
from crushtest.report.figures.change_plot import change_plot
from crushtest.report.figures.figure import Figure
from crushtest.report.figures.figures import write_all
from crushtest.report.figures.heatmap import published_heat_map
from crushtest.report.table_files import write_all as write_all_tables
from crushtest.report.training_order import published_order
from crushtest.report.wording import ALL, DIMENSION_ORDER, attribute_of, group_text
from crushtest.study.headlines import MOST_HEADLINES


def write_published(points: Sequence[Point], target: Path) -> list[Path]:
    """Write the figures (SVG) and tables of published results into a folder, and return the files."""
    figures = write_all(published_figures(points), target, suffixes=(".svg",))
    return [*figures, *write_all_tables(published_tables(points), target)]


def published_figures(points: Sequence[Point]) -> Iterator[Figure]:
    """Yield per measure, in the report's order of dimensions: changes against compression, by group, and by order."""
    for task, metric in measures(points):
        same = [point for point in points if (point.task, point.metric) == (task, metric)]
        changes = of_points(same, task, metric)
        yield from of_measure(quantity_of(same[0]), changes, said_of(same))


def measures(points: Sequence[Point]) -> list[tuple[str, str]]:
    """Return the (task, metric) of the points, in the report's order of dimensions."""
    order = {dimension: number for number, dimension in enumerate(DIMENSION_ORDER)}
    listed = dict.fromkeys((point.task, point.metric) for point in points)
    return sorted(listed, key=lambda each: order.get(TASKS.get(each[0]).about.dimension, len(order)))


def of_measure(quantity: Quantity, changes: Sequence[Change], note: str) -> Iterator[Figure]:
    """Yield the figures of one measure."""
    ordered = published_order(quantity, pooled(changes), note=note)
    plain = [change for change in changes if change.training is None]
    for group in plotted_groups(plain):
        named = replace(quantity, key=f"{quantity.key}-{group}", label=f"{quantity.label}, {group_text(group)}")
        figure = change_plot(
            quantity if group == ALL else named, [change for change in plain if change.group == group], note=note
        )
        yield from [figure] if figure is not None else []
    for model in dict.fromkeys(change.model for change in plain):
        figure = published_heat_map(quantity, model, plain, note=note)
        yield from [figure] if figure is not None else []
    yield from [ordered] if ordered is not None else []


def plotted_groups(changes: Sequence[Change]) -> list[str]:
    """Return the groups that are plotted one by one: `all`, or the few of a measure without a pooled number."""
    groups = list(dict.fromkeys(change.group for change in changes))
    if ALL in groups:
        return [ALL]
    attributes = {attribute_of(group) for group in groups}
    return groups if len(groups) <= MOST_HEADLINES and len(attributes) == 1 else []
