"""The noise floor from end to end: repeats of arms that are run once, and the bands that they give."""

from __future__ import annotations

import json
import signal
import time
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from rich.console import Console

from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import EngineError, StoreError
from crushtest.gate.checks import run_gate
from crushtest.pipeline.run import recompare, run_study
from crushtest.records import Answer, Choices, ChoiceScores, Request
from crushtest.registry import ENGINES, AboutEngine, Entry
from crushtest.report import terminal, write_report
from crushtest.report.page.noise import noise_rows
from crushtest.report.study_view import read_study
from crushtest.results import Contrast, NoiseBand
from crushtest.stats.verdicts import WITHIN_NOISE
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.query import ask
from crushtest.study.spec import StudySpec, build_spec, read_spec, read_stored_spec
from support.held_run import held_run
from support.in_process import crushtest
from support.older_study import untie
from support.tiny_models import loaded

ARM = "magnitude:sparsity=0.3"
FACTS = [{"probe_facts": {"limit": 40}}]
FLIPPED = {8: (), 2: (0, 1, 2), 1: (0, 20)}
"""Tokens a pack -> the items, of 40 of which the first 20 are right, whose answer such packs change."""


def packing_study(**settings: object) -> StudySpec:
    """Two arms in an engine whose answers depend on its packs: one loses 3 of 40 answers, the other 20.

    A noise floor given as a number is that of dense alone.
    """
    if isinstance(floor := settings.get("noise_floor"), int) and floor:
        settings["noise_floor"] = {"repeats": floor, "arms": "dense"}
    arms = [{"name": f"lost {n}", "model": "m", "engine": f"packing:lost={n}"} for n in (3, 20)]
    return build_spec({"model": "m", "engine": "packing", "arms": arms, "suite": FACTS, **settings}, where="test")


class Started(list[tuple[int, FakeEngine]]):
    """Every engine that was started, after the tokens of its packs; `fail_at` is for the next ones."""

    fail_at: int | None = None


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The engine `packing`, registered; it knows the items of `packing_study`."""
    engines = Started()

    def packing(model: str, *, pack_tokens: int = 8, lost: int = 0, shaky: int = 0) -> FakeEngine:
        changed = {*FLIPPED[pack_tokens], *range(lost), *range(20, 20 + (shaky if pack_tokens < 8 else 0))}

        def respond(request: Request) -> Answer:
            assert isinstance(request, Choices)
            place = place_of[request.context]
            right = (place < 20) != (place in changed)
            count = len(request.options)
            chosen = gold[place] if right else (gold[place] + 1) % count
            logprobs = tuple(0.0 if option == chosen else -1.0 for option in range(count))
            return ChoiceScores(logprobs, (1,) * len(logprobs), (1,) * len(logprobs))

        engines.append((pack_tokens, FakeEngine(respond=respond, fail_at=engines.fail_at)))
        return engines[-1][1]

    about = AboutEngine(runs="a test", answers=("choices",), has_model=False)
    monkeypatch.setitem(ENGINES._entries, "packing", Entry("engine", "packing", packing, about))
    items = make_plan(packing_study()).tasks[0].draw()
    place_of = {item.request.context: place for place, item in enumerate(items)}  # type: ignore[union-attr]
    gold = [item.gold for item in items]
    return engines


def tables(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def values(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What the tables hold, without what they say of themselves."""
    return {
        str(path.relative_to(folder)): pl.read_parquet(path).to_dicts() for path in sorted(folder.rglob("*.parquet"))
    }


def test_the_band_is_the_largest_move_of_a_repeat_and_marks_smaller_ones(tmp_path: Path, started: Started) -> None:
    """Repeat 1 loses 3 of 40, repeat 2 loses one and gains another: 3 / 40 at most."""
    run_study(packing_study(noise_floor=2), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    bands = {(band.metric, band.group): band for band in folder.read_bands()}
    assert bands["accuracy", "all"] == NoiseBand(
        task="probe_facts",
        metric="accuracy",
        group="all",
        repeats=2,
        half_width=pytest.approx(0.075),
        flips=3,
        low=pytest.approx(-0.075),
        high=0.0,
        flip_share=0.075,
        net_share=0.075,
    )
    rows = {row.arm: row for row in folder.read_contrasts() if (row.metric, row.group) == ("accuracy", "all")}
    assert rows["lost 3"].difference == pytest.approx(-0.075)
    assert rows["lost 3"].verdict == WITHIN_NOISE
    assert rows["lost 20"].verdict == "worse"
    assert [row.noise for row in rows.values()] == pytest.approx([0.075, 0.075])
    page = folder.report.read_text(encoding="utf-8")
    assert "within measurement noise, ±7.5 points" in page
    assert "dense, 2 repeats" in page
    for show in (terminal.print_summary, lambda f, c: terminal.print_contrasts(f, c, task="probe_facts")):
        console = Console(file=StringIO(), width=300)
        show(folder, console)
        assert "within measurement noise, ±7.5 points" in console.file.getvalue()  # type: ignore[attr-defined]


def test_repeats_ask_the_same_items_in_another_order(tmp_path: Path, started: Started) -> None:
    run_study(packing_study(noise_floor=1), tmp_path / "s")
    assert [pack_tokens for pack_tokens, _ in started] == [8, 8, 8, 2]
    dense, repeat = (list(started[place][1].asked) for place in (0, 3))
    assert dense != repeat
    assert set(dense) == set(repeat)
    folder = StudyFolder(tmp_path / "s")
    assert list(folder.answers("dense", "probe_facts", "choices", repeat=1).read()) == [
        item.id for item in folder.read_items("probe_facts")
    ]
    assert manifest.read(folder.manifest)["repeats"]["dense"]["1"]["options"]["pack_tokens"] == 2


@pytest.mark.usefixtures("no_page")
def test_a_noise_floor_added_later_runs_only_the_missing_repeats(tmp_path: Path, started: Started) -> None:
    run_study(packing_study(), tmp_path / "s")
    plain = tables(tmp_path / "s")
    for floor, packs in ((1, [2]), (3, [1, 1]), (3, []), (0, []), (2, [])):
        started.clear()
        assert run_study(packing_study(noise_floor=floor), tmp_path / "s") == bool(packs)
        assert [pack_tokens for pack_tokens, _ in started] == packs
        assert all(engine.asked.total() == 40 for _, engine in started)
    found = tables(tmp_path / "s")
    same = {"contrasts.parquet"} ^ plain.keys()
    assert {name: found[name] for name in same} == {name: plain[name] for name in same}
    run_study(packing_study(noise_floor=3), tmp_path / "at once")
    assert tables(tmp_path / "at once") == found


@pytest.mark.usefixtures("no_page")
def test_a_new_arm_of_a_study_with_a_noise_floor_keeps_its_bands(tmp_path: Path, started: Started) -> None:
    run_study(packing_study(noise_floor=1), tmp_path / "s")
    started.clear()
    more = [{"name": "lost 1", "model": "m", "engine": "packing:lost=1"}]
    run_study(packing_study(arms=more), tmp_path / "s")
    assert [engine.asked.total() for _, engine in started] == [40]
    (row,) = [
        r
        for r in StudyFolder(tmp_path / "s").read_contrasts()
        if (r.arm, r.metric, r.group) == ("lost 1", "accuracy", "all")
    ]
    assert (row.verdict, row.noise) == (WITHIN_NOISE, pytest.approx(0.075))


@pytest.mark.usefixtures("no_page")
def test_a_repeat_that_failed_goes_on_where_it_stopped(tmp_path: Path, started: Started) -> None:
    run_study(packing_study(), tmp_path / "s")
    started.clear()
    started.fail_at = 17
    with pytest.raises(EngineError, match="arm 'dense, repeat 1': "):
        run_study(packing_study(noise_floor=1), tmp_path / "s")
    recompare(StudyFolder(tmp_path / "s"))
    assert not StudyFolder(tmp_path / "s").read_bands()
    started.fail_at = None
    assert run_study(packing_study(noise_floor=1), tmp_path / "s")
    assert [engine.asked.total() for _, engine in started] == [17, 23]
    run_study(packing_study(noise_floor=1), tmp_path / "whole")
    assert tables(tmp_path / "s") == tables(tmp_path / "whole")


def test_killed_in_a_repeat_a_study_ends_with_the_same_tables(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "model: fake\nengine: fake\nnoise_floor: 2\nsuite: [{probe_facts: {limit: 40}}, "
        "{probe_prompts: {limit: 20}}]\narms: [{name: other, model: fake, engine: 'fake:seed=1'}]\n"
    )
    run_study(read_spec(study), tmp_path / "whole")
    out = tmp_path / "killed"
    kept: dict[Path, bytes] = {}
    for answers in (140, 10):  # dense and the other arm are asked 60 each before the first repeat
        before = sum(map(len, kept.values()))
        with held_run(study, out, answers=answers) as process:
            while sum(map(len, lines_of_repeats(out).values())) <= before + 300:
                assert process.poll() is None, process.stderr and process.stderr.read().decode()
                time.sleep(0.01)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        now = lines_of_repeats(out)
        assert all(now.get(path, b"").startswith(lines) for path, lines in kept.items())
        kept = now
    assert run_study(read_spec(study), out)
    assert tables(out) == tables(tmp_path / "whole")


def lines_of_repeats(out: Path) -> dict[Path, bytes]:
    """The whole lines of the answers that a repeat is giving."""
    found = {}
    for path in out.glob("arms/dense/repeats/1/answers/probe_facts.jsonl"):
        content = path.read_bytes()
        found[path] = content[: content.rfind(b"\n") + 1]
    return found


def test_repeats_that_differ_otherwise_are_refused(tmp_path: Path) -> None:
    def spec(**settings: object) -> StudySpec:
        return build_spec({"model": "fake", "engine": "fake", "suite": FACTS, **settings}, where="test")

    run_study(spec(noise_floor={"repeats": 1, "vary": ["engine=fake:seed=3"]}), tmp_path / "s")
    before = tables(tmp_path / "s")
    with pytest.raises(StoreError, match=r"holds repeats with noise_floor\.vary="):
        run_study(spec(noise_floor={"repeats": 2, "vary": ["engine=fake:seed=4"]}), tmp_path / "s")
    assert tables(tmp_path / "s") == before
    assert run_study(spec(noise_floor=2), tmp_path / "s")
    kept = manifest.read(StudyFolder(tmp_path / "s").manifest)["repeats"]["dense"]
    assert [facts["engine"]["seed"] for facts in kept.values()] == [3, 3]


def test_one_model_alone_has_its_bands_in_the_report(tmp_path: Path, started: Started) -> None:
    run_study(packing_study(arms=[], noise_floor=1), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    assert not folder.read_contrasts()
    assert pl.read_parquet(folder.noise)["half_width"].max() > 0
    assert "±7.5 points" in folder.report.read_text(encoding="utf-8")


def test_the_commands_take_a_noise_floor_and_its_bands_can_be_asked_for(tmp_path: Path) -> None:
    asked = (
        "evaluate",
        "fake",
        "--engine",
        "fake",
        "--suite",
        "probe_facts",
        "--limit",
        "8",
        "-o",
        str(tmp_path / "s"),
    )
    wrong = crushtest(*asked, "--noise-floor", "1", "--noise-vary", "engin=fake")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean 'engine'?" in wrong.stderr
    done = crushtest(*asked, "--noise-floor", "1", "--noise-vary", "engine=fake:seed=5")
    assert done.returncode == 0, done.stderr
    assert "dense, repeat 1 · probe_facts: 8 of 8" in done.stderr
    found = crushtest("query", str(tmp_path / "s"), "SELECT metric, repeats FROM noise WHERE \"group\" = 'all'")
    assert "accuracy\t1" in found.stdout


def test_a_study_file_that_names_no_arms_leaves_those_of_the_folder(tmp_path: Path) -> None:
    arms = "arms: [{name: b, model: fake, engine: 'fake:seed=1'}]"
    content = f"model: fake\nengine: fake\nsuite: [{{probe_facts: {{limit: 8}}}}]\n{arms}\n"
    for floor in ("{repeats: 1, arms: dense}", "{repeats: 1}"):
        (tmp_path / "s.yaml").write_text(f"{content}noise_floor: {floor}\n")
        assert crushtest("run", "--study", "s.yaml", "-o", "s", cwd=tmp_path).returncode == 0
        assert {band.arm for band in StudyFolder(tmp_path / "s").read_bands()} == {"dense"}


# ---- arms with a noise of their own -----------------------------------------------------------------

F16 = {"name": "f16", "model": "m", "engine": "packing:lost=1"}
Q4 = {"name": "q4", "model": "m", "engine": "packing:lost=3,shaky=6", "against": "f16"}
"""Loses 3 of 40 answers; a repeat of it gains 6 others."""


def chain(**settings: object) -> StudySpec:
    """The study dense -> f16 -> q4."""
    return packing_study(arms=[F16, Q4], **settings)


def accuracy_rows(root: Path) -> dict[tuple[str, str], Contrast]:
    """The pooled contrasts of accuracy by (arm, against)."""
    rows = StudyFolder(root).read_contrasts()
    return {(row.arm, row.against): row for row in rows if (row.metric, row.group) == ("accuracy", "all")}


def test_a_contrast_has_the_wider_band_of_its_two_sides(tmp_path: Path, started: Started) -> None:
    run_study(chain(noise_floor={"repeats": 1}), tmp_path / "s")
    assert [pack_tokens for pack_tokens, _ in started] == [8, 8, 8, 2, 2, 2]
    bands = {b.arm: b for b in StudyFolder(tmp_path / "s").read_bands() if (b.metric, b.group) == ("accuracy", "all")}
    assert {arm: band.flips for arm, band in bands.items()} == {"dense": 3, "f16": 2, "q4": 6}
    rows = accuracy_rows(tmp_path / "s")
    assert {pair: row.noise_flips for pair, row in rows.items()} == {
        ("f16", "dense"): 3,
        ("q4", "dense"): 6,
        ("q4", "f16"): 6,
    }
    assert rows["q4", "f16"].noise == pytest.approx(0.15)
    assert {row.verdict for row in rows.values()} == {WITHIN_NOISE}
    page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert "2 of 40 answers changed (5%): 0 for the better, 2 for the worse (within measurement noise" in page
    assert page.count("q4, repeat 1") == page.count("q4, 1 repeat") == 1
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{task: probe_facts, metric: accuracy, arm: q4, max_flips: 0.01, against: f16}]")
    assert run_gate(tmp_path / "s", str(policy)).exit_code == 4


@pytest.mark.usefixtures("no_page")
def test_an_arm_without_its_repeats_is_compared_as_it_was(tmp_path: Path, started: Started) -> None:
    run_study(chain(noise_floor=1), tmp_path / "s")
    before = accuracy_rows(tmp_path / "s")
    assert [row.noise for row in before.values()] == [pytest.approx(0.075)] * 2 + [None]
    assert before["q4", "f16"].verdict != WITHIN_NOISE
    started.fail_at = 17
    with pytest.raises(EngineError, match="arm 'q4, repeat 1': "):
        run_study(chain(noise_floor={"repeats": 1, "arms": "q4"}), tmp_path / "s")
    recompare(StudyFolder(tmp_path / "s"))
    assert accuracy_rows(tmp_path / "s") == before


@pytest.mark.usefixtures("no_page")
def test_arms_are_added_to_a_noise_floor_and_only_they_are_run(tmp_path: Path, started: Started) -> None:
    run_study(chain(noise_floor=1), tmp_path / "s")
    for arms, packs in (("q4", [2]), ("dense", []), (["f16", "q4"], [2]), ("all", [])):
        started.clear()
        assert run_study(chain(noise_floor={"repeats": 1, "arms": arms}), tmp_path / "s") == bool(packs)
        assert [pack_tokens for pack_tokens, _ in started] == packs
    started.clear()
    run_study(chain(noise_floor=2), tmp_path / "s")
    assert [pack_tokens for pack_tokens, _ in started] == [1, 1, 1]
    run_study(chain(noise_floor={"repeats": 2, "arms": "all"}), tmp_path / "at once")
    assert tables(tmp_path / "at once") == tables(tmp_path / "s")


def without_arms(folder: StudyFolder) -> None:
    """Write the study file as it was before a noise floor named arms."""
    content = yaml.safe_load(folder.specification.read_text())
    del content["noise_floor"]["arms"]
    folder.specification.write_text(yaml.safe_dump(content))


@pytest.mark.usefixtures("no_page")
def test_arms_named_as_the_default_are_added_to_a_stored_noise_floor(tmp_path: Path, started: Started) -> None:
    run_study(chain(noise_floor=1), tmp_path / "s")
    assert not run_study(chain(noise_floor={"repeats": 1}), tmp_path / "s")
    assert run_study(chain(noise_floor={"repeats": 1, "arms": "auto"}), tmp_path / "s")
    assert {band.arm for band in StudyFolder(tmp_path / "s").read_bands()} == {"dense", "f16", "q4"}


@pytest.mark.usefixtures("no_page")
def test_an_older_study_keeps_its_repeats_to_dense_and_a_new_one_is_auto(tmp_path: Path, started: Started) -> None:
    run_study(chain(noise_floor=1), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    without_arms(folder)
    assert read_stored_spec(folder.specification).noise_floor.arms == ("dense",)
    assert read_spec(folder.specification).noise_floor.arms == ("dense", "auto")
    assert not run_study(chain(noise_floor={"repeats": 1}), tmp_path / "s")
    recompare(folder)
    assert {band.arm for band in folder.read_bands()} == {"dense"}
    run_study(chain(), tmp_path / "none")
    without_arms(StudyFolder(tmp_path / "none"))
    recompare(StudyFolder(tmp_path / "none"))


def test_a_study_from_before_arms_had_repeats_is_read_and_goes_on(tmp_path: Path, started: Started) -> None:
    run_study(chain(noise_floor=1), tmp_path / "s")
    folder, rows = StudyFolder(tmp_path / "s"), accuracy_rows(tmp_path / "s")
    untie(folder.root)
    pl.read_parquet(folder.noise).drop("arm", "low", "high", "flip_share", "net_share").write_parquet(folder.noise)
    pl.read_parquet(folder.contrasts).drop("noise_flips", "noise_flip_share", "noise_net_share").write_parquet(
        folder.contrasts
    )
    content = json.loads(folder.manifest.read_text())
    content["repeats"] = content["repeats"]["dense"]
    content["noise_floor"] = {"probe_facts": {"repeats": 1}}
    folder.manifest.write_text(json.dumps(content))
    assert {band.arm for band in folder.read_bands()} == {"dense"}
    assert ask(folder, "SELECT DISTINCT arm FROM noise").rows == [("dense",)]
    assert {pair: row.noise for pair, row in accuracy_rows(tmp_path / "s").items()} == {
        pair: row.noise for pair, row in rows.items()
    }
    assert "dense, repeat 1" in write_report(folder).read_text(encoding="utf-8")
    assert not run_study(chain(), tmp_path / "s")
    run_study(chain(noise_floor=2), tmp_path / "s")
    assert list(manifest.read(folder.manifest)["repeats"]["dense"]) == ["1", "2"]
    run_study(chain(noise_floor=2), tmp_path / "new")
    assert values(tmp_path / "new") == values(tmp_path / "s")


def test_the_progress_counts_the_repeats_of_every_arm(
    tmp_path: Path, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    run_study(chain(noise_floor={"repeats": 2, "arms": "q4"}), tmp_path / "s")
    lines = capsys.readouterr().err
    assert "study 40 of 280" in lines
    assert "q4, repeat 2 · probe_facts: 40 of 40" in lines


def test_a_recipe_is_applied_again_in_a_repeat_and_its_record_stays(tmp_path: Path, tiny: Path) -> None:
    settings = {"noise_floor": {"repeats": 1, "arms": "all"}, "suite": REAL[1:2]}
    run_study(real(tiny, **settings), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    bands = {band.arm: band for band in folder.read_bands() if band.metric == "bits_per_byte"}
    assert list(bands) == ["dense", ARM]
    assert 0 < (bands[ARM].half_width or 0) < 1e-5
    assert not (folder.arm(ARM, 1) / "compression.json").exists()
    assert folder.compression(ARM).exists()


REAL = [{"probe_facts": {"limit": 40}}, {"probe_text": {"limit": 6}}, {"probe_prompts": {"limit": 20}}]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, as a folder."""
    folder = tmp_path_factory.mktemp("model")
    model = loaded()
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def real(tiny: Path, **settings: object) -> StudySpec:
    content = {"model": str(tiny), "engine": "hf:pack_tokens=512,batch_size=8", "suite": REAL, **settings}
    return build_spec({"arms": [ARM], **content}, where="test")


def test_packing_alone_moves_a_real_model_by_rounding(tmp_path: Path, tiny: Path) -> None:
    run_study(real(tiny, noise_floor=2), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    bands = {(band.task, band.metric, band.group): band for band in folder.read_bands()}
    assert all(band.half_width is None or band.half_width >= 0 for band in bands.values())
    text = bands["probe_text", "bits_per_byte", "all"].half_width
    assert text is not None
    assert 0 < text < 1e-5
    (row,) = [r for r in folder.read_contrasts() if r.metric == "bits_per_byte" and r.group == "all"]
    assert row.noise == text
    assert row.difference is not None
    assert abs(row.difference) > text
    ran = manifest.read(folder.manifest)
    assert ran["arms"]["dense"]["engine"]["scoring"] == "prefix-shared packs of 512 tokens"
    assert [facts["engine"]["scoring"][-11:] for facts in ran["repeats"]["dense"].values()] == [
        " 128 tokens",
        " 112 tokens",
    ]


def test_another_dtype_is_noisier_than_another_packing(tmp_path: Path, tiny: Path) -> None:
    suite = REAL[1:2]
    run_study(real(tiny, noise_floor=1, suite=suite, arms=[]), tmp_path / "packing")
    run_study(
        real(tiny, noise_floor={"repeats": 1, "vary": ["dtype=bfloat16", "threads=1"]}, suite=suite, arms=[]),
        tmp_path / "dtype",
    )
    widths = [
        next(b.half_width for b in StudyFolder(tmp_path / name).read_bands() if b.metric == "bits_per_byte")
        for name in ("packing", "dtype")
    ]
    assert None not in widths
    assert widths[1] > 100 * widths[0]  # type: ignore[operator]
    repeat = manifest.read(StudyFolder(tmp_path / "dtype").manifest)["repeats"]["dense"]["1"]
    assert (repeat["model"]["dtype"], repeat["threads"]) == ("bfloat16", 1)


@pytest.mark.usefixtures("no_page")
def test_a_repeat_that_computed_the_same_measured_nothing(tmp_path: Path, tiny: Path) -> None:
    """An engine that makes answers up gives them again; a model in other packs moves them in the last digits."""
    content = {"model": "m", "engine": "fake", "arms": [{"name": "o", "model": "m", "engine": "fake:seed=1"}]}
    run_study(build_spec(content | {"suite": FACTS, "noise_floor": 1}, where="test"), tmp_path / "fake")
    run_study(real(tiny, noise_floor=1, suite=REAL[:1]), tmp_path / "real")
    for name, identical in (("fake", ["dense", "o"]), ("real", [])):
        noted = manifest.read(tmp_path / name / "manifest.json")["noise_floor"]
        assert noted["probe_facts"]["identical"] == identical
        rows = noise_rows(read_study(StudyFolder(tmp_path / name)))
        assert {row.bands[0].width == "nothing measured" for row in rows} == {bool(identical)}
