"""The figures of the page, one a dimension: published changes, and our own where the run has the same measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import vl_convert

from crushtest.data.published.point import Point
from crushtest.records import DENSE
from crushtest.report.beside import said_of
from crushtest.report.change import Change, Quantity, of_points, pooled, quantity_of
from crushtest.report.dialect import SIDES, Cost
from crushtest.report.figures.change_plot import change_plot
from crushtest.report.figures.figure import Figure
from crushtest.report.figures.theme import PAPER
from crushtest.report.training_order import published_order
from paper.own import Own

SHOWN = (
    (
        "degeneration-harm",
        "Degeneration harm: negative regard on HolisticBiasR",
        "holisticbias",
        "regard_negative_rate",
    ),
    ("representational-harm", "Representational harm: BBQ accuracy", "bbq", "accuracy_disambiguated"),
    ("language-modelling", "Language modelling: perplexity of WikiText-2", "wikitext2", "perplexity"),
)
RATIOS = {"int8": 0.5, "awq": 0.75, "gptq": 0.75}
OURS = "SmolLM2-135M (our run)"


class Plot:
    """A figure with the name of its file and its heading."""

    def __init__(self, stem: str, title: str, figure: Figure) -> None:
        self.stem, self.title, self.figure = stem, title, figure

    def svg(self) -> str:
        """Return the drawing."""
        spec = self.figure.spec(PAPER) | {"config": PAPER.config() | {"background": "white"}}
        drawn: str = vl_convert.vegalite_to_svg(spec)
        return drawn


def plots(points: Sequence[Point], own: Own) -> Iterator[Plot]:
    """Yield the figures in the order of the page."""
    for stem, title, task, metric in SHOWN:
        same = [point for point in points if (point.task, point.metric, point.group) == (task, metric, "all")]
        published = [change for change in of_points(same, task, metric) if change.training is None]
        changes = [*ours(own, task, metric), *published]
        figure = change_plot(quantity_of(same[0]), changes, note=said_of(same))
        if figure is not None:
            yield Plot(stem, title, figure)
    yield from dialect(points)
    same = [p for p in points if (p.task, p.metric, p.group) == ("bbq", "accuracy_disambiguated", "all")]
    ordered = published_order(quantity_of(same[0]), pooled(of_points(same, "bbq", "accuracy_disambiguated")), note="")
    if ordered is not None:
        yield Plot("order-of-training", "Order of training and compression: BBQ accuracy, read off figure 4", ordered)


def ours(own: Own, task: str, metric: str) -> Iterator[Change]:
    """Yield the changes of our own run, with their intervals."""
    for row in own.rows or []:
        ratio = ratio_of(row["arm"])
        if (
            (row["task"], row["metric"], row["group"]) == (task, metric, "all")
            and row["difference"]
            and ratio is not None
        ):
            low, high = (float(row[end]) if row[end] else None for end in ("low", "high"))
            yield Change(
                model=OURS,
                arm=row["arm"],
                group="all",
                ratio=ratio,
                training=None,
                dense=float(row["dense"]),
                value=float(row["value"]),
                low=low,
                high=high,
                published=False,
            )


def ratio_of(recipe: str) -> float | None:
    """Return the share of bits that a recipe of one step removes nominally, as the paper counts it."""
    method, _, options = recipe.partition(":")
    if method in RATIOS:
        return RATIOS[method]
    sparsity = next((part.partition("=")[2] for part in options.split(",") if part.startswith("sparsity=")), None)
    return float(sparsity) if sparsity else 0.5 if "pattern=" in options else None


def dialect(points: Sequence[Point]) -> Iterator[Plot]:
    """Yield the gap between two corpora of tweets in nats, against compression."""
    both = [point for point in points if point.group in SIDES]
    same = [point for point in both if point.comparable and point.value is not None]
    costs: dict[tuple[str, str], dict[str, float]] = {}
    for point in same:
        costs.setdefault((point.model, point.arm), {})[point.group] = point.value or 0.0
    ratios = {(point.model, point.arm): point.compression_ratio for point in same}
    gaps = {key: Cost(sides[SIDES[0]], sides[SIDES[1]]).log_ratio for key, sides in costs.items() if len(sides) == 2}
    changes = [
        Change(
            model=model,
            arm=arm,
            group="all",
            ratio=ratios[model, arm],
            training=None,
            dense=gaps[model, DENSE],
            value=gap,
            low=None,
            high=None,
            published=True,
        )
        for (model, arm), gap in gaps.items()
        if arm != DENSE and (model, DENSE) in gaps
    ]
    quantity = Quantity(
        key="xu2024-gap", name="twitteraae", metric="gap", label="gap AA to white", unit="nats", better="lower"
    )
    figure = change_plot(quantity, changes, note=said_of(both))
    if figure is not None:
        yield Plot("dialect-bias", "Dialect bias: TwitterAAE, perplexity of AA against white, in nats", figure)


def write_plots(made: Sequence[Plot], folder: Path) -> None:
    """Write the drawings."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in made:
        (folder / f"{plot.stem}.svg").write_text(plot.svg(), encoding="utf-8")
