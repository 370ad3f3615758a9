"""The published tables as points: equal to an independent reading in every cell, and marked for a reason that holds."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import mean, pstdev

import pytest
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.compress.recipes import parse_recipes
from crushtest.data.published import table
from crushtest.data.published.point import Point
from crushtest.data.published.xu2024 import relabelling
from crushtest.data.published.xu2024.columns import column_of, tables
from crushtest.data.published.xu2024.doubts import rules
from crushtest.data.published.xu2024.tables import read_lines
from crushtest.records import DENSE
from crushtest.registry import TASKS
from crushtest.tasks.unqover.generate import read_examples

CELLS_PER_RULE = {
    "label_unknown": 61028,
    "other_prompt_suspected": 7648,
    "relabelled": 7592,
    "other_protocol_suspected": 3718,
    "prompts_dropped": 2993,
    "other_checkpoint": 2058,
    "counts_unknowns_only": 1752,
    "unknown_counted_as_biased": 1484,
    "misaligned": 261,
    "suspect_arm": 216,
    "not_published": 192,
    "read_off_bars": 48,
    "not_comparable": 44,
    "sparsity_not_stated": 32,
    "realigned": 23,
    "suspect_value": 5,
    "above_one": 4,
    "lost": 1,
    "printed_in_figure": 1,
}


def in_long_form(folder: Path) -> Iterator[dict[str, str]]:
    """The rows that another program made of the same files."""
    with (folder / "results.csv").open(newline="") as pooled:
        yield from csv.DictReader(pooled)
    with gzip.open(folder / "unqover_subjects.csv.gz", "rt", newline="") as subjects:
        yield from csv.DictReader(subjects)


def test_every_cell_and_flag_equals_an_independent_reading(data: Path, points: list[Point]) -> None:
    theirs, ours = defaultdict(list), defaultdict(list)
    for row in in_long_form(data / "xu2024"):
        line = int(row["source"].partition(":")[2] or 0)
        value = float(row["value"]) if row["value"] else None
        ratio = float(row["compression_ratio"]) if row["compression_ratio"] else None
        flags = frozenset(row["flag"].split(";")) - {""}
        subject = row["group"] if row["table"] == "unqover" and "=" in row["group"] else ""
        theirs[row["table"], line, row["model"], row["metric"]].append((value, row["better"], ratio, flags, subject))
    for point in points:
        subject = point.group if point.table == "unqover" and not point.group.startswith("category=") else ""
        metric = "perplexity" if point.metric_there == "perplexity_mean" else point.metric_there
        ours[point.table, point.line or 0, point.model, metric].append(
            (point.value, point.better, point.compression_ratio, frozenset(point.flags), subject.lower())
        )
    assert len(points) == 60_773 + 69_090
    assert ours == theirs


def test_each_rule_marks_as_many_cells_as_the_page_says(points: list[Point]) -> None:
    assert table.cells_per_flag(points) == CELLS_PER_RULE
    assert sum(not point.flags for point in points) == 50_489
    assert set(CELLS_PER_RULE) == set(rules())
    assert all(bool(point.reason) == bool(point.flags) for point in points)


def test_a_missing_number_is_always_marked(points: list[Point]) -> None:
    missing = Counter(point.flags for point in points if point.value is None)
    assert missing == {("not_published",): 192, ("lost",): 1, ("misaligned", "other_checkpoint"): 261}


def test_no_model_arm_and_measure_has_two_numbers(points: list[Point]) -> None:
    counted = Counter(
        (point.table, point.model, point.arm, point.training, point.task, point.metric, point.group)
        for point in points
        if not {"label_unknown", "relabelled"} & set(point.flags)
    )
    assert max(counted.values()) == 1


def test_arms_are_recipes_of_ours_and_tasks_are_tasks_of_ours(points: list[Point]) -> None:
    for arm in {point.arm for point in points if point.arm != DENSE and point.training is None}:
        assert parse_recipes(arm)[0].text == arm
    assert {point.task for point in points} <= set(TASKS.names())


@pytest.mark.parametrize("category", ["religion", "ethnicity", "country"])
def test_subjects_are_spelled_as_our_task_spells_them(data: Path, points: list[Point], category: str) -> None:
    entry = TASKS.get("unqover")
    items = entry.function(**entry.bind({"categories": [category]})).sample_items(4000, 0)
    ours = {group for item in items for group in item.groups}
    theirs = {
        f"{category}={name}"
        for point in points
        if point.table == "unqover" and point.group.startswith(f"{category}=")
        for name in point.group.partition("=")[2].split(relabelling.ALIKE)
    } - {f"{category}={relabelling.NOBODY}"}
    assert theirs
    assert theirs <= ours


def test_metrics_with_our_names_exist_and_have_our_units(points: list[Point]) -> None:
    scorers = ["toxigen-roberta", "openai-moderation:hate", "regard:negative", "sentiment"]
    for task, metric, unit in {(point.task, point.metric, point.unit) for point in points}:
        entry = TASKS.get(task)
        options = {name: value for name, value in (("scorers", scorers), ("path", "x")) if name in entry.options}
        variants = [options, options | {"metric": "xu2024"}] if "metric" in entry.options else [options]
        built = [entry.function(**entry.bind(variant)) for variant in variants]
        units = {each.name: each.unit for one in built for each in one.metrics}
        if not metric.startswith("xu2024_") or metric in units:
            assert units[metric] == unit


def test_the_table_is_read_back_as_it_was_written(tmp_path: Path, points: list[Point]) -> None:
    some = points[::97]
    assert table.read(table.write(some, tmp_path)) == some
    assert table.read(tmp_path) == some


def test_fetch_writes_the_table_and_counts_marked_cells(tmp_path: Path, points: list[Point]) -> None:
    result = CliRunner().invoke(app, ["published", "fetch", "xu2024", "-o", str(tmp_path / "new"), "--json"])
    written = json.loads(result.stdout)["data"]
    assert written["marked"] == CELLS_PER_RULE
    assert written["numbers"] == len(points)
    assert Path(written["path"]).is_file()
    assert "xu2024" in CliRunner().invoke(app, ["published", "list"]).stdout


# ---- what the rules rest on ----------------------------------------------------------------------------


def test_the_sample_of_subjects_is_drawn_from_the_items_of_our_task(data: Path) -> None:
    for category in relabelling.TOLD_APART:
        examples = read_examples(category)
        names = relabelling.subjects(category)
        pairs = len(names) * (len(names) - 1) // 2
        assert len(examples) == 2 * pairs * relabelling.ITEMS_PER_PAIR
        assert sum(relabelling.item_counts(names).values()) == 2 * relabelling.SAMPLE


def test_the_header_fits_the_last_line_alone_and_names_fit_all_others(data: Path) -> None:
    lines = read_lines("unqover")
    for category in relabelling.TOLD_APART:
        counts = relabelling.item_counts(relabelling.subjects(category))
        fitting = []
        for line in lines:
            header = relabelling.places(line)[category]
            gammas = [line.value(f"{category}_{name}_gamma") or 0.0 for name in header]
            etas = [line.value(f"{category}_{name}_eta") or 0.0 for name in header]
            assert gammas == sorted(gammas, reverse=True)
            if relabelling.header_fits(gammas, etas, counts, header):
                fitting.append(line.number)
        assert fitting == [148]


def pooled(points: Sequence[Point], there: str, metric: str, group: str = "") -> Mapping[tuple[str, str], float]:
    """(model, arm) -> the number of a table."""
    return {
        (point.model, point.arm): point.value
        for point in points
        if (point.table, point.metric_there, point.group_there) == (there, metric, group) and point.value is not None
    }


def test_int8_moves_one_model_alone_in_the_generation_tables(points: list[Point]) -> None:
    regard = pooled(points, "holistic_bias", "regardv3_score")
    moved = {model: regard[model, "int8"] - regard[model, DENSE] for model, arm in regard if arm == "int8"}
    assert moved.pop("Llama-2-7B") == pytest.approx(-0.105, abs=0.0005)
    assert len(moved) == 3
    assert all(abs(change) < 0.0025 for change in moved.values())


def distance(points: Sequence[Point], model: str, one: str, other: str) -> float:
    """How unevenly subjects of two arms of a model differ in eta, in points of 100."""
    etas: dict[tuple[str, str], float] = {}
    for point in points:
        if (point.table, point.metric_there, point.model) == ("unqover", "eta", model) and point.value is not None:
            etas[point.arm, point.group] = point.value
    groups = [group for arm, group in etas if arm == one and group.partition("=")[0] in relabelling.TOLD_APART]
    return 100 * pstdev(etas[one, group] - etas[other, group] for group in groups if (other, group) in etas)


def test_suspected_prompts_lie_far_from_dense_and_near_each_other(points: list[Point]) -> None:
    for model in ("Tulu-2-7B", "Tulu-2-13B"):
        near = distance(points, model, "gblm:sparsity=0.1", DENSE)
        for arm in ("int8", "awq:bits=4", "gptq:bits=4"):
            assert distance(points, model, arm, DENSE) > 4 * near
    assert distance(points, "Tulu-2-13B", "magnitude:sparsity=0.1", "int8") < 6
    assert distance(points, "Tulu-2-13B", "magnitude:sparsity=0.1", DENSE) > 14
    assert distance(points, "Tulu-2-7B", "magnitude:sparsity=0.1", "sparsegpt:sparsity=0.1") < 5
    assert distance(points, "Tulu-2-7B", "magnitude:sparsity=0.1", DENSE) > 22


LIGHT = [f"sparsity={sparsity}" for sparsity in ("0.1", "0.2", "0.3", "0.4")]


def test_wanda_is_worse_than_magnitude_in_the_suspected_model_alone(points: list[Point]) -> None:
    dolma = pooled(points, "perplexity_results", "perplexity_mean", "avg_dolma")
    worse = {
        model: [dolma[model, f"wanda:{hard}"] / dolma[model, f"magnitude:{hard}"] - 1 for hard in LIGHT]
        for model, arm in dolma
        if arm == DENSE
    }
    assert min(worse["Tulu-2-7B"]) > 0.08
    assert max(worse.pop("Tulu-2-7B")) < 0.28
    assert len(worse) == 3
    assert all(max(ratios) < 0.02 for ratios in worse.values())


def standing_apart(points: Sequence[Point], arm: str, column: str) -> dict[str, float]:
    """Model -> how much more a perplexity rose against dense than the mean of the others of its arm."""
    rises: dict[str, dict[str, float]] = defaultdict(dict)
    for each in ("wikitext2", *(f"dolma-{part}" for part in ("books", "commoncrawl", "reddit", "wiki", "pesto"))):
        values = pooled(points, "perplexity_results", "perplexity", each)
        for model in (model for model, which in values if which == arm):
            rises[model][each] = values[model, arm] / values[model, DENSE]
    return {model: rise.pop(column) / mean(rise.values()) for model, rise in rises.items()}


def test_suspect_perplexities_stand_apart_as_in_no_other_model(points: list[Point]) -> None:
    suspect = [point for point in points if "suspect_value" in point.flags and point.metric_there == "perplexity"]
    assert len(suspect) == 4
    for point in suspect:
        apart = standing_apart(points, point.arm, point.group_there)
        own = apart.pop(point.model)
        assert min(abs(own - other) for other in apart.values()) > (max(apart.values()) - min(apart.values()))
        assert len(apart) == 3


def test_every_column_has_a_meaning(data: Path) -> None:
    columns = list(chain.from_iterable(((name, key) for key in read_lines(name)[0].cells) for name in tables()))
    assert len(
        {(name, column_of(name, key).group_there, column_of(name, key).metric_there) for name, key in columns}
    ) == len(columns)
