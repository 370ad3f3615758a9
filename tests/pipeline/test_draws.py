"""Draws of an arm from end to end: each compressed and asked once, and all of them in the arm's results."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import CompressionError, EngineError, StoreError, UsageError
from crushtest.gate.checks import run_gate
from crushtest.pipeline import prepare as preparing
from crushtest.pipeline.run import recompare, run_study
from crushtest.records import Answer, Choices, ChoiceScores, Request
from crushtest.registry import ENGINES, AboutEngine, Entry
from crushtest.report.figures.draws import draws
from crushtest.report.figures.theme import PAGE
from crushtest.report.study_view import read_study
from crushtest.results import Contrast
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.chain import problems
from crushtest.study.draws import with_replicates
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.query import ask
from crushtest.study.spec import StudySpec, build_spec
from support.older_study import untie
from support.tiny_models import loaded

CALIBRATED, PLAIN = "wanda:sparsity=0.5", "magnitude:sparsity=0.5"
SUITE = [{"probe_facts": {"limit": 40}}]
LOST = {("d", 0): 16, ("a", 0): 4, ("a", 1): 12, ("a", 2): 5, ("b", 0): 10, ("b", 1): 18, ("b", 2): 11, ("c", 1): 20}
"""(arm, draw) -> how many of 40 answers, all right in dense, it gets wrong."""


def study(*arms: dict[str, Any], **settings: Any) -> StudySpec:
    content = {"model": "m", "engine": "drawing", "arms": list(arms), "suite": SUITE, **settings}
    return build_spec(content, where="test")


def arm(name: str = "a", replicates: int = 3, **settings: Any) -> dict[str, Any]:
    return {"name": name, "recipe": CALIBRATED, "replicates": replicates, **settings}


class Started(list[tuple[str, FakeEngine]]):
    """The engines that were started, after the titles of their arms; `fail` is for the arm of that title."""

    fail: dict[str, int]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """An engine that takes recipes and loses as many answers as `LOST` says of the arm's draw."""
    engines, running = Started(), [("dense", 0, "dense")]
    engines.fail = {}
    prepare = preparing.prepare

    def note(run: Any, arm: Arm) -> Any:
        running[0] = (arm.name, arm.draw, arm.title)
        return prepare(run, arm)

    def drawing(model: str) -> FakeEngine:
        name, draw, title = running[0]
        lost = LOST.get((name, draw), 0)

        def respond(request: Request) -> Answer | None:
            if not isinstance(request, Choices) or request.context not in place_of:
                return None
            place, count = place_of[request.context], len(request.options)
            chosen = (gold[place] + (place < lost)) % count
            return ChoiceScores(tuple(0.0 if at == chosen else -1.0 for at in range(count)), (1,) * count, (1,) * count)

        engines.append((title, FakeEngine(respond=respond, fail_at=engines.fail.get(title))))
        return engines[-1][1]

    about = AboutEngine(runs="a test", answers=("choices", "prompts"), has_model=False, takes_recipes=True)
    monkeypatch.setitem(ENGINES._entries, "drawing", Entry("engine", "drawing", drawing, about))
    monkeypatch.setattr(preparing, "prepare", note)
    items = make_plan(study()).tasks[0].draw()
    place_of = {item.request.context: place for place, item in enumerate(items)}  # type: ignore[union-attr]
    gold = [item.gold or 0 for item in items]
    return engines


def row(folder: Path, arm: str = "a", against: str = "dense", metric: str = "accuracy") -> Contrast:
    rows = StudyFolder(folder).read_contrasts()
    return next(r for r in rows if (r.arm, r.against, r.metric, r.group) == (arm, against, metric, "all"))


def tables(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def titles(started: Started) -> list[str]:
    return [title for title, _ in started]


def test_every_draw_is_asked_once_and_the_row_is_their_mean(tmp_path: Path, started: Started) -> None:
    run_study(study(arm()), tmp_path / "s")
    assert titles(started) == ["dense", "a", "a, draw 1", "a, draw 2"]
    assert [engine.asked.total() for _, engine in started] == [40] * 4
    found = row(tmp_path / "s")
    assert found.draws is not None
    assert found.draws.values == pytest.approx((-0.1, -0.3, -0.125))
    assert found.difference == pytest.approx(-0.175)
    assert found.draws.deviation == pytest.approx(0.1089725)
    assert 0 < (found.draws.share or 0) < 1
    assert found.flips.total == 5  # of the draw in the middle
    (estimate,) = [
        e
        for e in StudyFolder(tmp_path / "s").read_estimates()
        if (e.arm, e.metric, e.group) == ("a", "accuracy", "all")
    ]
    assert estimate.draws is not None
    assert (estimate.value, estimate.draws.values) == (pytest.approx(0.825), pytest.approx((0.9, 0.7, 0.875)))
    assert list(problems(StudyFolder(tmp_path / "s"))) == []
    started.clear()
    assert not run_study(study(arm()), tmp_path / "s")
    assert titles(started) == []


def test_an_arm_without_replicates_has_the_rows_of_a_study_without_draws(tmp_path: Path, started: Started) -> None:
    run_study(study(arm(replicates=1)), tmp_path / "one")
    run_study(study(arm(replicates=1), arm("b")), tmp_path / "s")
    assert row(tmp_path / "s") == row(tmp_path / "one")
    assert row(tmp_path / "one").draws is None


def test_a_study_killed_between_draws_goes_on_with_the_open_one(tmp_path: Path, started: Started) -> None:
    started.fail = {"a, draw 2": 7}
    with pytest.raises(EngineError, match="arm 'a, draw 2'"):
        run_study(study(arm()), tmp_path / "s")
    recompare(StudyFolder(tmp_path / "s"))
    between = row(tmp_path / "s").draws
    assert between is not None
    assert between.values == pytest.approx((-0.1, -0.3))
    started.clear()
    started.fail = {}
    assert run_study(study(arm()), tmp_path / "s")
    assert [(title, engine.asked.total()) for title, engine in started] == [("a, draw 2", 33)]
    run_study(study(arm()), tmp_path / "at once")
    assert tables(tmp_path / "s") == tables(tmp_path / "at once")


def test_a_draw_whose_model_changed_meanwhile_is_not_in_the_results(tmp_path: Path, started: Started) -> None:
    run_study(study(arm()), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    manifest.update(folder.manifest, manifest.INVALID, "a, draw 1", {"reason": "the server has another model"})
    recompare(folder)
    drawn = row(tmp_path / "s").draws
    assert drawn is not None
    assert drawn.values == pytest.approx((-0.1, -0.125))


def test_replicates_grow_and_only_the_missing_draws_are_run(tmp_path: Path, started: Started) -> None:
    for replicates, asked in ((1, ["dense", "a"]), (3, ["a, draw 1", "a, draw 2"]), (2, []), (1, [])):
        started.clear()
        assert run_study(study(arm(replicates=replicates)), tmp_path / "s") == bool(asked)
        assert titles(started) == asked
    run_study(study(arm()), tmp_path / "at once")
    assert tables(tmp_path / "s") == tables(tmp_path / "at once")


def test_a_draw_that_cannot_be_compressed_is_left_out_and_named(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = preparing.prepare

    def fail(run: Any, arm: Arm) -> Any:
        if arm.draw == 1:
            raise CompressionError("layer x: not positive definite")
        return prepare(run, arm)

    monkeypatch.setattr(preparing, "prepare", fail)
    run_study(study(arm()), tmp_path / "s")
    found = row(tmp_path / "s").draws
    assert found is not None
    assert found.values == pytest.approx((-0.1, -0.125))
    noted = manifest.read(StudyFolder(tmp_path / "s").manifest)
    assert "not positive definite" in noted["failed_draws"]["a, draw 1"]["reason"]
    assert noted["compared_draws"]["probe_facts"] == {"a": [0, 2]}
    page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert "Draw 1 is missing, because its compression failed" in page
    assert "2 of 3 calibration draws" in page
    started.clear()
    assert not run_study(study(arm()), tmp_path / "s")
    assert titles(started) == []


def test_two_arms_with_the_same_draws_are_compared_draw_by_draw(tmp_path: Path, started: Started) -> None:
    run_study(study(arm(), arm("b", against="a")), tmp_path / "s")
    draws = row(tmp_path / "s", "b", "a").draws
    assert draws is not None
    assert draws.values == pytest.approx((-0.15, -0.15, -0.15))
    assert draws.deviation == pytest.approx(0)


def test_an_arm_with_one_draw_stands_against_all_draws_of_another(tmp_path: Path, started: Started) -> None:
    run_study(study(arm(), arm("b", replicates=1, against="a")), tmp_path / "s")
    draws = row(tmp_path / "s", "b", "a").draws
    assert draws is not None
    assert draws.values == pytest.approx((-0.15, 0.05, -0.125))


def test_the_page_shows_draws_and_names_what_one_alone_says(tmp_path: Path, started: Started) -> None:
    run_study(study(arm(), arm("c"), arm("b", replicates=1)), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    page = folder.report.read_text(encoding="utf-8")
    assert "Accuracy: worse in one draw of 3 only (the second)" in page
    assert "Draw by draw" in page
    view = read_study(folder)
    assert [each.draw for each in view.others] == ["3 calibration draws", "3 calibration draws", "one calibration draw"]
    assert view.draws == "3 calibration draws: a and c. One calibration draw: b."
    figure = draws(view, view.tasks[0])
    assert figure is not None
    assert [row["x"] for row in figure.data["draws"] if row["arm"] == "a"] == pytest.approx([-10.0, -30.0, -12.5])
    assert figure.spec(PAGE)["datasets"]["means"][0]["x"] == pytest.approx(-17.5)
    assert draws(view.against("dense"), view.tasks[0]) is not None


def test_the_gate_judges_draws_by_the_interval_of_all(tmp_path: Path, started: Started) -> None:
    """Draw 0 alone is clearly worse; the others are not."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, margin: 0.05, min_items: 20}]")
    outcomes = {}
    for replicates in (1, 3):
        run_study(study(arm("d", replicates)), tmp_path / str(replicates))
        outcomes[replicates] = run_gate(tmp_path / str(replicates), str(policy)).outcome
    assert outcomes[1] == "regression"
    assert outcomes[3] != "regression"


def test_an_older_study_without_draws_is_read_as_one_draw_each(tmp_path: Path, started: Started) -> None:
    run_study(study(arm(replicates=1)), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    rows = folder.read_contrasts()
    for path in (folder.contrasts, folder.estimates):
        frame = pl.read_parquet(path)
        frame.drop([column for column in frame.columns if column.startswith("draw")]).write_parquet(path)
    untie(tmp_path / "s")
    assert folder.read_contrasts() == rows
    assert draws(read_study(folder), read_study(folder).tasks[0]) is None


@pytest.mark.parametrize("given", [{"recipe": PLAIN}, {"model": "m", "name": "x"}])
def test_replicates_of_what_cannot_vary_are_refused(given: dict[str, Any], started: Started) -> None:
    with pytest.raises(UsageError, match="3 replicates would be the same numbers"):
        make_plan(study({**given, "replicates": 3}))


def test_sampled_completions_are_drawn_again_by_dense_and_arm(tmp_path: Path, started: Started) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f'{{"prompt": "Town {number} said"}}\n' for number in range(20)))
    options = {"path": str(prompts), "temperature": 1.0, "scorers": ["profanity"]}
    sampled = [{"custom_prompts": options}]
    spec = study({"name": "a", "recipe": PLAIN, "replicates": 2}, {"name": "b", "recipe": PLAIN}, suite=SUITE + sampled)
    run_study(spec, tmp_path / "s")
    asked: dict[str, int] = {}
    for title, engine in started:  # the last one is a scorer's
        asked.setdefault(title, engine.asked.total())
    assert asked == {"dense": 60, "a": 60, "b": 60, "dense, draw 1": 20, "a, draw 1": 20}
    folder = StudyFolder(tmp_path / "s")
    texts = [folder.answers("a", "custom_prompts", "prompts", draw=draw).read() for draw in (0, 1)]
    assert texts[0] != texts[1]
    rows = folder.read_contrasts()
    drawn = {(r.arm, r.task) for r in rows if r.draws}
    assert drawn == {("a", "custom_prompts")}
    assert not {e.arm for e in folder.read_estimates() if e.draws} - {"a"}


def test_the_gate_and_verify_see_damage_to_a_draw(tmp_path: Path, started: Started) -> None:
    run_study(study(arm()), tmp_path / "s")
    path = StudyFolder(tmp_path / "s").answers("a", "probe_facts", "choices", draw=1).final
    assert path == tmp_path / "s" / "arms" / "a" / "draws" / "1" / "answers" / "probe_facts.parquet"
    path.write_bytes(path.read_bytes()[:-9] + b"xxxxxxxxx")
    assert any(str(path) in line for line in problems(StudyFolder(tmp_path / "s")))
    with pytest.raises(StoreError, match="draws/1"):
        run_gate(tmp_path / "s", "standard")


def test_answers_of_another_draw_are_not_taken_for_its_own(tmp_path: Path, started: Started) -> None:
    run_study(study(arm()), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    logs = [folder.answers("a", "probe_facts", "choices", draw=draw) for draw in range(3)]
    for place, other in ((1, 2), (0, 1), (2, 0)):
        own = logs[place].final.read_bytes()
        logs[place].final.write_bytes(logs[other].final.read_bytes())
        with pytest.raises(StoreError, match=rf"is of another draw .* than its place says \({place or 0}"):
            logs[place].read()
        logs[place].final.write_bytes(own)
    assert list(problems(folder)) == []


def test_sql_can_ask_for_draws(tmp_path: Path, started: Started) -> None:
    run_study(study(arm()), tmp_path / "s")
    sql = "select distinct draws, len(draw_values) from contrasts where draw_sd is not null"
    assert list(ask(StudyFolder(tmp_path / "s"), sql).rows) == [(3, 3)]


def test_replicates_of_the_command_line_go_to_arms_that_calibrate() -> None:
    spec = with_replicates(study({"recipe": f"{CALIBRATED},{PLAIN}"} | {"recipe": CALIBRATED}, {"recipe": PLAIN}), 4)
    assert [given.replicates for given in spec.arms] == [4, 1]
    with pytest.raises(UsageError, match="no arm calibrates"):
        with_replicates(study({"recipe": PLAIN}), 4)


# ---- real weights ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, as a folder."""
    folder = tmp_path_factory.mktemp("model")
    model = loaded()
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def real(tiny: Path, source: str = "pydoc", sequences: int = 2) -> StudySpec:
    calibration = {"source": source, "sequences": sequences, "length": 16}
    content = {"model": str(tiny), "suite": [{"probe_text": {"limit": 8}}], "calibration": calibration}
    return build_spec(content | {"arms": [{"recipe": CALIBRATED, "replicates": 3}]}, where="test")


def test_draws_calibrate_on_other_text_and_a_draw_is_the_arm_of_that_seed(tmp_path: Path, tiny: Path) -> None:
    run_study(real(tiny), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    records = [folder.read_compression(CALIBRATED, draw) for draw in range(3)]
    assert all(records)
    seeds = [record["calibration"]["seed"] for record in records if record]
    assert seeds == [0, 1, 2]
    assert len({record["calibration"]["tokens_sha256"] for record in records if record}) == 3
    draws = row(tmp_path / "s", CALIBRATED, metric="bits_per_byte").draws
    assert draws is not None
    assert len(set(draws.values)) == 3
    run_study(real(tiny).model_copy(update={"seed": 2}), tmp_path / "seed 2")
    other = StudyFolder(tmp_path / "seed 2").read_compression(CALIBRATED)
    assert other is not None
    assert records[2] is not None
    assert [other[key] for key in ("calibration", "layers")] == [records[2][key] for key in ("calibration", "layers")]
    assert list(problems(folder)) == []


def test_draws_of_a_text_that_is_read_as_a_whole_are_refused(tmp_path: Path, tiny: Path) -> None:
    text = tmp_path / "text.txt"
    words = itertools.cycle(["the people of this town were kind", "and often said so"])
    text.write_text(" ".join(itertools.islice(words, 12)))
    fits = next(n for n in range(1, 40) if too_short(tiny, text, n + 1))
    with pytest.raises(UsageError, match="is read as a whole"):
        run_study(real(tiny, str(text), fits), tmp_path / "s")


def too_short(tiny: Path, text: Path, sequences: int) -> bool:
    from crushtest.compress.calibration import Calibration, calibration_tokens
    from crushtest.errors import DataError

    try:
        calibration_tokens(Calibration(str(text), sequences, 16), loaded().tokenizer)
    except DataError:
        return True
    return False
