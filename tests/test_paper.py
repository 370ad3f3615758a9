"""docs/paper.md is what the published tables give, and its numbers are those of an independent computation."""

from __future__ import annotations

import csv
from math import log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

import paper_page
from crushtest.data.published.point import Point
from crushtest.data.published.xu2024.source import read
from paper import own
from paper.listed import CLAIMS
from paper.numbers import MODELS, PRUNED, Measure, Numbers, rank_correlation
from paper.own import NOT_RUN, Own, reported
from paper.page import DOCS, OWN_RUN, page
from paper.plots import OURS, Plot, plots, ratio_of


@pytest.fixture(scope="module")
def points(data: Path) -> list[Point]:
    if not (data / "xu2024" / "bbq.csv").is_file():
        pytest.skip("the mirror has no xu2024")
    return read()


@pytest.fixture(scope="module")
def drawn(points: list[Point]) -> list[Plot]:
    return list(plots(points, Own(OWN_RUN)))


def test_the_page_on_disk_is_what_the_tables_give(points: list[Point], drawn: list[Plot]) -> None:
    written = page(points, Own(OWN_RUN), drawn)
    assert (DOCS / "paper.md").read_text(encoding="utf-8") == written, f"run: python docs/{paper_page.__name__}.py"


def test_every_figure_of_the_page_is_there(drawn: list[Plot]) -> None:
    text = (DOCS / "paper.md").read_text(encoding="utf-8")
    for plot in drawn:
        assert f"(paper/{plot.stem}.svg)" in text
        assert (DOCS / "paper" / f"{plot.stem}.svg").read_text(encoding="utf-8").startswith("<svg")
        marks = len(plot.figure.rows)
        assert plot.svg().count('aria-roledescription="point"') >= marks


def test_every_claim_has_the_number_of_an_independent_computation(data: Path, points: list[Point]) -> None:
    with (data / "xu2024" / "claims.csv").open(newline="") as file:
        theirs = {row["id"]: (row["verdict"], row["number"]) for row in csv.DictReader(file)}
    numbers = Numbers(points)
    assert {claim.id: (claim.verdict, claim.number(numbers)) for claim in CLAIMS} == theirs


def test_comparable_numbers_leave_out_what_a_rule_keeps_out(points: list[Point]) -> None:
    kept = Numbers(points, comparable=True)
    assert all(point.comparable and point.value is not None for point in kept.points)
    assert {claim.number(kept) for claim in CLAIMS} != {claim.number(Numbers(points)) for claim in CLAIMS}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=40))
def test_rank_correlation_is_spearmans(pairs: list[tuple[int, int]]) -> None:
    first, second = ([float(number) for number in side] for side in zip(*pairs, strict=True))
    rho = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert rho is None
    else:
        assert rho == pytest.approx(spearmanr(first, second).statistic)


def test_what_the_matrix_says_of_the_tables_is_in_them(points: list[Point]) -> None:
    numbers = Numbers(points, comparable=True)
    open_contexts = Measure("bbq", "accuracy_ambiguous")
    damaged = [f"{method}:sparsity=0.5" for method in ("wanda", "sparsegpt", "gblm")]
    pairs = list(numbers.pairs(MODELS, damaged, open_contexts))
    assert len(pairs) == 9
    assert all(pair.value < pair.dense for pair in pairs)
    sides = [Measure("twitteraae", "perplexity", f"dialect={side}") for side in ("AA", "white")]
    for arm, least, most in (("sparsegpt:sparsity=0.5", 0.008, 0.031), ("int8", -0.001, 0.0013)):
        for model in MODELS:
            aa, white = (next(Numbers(points).pairs([model], [arm], side)) for side in sides)
            assert least < log(aa.value / white.value) - log(aa.dense / white.dense) < most


# ---- our own run ---------------------------------------------------------------------------------------


def contrasts(path: Path) -> Path:
    """A run in which accuracy falls clearly in every arm but the quantized ones, written as `report --tables` does."""
    columns = ("arm", "task", "metric", "group", "dense", "value", "difference", "low", "high", "verdict", "against")
    columns += ("p_adjusted",)
    rows = []
    for arm in (*PRUNED, "int8", "gptq:bits=4,group_size=64"):
        worse = arm in PRUNED
        value, verdict = (0.4, "worse") if worse else (0.6, "no clear difference")
        difference = value - 0.6
        rows.append(
            [arm, "bbq", "accuracy_disambiguated", "all", 0.6, value, difference, difference - 0.1, difference + 0.1]
        )
        rows[-1] += [verdict, "dense", 0.2 if arm == "wanda:sparsity=0.1" else 0.01]
        rows.append(
            [arm, "wikitext2", "perplexity", "all", 20, 80 if worse else 21, 60 if worse else 1, "", "", "worse"]
        )
        rows[-1] += ["dense", ""]
        rows.append([arm, "bbq", "accuracy_disambiguated", "all", 0.6, 0.9, 0.3, 0.2, 0.4, "better", "int8", 0.01])
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_without_our_run_every_cell_says_so(tmp_path: Path) -> None:
    assert {reported(Own(tmp_path / "none.csv"), claim.ours) for claim in CLAIMS} == {NOT_RUN}


def test_our_run_fills_its_column(tmp_path: Path) -> None:
    run = Own(contrasts(tmp_path / "contrasts.csv"))
    said = {claim.id: reported(run, claim.ours) for claim in CLAIMS}
    assert said["C5a"] == "accuracy clearly worse in 31, clearly better in 0 of 32"
    assert said["C8"] == "WikiText-2: quantized +5.0% to +5.0%, pruned +300.0% to +300.0%"
    assert said["C1"] == said["C2"] == own.NOT_MEASURED


@pytest.mark.parametrize(("chance", "bound"), [(0.987, True), (0.3, False)])
def test_an_eta_at_its_bound_by_chance_counts_for_nothing(tmp_path: Path, chance: float, bound: bool) -> None:
    path = contrasts(tmp_path / "contrasts.csv")
    with path.open("a", newline="", encoding="utf-8") as file:
        for arm in (*PRUNED, "int8"):
            for metric, dense in (("eta", 0.5), ("eta_null", chance)):
                row = [arm, "unqover", metric, "all", dense, dense + 0.01, 0.01, 0.001, 0.02, "worse", "dense", 0.01]
                csv.writer(file).writerow(row)
    said = {claim.id: reported(Own(path), claim.ours) for claim in CLAIMS}
    assert said["C4"].endswith("so this run cannot tell") == bound
    assert f"{chance:.3f} by chance alone" in said["C4"]
    assert ("UnQover eta" in said["C2"]) != bound
    assert ("1 contrast" in said["C7"]) != bound


def test_an_improvement_by_damage_is_counted_as_such() -> None:
    rows = [{"verdict": verdict, "p_adjusted": "0.01"} for verdict in ("worse", "better", "spurious improvement")]
    assert own.tally(rows) == "clearly worse in 1, clearly better in 1, a spurious improvement in 1 of 3"
    assert own.tally(rows[:1]) == "clearly worse in 1, clearly better in 0 of 1"


def test_both_orders_are_told_as_their_own_page_does() -> None:
    text = (DOCS / "studies" / "training_order" / "README.md").read_text(encoding="utf-8")
    assert "by 2.13 (1.67 to 2.55)" in own.both_orders(Own(OWN_RUN))
    assert "−2.13 (−2.55 to −1.67)" in text
    assert "less than 8.5 points" in own.both_orders(Own(OWN_RUN))
    assert "up to 8.5 points" in text


def test_our_run_is_drawn_with_its_intervals(points: list[Point], tmp_path: Path) -> None:
    run = Own(contrasts(tmp_path / "contrasts.csv"))
    figure = next(plot.figure for plot in plots(points, run) if plot.stem == "representational-harm")
    ours = [row for row in figure.data["changes"] if row["model"] == OURS]
    assert len(ours) == 34
    assert all(not row["published"] and row["y_low"] < row["y"] < row["y_high"] for row in ours)


def test_recipes_remove_what_the_paper_counts() -> None:
    removed = {recipe: ratio_of(recipe) for recipe in ("wanda:sparsity=0.3", "gblm:pattern=2:4", "int8", "awq:bits=4")}
    assert list(removed.values()) == [0.3, 0.5, 0.5, 0.75]
    assert ratio_of("rtn:bits=4") is None
