"""Published numbers beside a study's own: hollow, without intervals, and without any say in a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.data.published import table
from crushtest.data.published.point import Point
from crushtest.errors import UnknownName
from crushtest.records import DENSE
from crushtest.report import status, write_report
from crushtest.report.arm_verdict import verdicts
from crushtest.report.beside import beside
from crushtest.report.change import Change, Quantity, of_points
from crushtest.report.dialect import SIDES, published_tables, study_tables
from crushtest.report.figures import figures
from crushtest.report.figures.change_plot import DRAWN, change_plot
from crushtest.report.figures.heatmap import published_heat_map
from crushtest.report.figures.theme import PAGE, PAPER
from crushtest.report.published import measures, published_figures, write_published
from crushtest.report.study_view import StudyView, read_study
from crushtest.report.training_order import published_order
from crushtest.study.folder import StudyFolder
from crushtest.study.merge import merge_with_existing
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec, read_stored_spec

PLAIN = Point(
    source="paper",
    model="Big-7B",
    arm=DENSE,
    task="probe_facts",
    metric="accuracy",
    group="all",
    value=0.8,
    unit="rate",
    better="higher",
    compression_ratio=0.0,
    training=None,
    flags=(),
    reason="",
    comparable=True,
    note="few-shot",
    table="facts",
    line=2,
    metric_there="acc",
    group_there="",
)


def point(arm: str = DENSE, value: float | None = 0.8, **changes: object) -> Point:
    return replace(PLAIN, arm=arm, value=value, compression_ratio=0.0 if arm == DENSE else 0.5, **changes)


POINTS = [
    point(),
    point("wanda:sparsity=0.5", 0.7),
    point("magnitude:sparsity=0.5", 0.3),
    point("int8", 0.1, comparable=False, flags=("suspect_value",)),
    point("gptq:bits=4", None),
    point(model="Small-1B", value=0.5),
    point("wanda:sparsity=0.5", 0.45, model="Small-1B"),
    point("wanda:sparsity=0.5", 0.45, model="No dense"),
]


@pytest.fixture
def view(study: StudyFolder) -> StudyView:
    return replace(read_study(study), beside=tuple(POINTS))


def test_changes_of_points_are_against_the_dense_model_of_their_table() -> None:
    changes = of_points(POINTS, "probe_facts", "accuracy")
    assert [(change.model, change.arm, round(change.difference, 9)) for change in changes] == [
        ("Big-7B", "wanda:sparsity=0.5", -0.1),
        ("Big-7B", "magnitude:sparsity=0.5", -0.5),
        ("Small-1B", "wanda:sparsity=0.5", -0.05),
    ]
    assert all(change.published and change.low is None and change.high is None for change in changes)


def test_published_marks_are_hollow_and_own_ones_have_their_interval(view: StudyView) -> None:
    task = view.task("probe_facts")
    [figure] = beside(view, task)
    rows = figure.data[DRAWN]
    own = [row for row in rows if not row["published"]]
    assert len(own) == len(view.others)
    for row in own:
        contrast = view.contrast(row["arm"], "probe_facts", "accuracy")
        assert contrast is not None
        assert contrast.intervals is not None
        assert (row["y"], row["y_low"], row["y_high"]) == (contrast.difference, *contrast.intervals.at95)
    hollow = [row for row in rows if row["published"]]
    assert [(row["model"], row["y_low"], row["interval"]) for row in hollow] == [
        *[("Big-7B", None, "none")] * 2,
        ("Small-1B", None, "none"),
    ]
    drawn = vl_convert.vegalite_to_svg(figure.spec(PAPER))
    assert drawn.count('stroke-width="1.2"') == len(hollow)
    assert len(figure.rows) == len(rows)


def test_the_figure_says_how_the_source_measured_and_what_it_leaves_out(view: StudyView) -> None:
    [figure] = beside(view, view.task("probe_facts"))
    assert "paper: few-shot." in figure.note
    assert "No verdict uses these 3 changes." in figure.note
    assert "2 numbers, suspect value (1) and without a comparable dense model (1)." in figure.note
    for theme in (PAGE, PAPER):
        figure.draw(theme).to_dict(validate=True)


def test_no_figure_without_a_measure_in_common(view: StudyView) -> None:
    others = tuple(replace(each, metric="another") for each in POINTS)
    assert not list(beside(replace(view, beside=others), view.task("probe_facts")))
    assert not list(beside(view, view.task("probe_text")))
    assert not list(beside(replace(view, beside=()), view.task("probe_facts")))


def test_verdicts_never_use_published_numbers(study: StudyFolder, view: StudyView) -> None:
    alone = read_study(study)
    assert verdicts(view) == verdicts(alone)
    assert status.lead(view, verdicts(view)) == status.lead(alone, verdicts(alone))
    assert view.contrasts == alone.contrasts
    assert view.headlines == alone.headlines


@given(st.floats(-0.9, 4), st.floats(0.5, 500), st.sampled_from(["perplexity", "rate", "score"]))
def test_perplexities_change_by_shares_of_dense_and_others_by_differences(
    moved: float, dense: float, unit: str
) -> None:
    quantity = Quantity(key="k", name="t", metric="m", label="measure", unit=unit, better="lower")
    change = Change(
        model="M", arm="wanda:sparsity=0.5", group="all", ratio=0.5, training=None,
        dense=dense, value=dense * (1 + moved), low=None, high=None, published=True,
    )  # fmt: skip
    figure = change_plot(quantity, [change])
    assert figure is not None
    [row] = figure.data[DRAWN]
    assert row["y"] == pytest.approx(moved if unit == "perplexity" else dense * moved, abs=1e-9 * dense)
    figure.draw(PAPER).to_dict(validate=True)
    assert change_plot(quantity, [replace(change, ratio=None)]) is None


def test_the_page_and_the_files_have_the_figure(study: StudyFolder, tmp_path: Path) -> None:
    source = str(table.write(POINTS, tmp_path))
    page = write_report(study, [source]).read_text(encoding="utf-8")
    assert page.count("<h4>Change against compression</h4>") == 1
    assert "probe_facts-accuracy-change.svg" in {p.name for p in figures.write_figures(study, tmp_path / "f", [source])}
    assert "<h4>Change against compression</h4>" not in write_report(study).read_text(encoding="utf-8")


def test_the_command_takes_a_table_and_refuses_an_unknown_source(study: StudyFolder, tmp_path: Path) -> None:
    table.write(POINTS, tmp_path)
    done = CliRunner().invoke(app, ["report", str(study.root), "--beside", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "Change against compression" in study.report.read_text(encoding="utf-8")
    assert "in common" not in done.output
    table.write([replace(each, metric="another") for each in POINTS], tmp_path)
    done = CliRunner().invoke(app, ["report", str(study.root), "--beside", str(tmp_path)])
    assert "no measure in common with" in done.output
    assert isinstance(CliRunner().invoke(app, ["report", str(study.root), "--beside", "xu2042"]).exception, UnknownName)
    write_report(study)


def test_a_study_file_names_its_sources_and_may_gain_some_later(study: StudyFolder) -> None:
    assert build_spec({"model": "demo", "beside": "xu2024"}, where="here").beside == ("xu2024",)
    stored = read_stored_spec(study.specification)
    assert stored.beside == ()
    assert make_plan(stored.model_copy(update={"beside": ("xu2024",)})).beside == ("xu2024",)
    with pytest.raises(UnknownName, match="xu2024"):
        make_plan(stored.model_copy(update={"beside": ("xu2042",)}))
    assert merge_with_existing(stored.model_copy(update={"beside": ("xu2024",)}), study).beside == ("xu2024",)


# ---- the same figures and tables from published numbers ------------------------------------------------


def test_groups_of_a_published_model_are_coloured_by_size_alone() -> None:
    groups = {"religion=a": (0.5, 0.9), "religion=b": (0.5, 0.5), "religion=c": (0.5, 0.48)}
    changes = [
        Change(model="M", arm="int8", group=group, ratio=0.5, training=None, dense=dense, value=value, low=None,
               high=None, published=True)
        for group, (dense, value) in groups.items()
    ]  # fmt: skip
    quantity = Quantity(key="k", name="t", metric="m", label="measure", unit="rate", better="higher")
    figure = published_heat_map(quantity, "M", changes, note="")
    assert figure is not None
    assert [row["shade"].partition(" ")[0] for row in figure.data["cells"]] == ["better", "noise", "worse"]
    assert {row["interval"] for row in figure.data["cells"]} == {"none"}
    assert "No number has an interval" in figure.note
    assert published_heat_map(quantity, "M", changes[:1], note="") is None
    figure.draw(PAPER).to_dict(validate=True)


def test_published_orders_need_both_orders() -> None:
    both = [
        point(),
        point("wanda", 0.7, training="before"),
        point("wanda", 0.75, training="after"),
    ]
    quantity = Quantity(key="k", name="t", metric="accuracy", label="accuracy", unit="rate", better="higher")
    figure = published_order(quantity, of_points(both, "probe_facts", "accuracy"), note="")
    assert figure is not None
    assert [row[1:4] for row in figure.rows] == [
        ("trained, then compressed", "−10.0", "none"),
        ("compressed, then trained", "−5.0", "none"),
    ]
    assert published_order(quantity, of_points(both[:2], "probe_facts", "accuracy"), note="") is None
    figure.draw(PAPER).to_dict(validate=True)


def test_the_dialect_table_is_the_same_for_a_study_and_a_paper(view: StudyView) -> None:
    [own] = [each for each in study_tables(view) if each.stem.startswith("probe_dialect")]
    sided = {
        arm.name: [
            view.estimate(arm.name, "probe_dialect", metric.name)
            for metric in view.task("probe_dialect").metrics
            if metric.side is not None
        ]
        for arm in view.arms
    }  # fmt: skip
    points = [
        point(arm, sides[place].value, group=SIDES[place], unit="bits", model=view.title, task="probe_dialect")
        for arm, sides in sided.items()
        for place in range(2)
    ]
    [published] = published_tables(points)
    assert published.columns == own.columns
    assert published.rows == own.rows
    assert len(own.rows) == len(view.arms)


def test_every_published_measure_gets_its_figures_and_files(tmp_path: Path) -> None:
    grouped = [replace(each, group=group) for group in ("all", "religion=a", "religion=b") for each in POINTS]
    assert measures(grouped) == [("probe_facts", "accuracy")]
    titles = [figure.title for figure in published_figures(grouped)]
    assert titles == ["Change against compression", "Change in each group", "Change in each group"]
    assert len(write_published(grouped, tmp_path)) == 3
