"""A dry run: what it announces is what the run does, it refuses what the run refuses, and it leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.cli.envelope import output_schema
from crushtest.engines.hf.likelihood import PackedLogLikelihood
from crushtest.errors import CrushtestError, EngineError
from crushtest.models.options import ModelOptions
from crushtest.pipeline import memory as asking
from crushtest.pipeline.cost import compressing, measured_model, warm_up
from crushtest.pipeline.cost.compressing import _Event, _extrapolated
from crushtest.pipeline.cost.dry_run import dry_run
from crushtest.pipeline.cost.records import Spent, Watch
from crushtest.pipeline.cost.warm_up import _Asked, _expected
from crushtest.pipeline.run import run_study
from crushtest.pipeline.workload import distinct_characters, workload
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import StudySpec, build_spec
from support.narrow import WIDTH, in_terminal
from support.tiny_models import saved_model

pytestmark = pytest.mark.usefixtures("no_page")
SUITE = [{"probe_facts": {"limit": 12}}, {"probe_text": {"limit": 3}}, {"probe_prompts": {"limit": 5}}]
CALIBRATION = {"source": "pydoc", "sequences": 2, "length": 64}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured for longer than it must be."""
    for module, name in ((warm_up, "READING_S"), (warm_up, "WRITING_S"), (compressing, "COMPRESSING_S")):
        monkeypatch.setattr(module, name, 0.0)


def tiny(model: Path, *recipes: str, **settings: Any) -> StudySpec:
    arms = [{"recipe": recipe} for recipe in recipes]
    content = {"model": str(model), "device": "cpu", "arms": arms, "suite": SUITE, "calibration": CALIBRATION}
    return build_spec({**content, **settings}, where="test")


def made_up(*arms: str, **settings: Any) -> StudySpec:
    others = [{"name": arm, "model": "fake", "engine": f"fake:seed={number}"} for number, arm in enumerate(arms)]
    return build_spec({"model": "fake", "engine": "fake", "arms": others, "suite": SUITE, **settings}, where="test")


def contents(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every file and folder in one, when it was changed, and its bytes."""
    paths = sorted(folder.rglob("*"))
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in paths}


# ---- nothing is left behind


def test_a_dry_run_of_a_new_study_leaves_no_folder(model: Path, tmp_path: Path) -> None:
    cost = dry_run(tiny(model, "magnitude:sparsity=0.5"), tmp_path / "deep" / "s")
    assert [arm.arm for arm in cost.arms] == ["dense", "magnitude:sparsity=0.5"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("answers", [1, 14, 17, 10_000])
def test_a_dry_run_leaves_a_folder_byte_for_byte(
    model: Path, tmp_path: Path, answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, folder = tiny(model, "rtn:bits=4,group_size=16"), tmp_path / "s"
    left = iter(range(answers))

    def failing(*arguments: Any) -> Any:
        for count in original(*arguments):
            if next(left, None) is None:
                raise EngineError("as by a crash")
            yield count

    original = asking.ask
    with monkeypatch.context() as patch:
        patch.setattr(asking, "ask", failing)
        if answers < 10_000:
            with pytest.raises(EngineError):
                run_study(spec, folder)
        else:
            run_study(spec, folder)
    before = contents(tmp_path)
    cost = dry_run(spec, folder)
    assert contents(tmp_path) == before
    assert sum(arm.items for arm in cost.arms) == max(0, 40 - answers - (answers < 10_000))
    grown = [{"probe_facts": {"limit": 20}}, *SUITE[1:]]
    cost = dry_run(tiny(model, "rtn:bits=4,group_size=16", suite=grown), folder)
    assert contents(tmp_path) == before
    assert sum(arm.items for arm in cost.arms) == max(0, 40 - answers - (answers < 10_000)) + 16


# ---- what is announced is what is done


def test_every_arm_reads_the_tokens_that_were_announced(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the dense arm, its repeat in smaller packs, and a compressed one; texts that are written are left out."""
    spec = tiny(model, "magnitude:sparsity=0.5", suite=SUITE[:2], noise_floor={"repeats": 1})
    cost = dry_run(spec, tmp_path / "s")
    read: list[int] = []
    run, ask = PackedLogLikelihood._hidden, asking.ask

    def counting(self: PackedLogLikelihood, plan: Any, index: int) -> Any:
        read[-1:] = [read[-1] + len(plan[index].tokens)] if read else []
        return run(self, plan, index)

    def asked(*arguments: Any) -> Any:
        read.append(0)
        yield from ask(*arguments)
        read_by_task.append(read.pop())

    read_by_task: list[int] = []
    monkeypatch.setattr(PackedLogLikelihood, "_hidden", counting)
    monkeypatch.setattr(asking, "ask", asked)
    run_study(spec, tmp_path / "s")
    assert read_by_task == [task.read for arm in cost.arms for task in arm.tasks]
    assert len(read_by_task) == 6
    of_dense, of_repeat = (cost.arms[place].tasks[0].read for place in (0, 2))
    assert of_dense is not None
    assert of_repeat is not None
    assert of_repeat >= of_dense


def test_what_a_run_has_noted_stands_for_what_is_left(model: Path, tmp_path: Path) -> None:
    spec, folder = tiny(model, suite=SUITE[:2]), tmp_path / "s"
    run_study(spec, folder)
    noted = {
        "probe_facts": {"items": 12, "seconds": 600.0, "processor_s": 300.0, "peak_memory_bytes": {"process": 2**45}}
    }
    manifest.update(StudyFolder(folder).manifest, "timing", "dense", noted)
    cost = dry_run(tiny(model, "rtn:bits=4,group_size=16", suite=SUITE[:2]), folder)
    [arm] = cost.arms
    facts, text = arm.tasks
    assert (facts.known_from, text.known_from) == ("earlier run", "warm-up")
    assert facts.spent == Spent(600.0, 300.0)
    assert arm.memory_bytes["process"] == 2**45
    work = {one.kind: one for one in workload(StudyFolder(folder), make_plan(spec), items_of(folder))}
    assert work["probe_facts"].took_s == 50.0
    assert work["probe_text"].took_s is None


def items_of(folder: Path) -> dict[str, Any]:
    return {task: StudyFolder(folder).read_items(task) for task in ("probe_facts", "probe_text")}


def test_a_run_notes_processor_time_beside_the_clock(tmp_path: Path) -> None:
    run_study(made_up("other"), tmp_path / "s")
    timing = json.loads((tmp_path / "s" / "manifest.json").read_text())["timing"]
    assert all(task["processor_s"] >= 0 for arm in timing.values() for task in arm.values())


@given(first=st.floats(0.1, 10), each=st.floats(0.1, 10), done=st.integers(2, 30), more=st.integers(0, 30))
def test_blocks_that_take_the_same_are_extrapolated_exactly(first: float, each: float, done: int, more: int) -> None:
    total = done + more
    events = [_Event("blocks", n + 1, total, Spent(first + each * (n + 1), 0.0)) for n in range(done)]
    assert _extrapolated(events).clock_s == pytest.approx(first + each * total)


@given(going=st.floats(0.5, 0.99), length=st.integers(4, 32), more=st.integers(1, 500))
def test_completions_are_expected_to_go_on_ending_as_they_did(going: float, length: int, more: int) -> None:
    """Each further token is written by those that still go on, a constant share of those before it."""
    items = 10_000
    alive = [items * going ** (step / length) for step in range(length + more)]
    written = round(sum(alive[:length]))
    expected = _expected(_Asked(Spent(), items, written, round(items * going)), length, length + more)
    assert expected == pytest.approx(sum(alive) / items, rel=0.05)


@given(st.sets(st.text(alphabet="abc", max_size=8), max_size=12))
def test_distinct_characters_are_the_nodes_of_a_trie(texts: set[str]) -> None:
    assert distinct_characters(texts) == len({text[:end] for text in texts for end in range(1, len(text) + 1)})


# ---- refusals are the run's


def refused(call: Any, *arguments: Any, **options: Any) -> tuple[type, str]:
    with pytest.raises(CrushtestError) as caught:
        call(*arguments, **options)
    return caught.type, str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"recipes": ["gptq:bits=4,group_size=7"]},
        {"recipes": ["wanda"], "calibration": {"source": "nowhere", "sequences": 2, "length": 64}},
        {"suite": ["paloma"]},
        {"suite": [{"probe_prompts": {"limit": 5, "scorers": ["judge:no/such/model"]}}]},
        {"device": "cuda:77"},
        {"system": "Be kind.", "suite": [{"probe_refusal": {"limit": 5}}]},
        {"suite": [{"probe_refusal": {"limit": 5, "template": "required"}}]},
        {"policy": "no/such/policy.yaml"},
        {"stop_early": {"policy": "no/such/policy.yaml"}},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_a_dry_run_refuses_in_the_words_of_the_run(model: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    recipes = settings.pop("recipes", ["magnitude:sparsity=0.5"])
    spec = tiny(model, *recipes, **settings)
    said = refused(dry_run, spec, tmp_path / "dry")
    assert not (tmp_path / "dry").exists()
    kind, words = refused(run_study, spec, tmp_path / "run")
    assert said == (kind, words.replace(str(tmp_path / "run"), str(tmp_path / "dry")))


@pytest.mark.parametrize("settings", [{"seed": 1}, {"suite": [{"probe_facts": {"limit": 3}}]}], ids=["seed", "limit"])
def test_a_dry_run_refuses_another_study_as_the_run_does(tmp_path: Path, settings: dict[str, Any]) -> None:
    run_study(made_up("other"), tmp_path / "s")
    spec, before = made_up("other", **settings), contents(tmp_path)
    assert refused(dry_run, spec, tmp_path / "s") == refused(run_study, spec, tmp_path / "s")
    assert contents(tmp_path) == before


def test_a_dry_run_refuses_other_items_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_study(made_up("other"), tmp_path / "s")
    drawn = make_plan(made_up("other")).tasks[0].draw()
    monkeypatch.setattr("crushtest.study.plan.PlannedTask.draw", lambda self: drawn[: 3 + len(self.name)])
    spec = made_up("other", "third")
    assert refused(dry_run, spec, tmp_path / "s") == refused(run_study, spec, tmp_path / "s")


def test_skipped_tasks_are_named(tmp_path: Path) -> None:
    suite = [*SUITE[:1], "paloma"]
    cost = dry_run(made_up("other", suite=suite), tmp_path / "s", skip_missing=True)
    assert any(note.startswith("left out: paloma (") for note in cost.notes)
    assert [task.task for arm in cost.arms for task in arm.tasks] == ["probe_facts"] * 2


def test_arms_that_will_not_be_compared_are_named_before_the_run(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two engines, one of which gives the fixed text 100 nats less."""
    facts = iter([{"engine": "one"}, {"engine": "another"}])
    scores = iter([{"nats": nats, "tokens": 9, "bytes": 90, "token_digest": "a"} for nats in (-50.0, -150.0)])
    monkeypatch.setattr(measured_model, "engine_facts", lambda engine: next(facts))
    monkeypatch.setattr(measured_model, "score_fixed_text", lambda engine: next(scores))
    arms = [{"name": "other", "model": str(model), "engine": "hf:dtype=bfloat16"}]
    cost = dry_run(tiny(model, suite=SUITE[:1], arms=arms), tmp_path / "s")
    [why] = cost.refused
    assert why.startswith("other against dense: ")


# ---- what is printed


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_says_tokens_time_and_memory(model: Path, tmp_path: Path) -> None:
    flags = ["--suite", "probe_facts,probe_prompts", "--limit", "6", "--device", "cpu", "-o", str(tmp_path / "s")]
    output = shown("run", str(model), "-r", "magnitude:sparsity=0.5", *flags)
    assert "probe_facts\t12\t" in output
    assert "magnitude:sparsity=0.5\t" in output
    assert "cpu: holds one arm at a time" in output
    assert "time: about " in output
    assert "dense\t" in shown("evaluate", str(model), *flags)
    assert not (tmp_path / "s").exists()


def test_json_has_the_same_and_keeps_the_schema(model: Path, tmp_path: Path) -> None:
    flags = ["--suite", "probe_facts", "--limit", "6", "--device", "cpu", "-o", str(tmp_path / "s"), "--json"]
    content = json.loads(shown("evaluate", str(model), *flags))
    jsonschema.Draft202012Validator(output_schema()).validate(content)
    cost = content["data"]["cost"]
    assert content["data"]["new"] is False
    [arm] = cost["arms"]
    assert arm["tasks"][0]["items"] == 6
    assert arm["memory_bytes"]["process"] > arm["weights_bytes"]["cpu"] > 0
    assert cost["spent"]["clock_s"] > 0


def test_a_dry_run_fits_eighty_columns(tmp_path: Path) -> None:
    lines = in_terminal(
        "run", "fake", "--engine", "fake", "--arm", "a-name-as-long-as-names-of-arms-are=fake", "--limit", "5",
        "-o", str(tmp_path / "s"), "--dry-run",
    )  # fmt: skip
    assert any("probe_facts" in line for line in lines)
    assert max(map(len, lines)) <= WIDTH


def test_fetching_a_model_is_not_counted_to_loading_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    class Watched(Watch):
        def __init__(self) -> None:
            super().__init__()
            order.append("watch")

    monkeypatch.setattr(ModelOptions, "fetch", lambda self, model: order.append("fetch"))
    monkeypatch.setattr(measured_model, "Watch", Watched)
    dry_run(tiny(model), tmp_path / "s")
    assert order[:2] == ["fetch", "watch"]


def test_a_folder_that_cannot_be_made_fails_a_dry_run_as_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for run in (dry_run, run_study):
        with pytest.raises(NotADirectoryError, match="file/study"):
            run(made_up(), tmp_path / "file" / "study")
