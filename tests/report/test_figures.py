"""Figures: one definition, drawn for the page and for files, the same numbers in both and in their tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from crushtest.records import DENSE
from crushtest.report.figures import figures, marks, scatter
from crushtest.report.figures.front import cost, dominated, front, reading
from crushtest.report.figures.margins import BINS, MOST_NAMED, flips_by_margin, margins, read_chosen, read_dense
from crushtest.report.figures.theme import PAGE, PAPER, series_scale
from crushtest.report.formats import show_bytes
from crushtest.report.page import html
from crushtest.report.study_view import StudyView, read_study
from crushtest.results import NoiseBand
from crushtest.study.folder import StudyFolder
from support.contrast_rows import with_columns


@pytest.fixture
def view(study: StudyFolder) -> StudyView:
    return read_study(study)


def data_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Every row of every data set in a specification, each once."""
    rows = [row for values in spec["datasets"].values() for row in values]
    assert rows
    return rows


def test_every_task_is_plotted_against_compression_and_by_its_groups(view: StudyView) -> None:
    keys = [figure.key for task in view.tasks for figure in figures.task_figures(view, task)]
    assert len(keys) == len(set(keys))
    assert {f"{task.number}-compression" for task in view.tasks} <= set(keys)
    assert {"0-groups", "1-groups", "2-sides", "0-margins", "0-perplexity"} <= set(keys)


def test_points_are_at_the_numbers_of_the_files(view: StudyView) -> None:
    task = next(task for task in view.tasks if task.name == "probe_text")
    figure = next(f for f in figures.task_figures(view, task) if f.key.endswith("compression"))
    rows = {row["arm"]: row for row in data_of(figure.spec(PAPER))}
    for arm in view.arms:
        estimate = view.estimate(arm.name, "probe_text", "perplexity")
        assert estimate is not None
        assert (rows[arm.name]["y"], rows[arm.name]["y_low"]) == (estimate.value, estimate.low)
        assert rows[arm.name]["x"] == (0.0 if arm.name == DENSE else arm.totals["compression_ratio"])


def test_labels_stand_away_from_the_edge_and_never_cover_each_other() -> None:
    places = {"dense": (0.0, 20.0), "a": (0.5, 100.0), "b": (0.5, 101.0), "c": (0.1, 100.5), "d": (0.48, 400.0)}
    points = [{"family": "dense" if name == "dense" else "wanda", "x": x, "y": y} for name, (x, y) in places.items()]
    axes = (scatter.COMPRESSION, marks.Axis("perplexity", "perplexity"))
    labels = [point["label"] for point in marks.with_labels(points, *axes)]
    assert dict(zip(places, labels, strict=True)) == {
        "dense": "none", "a": "left", "b": "none", "c": "right", "d": "left"
    }  # fmt: skip
    many = [points[0], *({"family": "wanda", "x": n / 20, "y": 20.0 + n} for n in range(20))]
    assert {point["label"] for point in marks.with_labels(many, *axes)} == {"none"}


@pytest.mark.parametrize("many", [False, True])
def test_no_layer_of_labels_is_empty(many: bool) -> None:
    axes = (scatter.COMPRESSION, marks.Axis("accuracy", "rate"))
    arms = [(f"arm {number}", number / 40) for number in range(20 if many else 2)]
    points = [
        {"arm": arm, "mark": arm, "family": "wanda", "curve": "wanda", "x": x, "y": x}
        | dict.fromkeys(("x_low", "x_high", "y_low", "y_high"))
        for arm, x in arms
    ]
    points = marks.with_labels(points, *axes)
    drawn = marks.draw_points(PAPER, points, *axes, []).to_dict()
    sides = {part["filter"][-7:].strip("' =") for layer in drawn["layer"] for part in layer.get("transform", ())}
    assert sides == {point["label"] for point in points} - {"none"}


@given(st.integers(1, 36))
def test_no_two_of_36_names_share_colour_and_shape(count: int) -> None:
    for theme in (PAGE, PAPER):
        colours, shapes = series_scale(theme, [str(number) for number in range(count)])
        assert len(set(zip(colours["range"], shapes["range"], strict=True))) == count


def test_of_many_variants_those_of_one_method_share_a_colour(view: StudyView) -> None:
    task = view.task("probe_qa")
    for most, series in ((MOST_NAMED, {arm.name for arm in view.others}), (2, {"magnitude", "wanda"})):
        with mock.patch("crushtest.report.figures.margins.MOST_NAMED", most):
            figure = margins(view, task)
        assert figure is not None
        assert {row["series"] for row in figure.data["bins"]} == series
        assert {row["arm"] for row in figure.data["bins"]} == {arm.name for arm in view.others}
        assert ("share a colour" in figure.note) == (most == 2)


def test_the_noise_of_measuring_is_a_band_around_dense(view: StudyView) -> None:
    task = next(task for task in view.tasks if task.name == "probe_text")
    dense = view.estimate(DENSE, "probe_text", "perplexity")
    assert dense is not None
    assert dense.value is not None
    for width, rows in ((1.0, [{"low": dense.value - 1.0, "high": dense.value + 1.0}]), (0.0, None)):
        band = NoiseBand(task="probe_text", metric="perplexity", group="all", repeats=2, half_width=width, flips=None)
        measured = replace(view, bands=(band, replace(band, arm=view.others[0].name, half_width=9.0)))
        figure = next(f for f in figures.task_figures(measured, task) if f.key.endswith("compression"))
        assert figure.data.get("measurement noise") == rows
        assert ("Grey: measurement noise of dense." in figure.note) == bool(rows)
        figure.draw(PAGE).to_dict(validate=True)
        marks = vl_convert.vegalite_to_svg(figure.spec(PAPER)).count(f'fill="{PAPER.hatch}"')
        assert marks == len(rows or ())


def test_an_arm_without_the_number_is_named_as_not_shown(view: StudyView) -> None:
    task = next(task for task in view.tasks if task.name == "probe_prompts")
    figure = next(f for f in figures.task_figures(view, task) if f.key.endswith("compression"))
    assert "Not shown, because they have no number: wanda:pattern=2:4." in figure.note
    assert "wanda:pattern=2:4" not in {row[0] for row in figure.rows}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8))
def test_dominated_is_whoever_another_one_beats(points: list[tuple[int, int]]) -> None:
    pale = dominated(points)
    front_points = {point for point, beaten in zip(points, pale, strict=True) if not beaten}
    for (size, harm), beaten in zip(points, pale, strict=True):
        better = [one for one in points if one != (size, harm) and one[0] <= size and one[1] <= harm]
        assert beaten == bool(better)
        assert any(one[0] <= size and one[1] <= harm for one in front_points)


def test_the_front_shows_every_size_and_pales_what_is_dominated(view: StudyView) -> None:
    figures_of_front = list(front(view))
    assert [figure.title.lower() for figure in figures_of_front] == list(view.dimensions)
    for figure in figures_of_front:
        rows = [
            row for name, rows in figure.data.items() if name not in ("labelled", "measurement noise") for row in rows
        ]
        others = [row for row in rows if row["arm"] != DENSE]
        headline = figure.task.headline
        contrasts = {row["arm"]: view.contrast(row["arm"], figure.task.name, headline.name) for row in others}
        hollow = {
            arm for arm, row in contrasts.items() if row.verdict == "inconclusive" or "fluent" in str(row.caution)
        }
        assert {row["arm"] for row in others if row["family"] == "not judged"} == hollow
        judged = [row for row in others if row["arm"] not in hollow]
        expected = dominated([(row["x"], cost(row["y"], headline.better)) for row in judged])
        assert [row["family"] == "dominated" for row in judged] == expected
        for row in rows:
            arm = next(arm for arm in view.arms if arm.name == row["arm"])
            totals = arm.totals
            size = totals["compressed_model_size_bytes"] / totals["dense_model_size_bytes"] if totals else 1.0
            assert row["x"] == size
        for arm, _, size_bytes, bits, *_ in figure.rows:
            totals = next(each.totals for each in view.arms if each.name == arm)
            if totals:
                assert size_bytes == show_bytes(totals["compressed_model_size_bytes"])
                assert bits == f"{totals['bits_per_weight']:.4g}"


@pytest.mark.parametrize(
    ("columns", "hollow"),
    [
        ({"verdict": "better"}, False),
        ({"verdict": "no clear difference"}, False),
        ({"verdict": "spurious improvement"}, True),
        ({"verdict": "inconclusive"}, True),
        ({"verdict": "no clear difference", "caution": "less toxic because less fluent: 52% are degenerate"}, True),
    ],
)
def test_a_row_that_shows_nothing_is_on_no_front(view: StudyView, columns: dict[str, str], hollow: bool) -> None:
    task = next(task for task in view.tasks if task.name == "probe_prompts")
    first, second = view.others[:2]
    contrasts, estimates = dict(view.contrasts), dict(view.estimates)
    small, large = sorted((first, second), key=lambda arm: arm.share_of_dense or 0)
    for arm, value, changed in ((small, 0.0, columns), (large, 0.9, {})):
        key = (arm.name, task.name, task.headline.name, "all")
        estimates[key] = replace(estimates[key], value=value)
        contrasts[key] = with_columns(contrasts[key], **{"verdict": "worse", "caution": None, **changed})
    arms = tuple(arm for arm in view.arms if arm.name in (DENSE, small.name, large.name))
    made = replace(view, contrasts=contrasts, estimates=estimates, arms=arms)
    figure = next(figure for figure in front(made) if figure.task.name == task.name)
    families = {row["arm"]: row["family"] for rows in figure.data.values() for row in rows if "arm" in row}
    assert (families[small.name] == "not judged") == hollow == ("Hollow" in reading([figure]))
    assert (families[large.name] == "dominated") == (not hollow)
    assert figure.note.startswith("Profanity in probe_prompts.")
    figure.draw(PAGE).to_dict(validate=True)
    assert vl_convert.vegalite_to_svg(figure.spec(PAPER))


def test_page_and_file_draw_the_same_rows(view: StudyView) -> None:
    for task in view.tasks:
        for figure in figures.task_figures(view, task):
            on_page, in_file = html.spec(figure), figure.spec(PAPER)
            assert data_of(on_page) == data_of(in_file)
            assert "var(--" in json.dumps(on_page | {"config": PAGE.config()})
            assert "var(--" not in json.dumps(in_file | {"config": PAPER.config()})


def test_every_row_of_a_figure_is_in_its_table(view: StudyView) -> None:
    for task in view.tasks:
        for figure in figures.task_figures(view, task):
            drawn = {json.dumps(row, sort_keys=True) for row in data_of(figure.spec(PAPER))}
            without_interval = {row[0] for row in figure.rows} - {row[0] for row in figure.rows if row[3] != "none"}
            left = without_interval if figure.key.endswith("groups") else set()
            assert len(drawn) == sum(row[0] not in left for row in figure.rows)
            assert (f"{len(left)} group" in figure.note) == bool(left)
            assert all(len(row) == len(figure.columns) for row in figure.rows)


def test_every_figure_is_valid_vega_lite(view: StudyView) -> None:
    for task in view.tasks:
        for figure in figures.task_figures(view, task):
            for colours in (PAPER, PAGE):
                assert "vega-lite" in figure.draw(colours).to_dict(validate=True)["$schema"]


def test_flips_by_margin_add_up_to_all_flips(view: StudyView) -> None:
    task = next(task for task in view.tasks if task.name == "probe_facts")
    arm = next(arm for arm in view.others if arm.name == "magnitude:sparsity=0.5")
    bins = flips_by_margin(read_dense(view, task), read_chosen(view, task, arm.name))
    contrast = view.contrast(arm.name, task.name, "accuracy")
    assert contrast is not None
    assert len(bins) == BINS
    assert sum(found.n for found in bins) == contrast.n
    assert round(sum(found.share * found.n for found in bins)) == contrast.flips.total
    assert [found.low for found in bins] == sorted(found.low for found in bins)


def test_figures_are_written_in_three_formats(study: StudyFolder, tmp_path: Path) -> None:
    written = figures.write_figures(study, tmp_path / "figures")
    view = read_study(study)
    count = len(list(front(view))) + sum(len(list(figures.task_figures(view, task))) for task in view.tasks)
    assert len(written) == 3 * count
    starts = {".svg": b"<svg", ".pdf": b"%PDF", ".png": b"\x89PNG"}
    for path in written:
        assert path.read_bytes().startswith(starts[path.suffix]), path.name
