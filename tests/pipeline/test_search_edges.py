"""Searches at their edges: killed while they begin, names and sizes that nearly meet, budgets of other kinds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crushtest.compress.parts import Part
from crushtest.compress.recipes import parse_recipe
from crushtest.errors import StoreError
from crushtest.pipeline.search import run as searching
from crushtest.pipeline.search.ladder import Sensitivities, candidates, rivals
from crushtest.pipeline.search.opening import open_search
from crushtest.pipeline.search.request import SearchRequest
from crushtest.pipeline.search.screening import is_foreseen, no_better_than, order_of
from crushtest.pipeline.search.swaps import swap_parts
from crushtest.report.search_words import nearest
from crushtest.study.searched import Candidate, Judged, SearchFolder, SearchRecord
from crushtest.study.spec import build_spec
from support.tiny_models import saved_model

pytestmark = pytest.mark.usefixtures("no_page")
WIDE = "rules: [{task: probe_facts, metric: accuracy, direction: move, margin: 0.3, min_items: 20}]"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("tiny") / "model")


def request(model: Path, **more: Any) -> SearchRequest:
    spec = build_spec({"model": str(model), "suite": [{"probe_facts": {"limit": 80}}], "device": "cpu"}, where="test")
    asked: dict[str, Any] = {"budget": WIDE, "options": ("rtn:bits=3,8,group_size=16",), "items": 8}
    return SearchRequest(spec=spec, **(asked | more))


@pytest.mark.parametrize("writes", range(3))
def test_a_search_killed_while_it_begins_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    replace, count = os.replace, 0

    def killed(*paths: Any) -> None:
        nonlocal count
        count += 1
        if count > writes:
            raise KeyboardInterrupt
        replace(*paths)

    folder = SearchFolder(tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            searching.run_search(open_search(request(model), folder.root))
    (folder.root / ".search.json.1.partial").write_text("half")
    monkeypatch.setattr(searching, "_measure", enough)
    with pytest.raises(KeyboardInterrupt):
        searching.run_search(open_search(request(model), folder.root))
    assert folder.read() is not None
    assert folder.policy.exists()
    assert folder.verify_policy.exists()


def enough(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_folder_of_something_else_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty and holds no search"):
        open_search(request(model), tmp_path)


def known(*sizes: int, parts: int = 20) -> Sensitivities:
    """Sensitivities of parts at two options or more of these sizes, and left dense at 16 bits per weight."""
    options = tuple(parse_recipe(f"rtn:bits={bits},group_size=64") for bits, _ in enumerate(sizes, start=2))
    costs = np.array([*(4.0**-place for place in range(len(sizes))), 0.0])
    spread = np.random.default_rng(0).uniform(0.5, 2, size=(2, parts, 1))
    return Sensitivities(
        parts=tuple(Part(f"layers.{number}", f"layers.{number}.*", number, ()) for number in range(parts)),
        options=options,
        dimensions=("quality", "language modelling"),
        divergence=spread * costs,
        bits=np.tile([*sizes, 16_000], (parts, 1)),
        reference=options[0],
        scale={"probe_facts": 1.0},
        tasks={"probe_facts": "quality"},
    )


def test_mixes_of_nearly_one_size_have_names_of_their_own() -> None:
    ladder = candidates(known(4_100, 4_105), (), None)
    assert len([one for one in ladder if one.kind == "mix"]) > 5
    assert len({one.name for one in ladder}) == len(ladder)
    assert {one.name for one in candidates(known(4_000, 8_000), (), None) if one.kind == "mix"} >= {"mix 0.270"}


def test_dense_itself_is_no_candidate() -> None:
    nothing_saved = known(8_000, 16_000)
    assert all(one.recipe for one in candidates(nothing_saved, (), None))
    assert [one.kind for one in candidates(nothing_saved, (), 1.0)] == ["uniform", "uniform"]
    screened = (Judged(name=nothing_saved.options[1].text, outcome="passed", size=1.0, ratios={}),)
    record = SearchRecord(request={}, candidates=tuple(candidates(nothing_saved, (), None)), screened=screened)
    assert rivals(nothing_saved, record, screened[0].name, "language modelling") == []


def test_a_model_of_one_block_has_uniform_candidates_alone() -> None:
    assert [one.kind for one in candidates(known(4_000, 8_000, parts=1), (), None)] == ["uniform", "uniform"]
    assert [one.kind for one in candidates(known(4_000, 8_000, parts=1), (), 0.4)] == ["uniform"]


def test_a_swapped_mix_is_screened_even_after_its_own_regression() -> None:
    about = known(4_000, 8_000)
    (first,) = (one for one in candidates(about, (), 0.35) if one.kind == "mix")
    falling = iter(range(9, 0, -1))

    def better(_: str) -> dict[str, float]:
        return {"probe_facts": float(next(falling))}

    record = swap_parts(about, SearchRecord(request={}, candidates=(first,)), 0.35, 3, better, lambda _: None)
    *_, swapped = record.candidates or ()
    assert swapped.kind == "swapped"
    assert all(swapped.predicted[name] >= sums for name, sums in (first.predicted or {}).items())  # type: ignore[index]
    assert no_better_than(swapped, [first]) is None
    assert no_better_than(first, [first]) == first.name


def test_a_regression_where_nothing_is_predicted_leaves_nothing_out() -> None:
    one = Candidate(name="m", recipe="m", kind="mix", size=0.3, predicted={"bias": 1.0})

    def said(outcome: Any, **ratios: float) -> bool:
        return is_foreseen(one, Judged(name="m", outcome=outcome, size=0.3, ratios=ratios))

    assert said("regression", bias=2.0, refusal=0.5)
    assert not said("regression", bias=2.0, refusal=1.5), "dense wrote nothing that refusals could be predicted from"
    assert not said("passed", bias=2.0)


def judged(name: str, size: float, ratio: float, outcome: Any) -> Judged:
    return Judged(name=name, outcome=outcome, size=size, ratios={"quality": ratio})


def test_a_recipe_above_the_target_is_not_nearest_and_opens_nothing() -> None:
    screened = (judged("-r", 0.5, 0.1, "passed"), judged("m", 0.3, 4.0, "regression"), judged("n", 0.3, 3.0, "passed"))
    record = SearchRecord(request={"target": 0.3}, screened=screened)
    assert order_of(screened, 0.3) == []
    assert searching.outcome_of(record, None, None) == "none"
    assert getattr(nearest(record), "name", None) == "n"
    assert searching.outcome_of(record.model_copy(update={"request": {}}), None, None) == "inconclusive"


def test_budgets_without_a_margin_put_candidates_in_order_too() -> None:
    flips = [judged("large", 0.5, 0.2, "passed"), judged("small", 0.3, 0.9, "passed")]
    assert order_of(flips, None) == ["large", "small"]
    unlimited = [Judged(name=name, outcome="passed", size=size, ratios={}) for name, size in (("l", 0.5), ("s", 0.3))]
    assert order_of(unlimited, None) == ["s"]
    assert order_of(unlimited, 0.4) == ["s"]
