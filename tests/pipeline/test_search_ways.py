"""Other ways to search: by single layers, by gradients, with swaps; and a search that ends without a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.pipeline.search.opening import known_of, open_search
from crushtest.pipeline.search.request import SearchRequest
from crushtest.pipeline.search.run import run_search
from crushtest.pipeline.search.whole import WholeMixes
from crushtest.progress import show_progress
from crushtest.study.searched import Cell, SearchFolder, SearchRecord
from crushtest.study.spec import build_spec
from support.empty_page import leave_out_pages
from support.tiny_models import saved_model

pytestmark = pytest.mark.usefixtures("no_page")
WIDE = "rules: [{task: probe_facts, metric: accuracy, direction: move, margin: 0.3, min_items: 20}]"
NARROW = WIDE.replace("0.3", "0.1")
OPTIONS = ("rtn:bits=3,8,group_size=16",)
SUITE: list[dict[str, Any]] = [{"probe_facts": {"limit": 80}}, {"probe_text": {"limit": 16}}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("tiny") / "model")


def request(model: Path, **more: Any) -> SearchRequest:
    spec = build_spec({"model": str(model), "suite": SUITE, "device": "cpu"}, where="test")
    return SearchRequest(spec=spec, **({"budget": WIDE, "options": OPTIONS, "items": 8, "target": 0.4} | more))


def searched(model: Path, folder: Path, **more: Any) -> tuple[SearchRecord, dict[str, Cell]]:
    record = run_search(open_search(request(model, **more), folder))
    return record, SearchFolder(folder).sensitivity.read()


@pytest.fixture(scope="module")
def measured(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SearchRecord, dict[str, Cell]]:
    folder = tmp_path_factory.mktemp("measured") / "s"
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pages(patch)
        return folder, *searched(model, folder, swaps=4)


def test_what_was_chosen_is_compared_on_the_other_half(measured: tuple[Path, SearchRecord, dict[str, Cell]]) -> None:
    folder, record, _ = measured
    assert record.outcome == "found"
    kinds = {one.name: one.kind for one in (*(record.candidates or ()), *record.rivals)}
    beside = [one.name for one in record.beside or ()]
    assert {kinds[name] for name in beside} <= {"uniform", "by text"}
    assert "rtn:bits=8,group_size=16" in beside, "the uniform recipe next in size is no candidate of so small a target"
    assert "rtn:bits=8,group_size=16" not in {one.name for one in record.screened or ()}
    assert record.verified is not None
    page = (folder / "search.html").read_text(encoding="utf-8")
    assert "Worst harm on the verification half" in page
    assert any(said in page for said in ("did best", "did as well", "won against"))


def test_swaps_are_measured_on_the_whole_model(
    model: Path, measured: tuple[Path, SearchRecord, dict[str, Cell]]
) -> None:
    folder, record, cells = measured
    assert 2 <= len(record.swaps) <= 4
    assert {part for swap in record.swaps for part in swap.parts} <= set(record.parts)
    assert all(set(swap.ratios) == {cell.dimension for cell in cells.values()} for swap in record.swaps)
    mix = next(one for one in record.candidates or () if one.kind == "mix")
    search = open_search(request(model, swaps=4), folder)
    with show_progress() as progress:
        again = known_of(search).ratios(WholeMixes(search, progress).measure(mix.recipe))
    assert again == pytest.approx(record.swaps[0].ratios)
    assert "of two parts tried" in (folder / "search.html").read_text(encoding="utf-8")


def test_gradient_scores_rank_as_measured_ones(
    model: Path, measured: tuple[Path, SearchRecord, dict[str, Cell]], tmp_path: Path
) -> None:
    _, _, cells = measured
    record, estimated = searched(model, tmp_path / "s", scores="gradient")
    assert record.scores == "gradient"
    assert estimated.keys() == cells.keys()
    for task in ("probe_facts", "probe_text"):
        keys = [key for key, cell in cells.items() if cell.task == task]
        pairs = np.array([(estimated[key].divergence, cells[key].divergence) for key in keys])
        assert spearmanr(*pairs.T).statistic >= 0.7
        small = pairs[["bits=8" in key for key in keys]]
        assert 1 / 3 < np.median(small[:, 0] / small[:, 1]) < 3, "to second order they are equal"
    assert all(cell.error is None for cell in estimated.values())
    assert {key: cell.stored_bits for key, cell in estimated.items()} == {
        key: cell.stored_bits for key, cell in cells.items()
    }
    assert "estimated from gradients and not measured" in (tmp_path / "s" / "search.html").read_text(encoding="utf-8")


def test_a_search_by_single_layers_that_cannot_tell_ends_with_4(model: Path, tmp_path: Path) -> None:
    (tmp_path / "budget.yaml").write_text(NARROW)
    (tmp_path / "suite.yaml").write_text(json.dumps({"tasks": SUITE[:1]}))
    place = ("-o", str(tmp_path / "s"), "--suite", str(tmp_path / "suite.yaml"), "--device", "cpu")
    how = (
        "--option",
        *OPTIONS,
        "--target",
        "size=0.4",
        "--items",
        "8",
        "--swaps",
        "0",
        "--scores",
        "gradient",
        "--grain",
        "linear",
    )
    result = CliRunner().invoke(app, ["search", str(model), "--budget", str(tmp_path / "budget.yaml"), *place, *how])
    assert result.exit_code == 4, result.output
    record = SearchFolder(tmp_path / "s").read()
    assert record is not None
    assert (record.outcome, record.answer) == ("inconclusive", None)
    assert [one.outcome for one in record.verified or ()] == ["inconclusive"]
    assert "inconclusive: nothing was shown to pass" in result.output
    assert "not shown to be within the margin" in result.output
    assert len(record.parts) == 3 * 7
    mix = next(one for one in record.candidates or () if one.kind == "mix")
    sizes = {one.name: one.size for one in record.screened or ()}
    assert len(set(mix.chosen or ())) == 2
    assert sizes[mix.name] == pytest.approx(mix.size, abs=1e-4)
    assert {cell.part for cell in SearchFolder(tmp_path / "s").sensitivity.read().values()} == set(record.parts)


@pytest.mark.slow
def test_a_search_killed_during_swaps_ends_in_the_same_bytes(
    model: Path,
    measured: tuple[Path, SearchRecord, dict[str, Cell]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, record, _ = measured
    measure, asked = WholeMixes.measure, 0

    def killed(self: WholeMixes, recipe: str) -> dict[str, float]:
        nonlocal asked
        asked += 1
        if asked % 2 == 0:
            raise KeyboardInterrupt
        return measure(self, recipe)

    monkeypatch.setattr(WholeMixes, "measure", killed)
    kills = 0
    while True:
        try:
            run_search(open_search(request(model, swaps=4), tmp_path / "s", folder))
        except KeyboardInterrupt:
            kills += 1
            continue
        break
    assert kills == len(record.swaps) - 1
    assert (tmp_path / "s" / "search.json").read_bytes() == (folder / "search.json").read_bytes()
