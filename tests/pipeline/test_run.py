"""The whole flow, on the fake engine: what is done is never done twice, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crushtest.engines.fake import engine as fake
from crushtest.errors import DataError, EngineError, StoreError, UnknownName
from crushtest.files.append_log import AppendLog
from crushtest.pipeline import run
from crushtest.pipeline.run import recompare, run_study
from crushtest.records import ChoiceScores, Item
from crushtest.study import manifest
from crushtest.study.arms import make_arms
from crushtest.study.folder import StudyFolder
from crushtest.study.merge import merge_with_existing
from crushtest.study.spec import StudySpec, build_spec, read_spec
from support.held_run import held_run

SUITE = [{"probe_facts": {"limit": 40}}, {"probe_text": {"limit": 5}}, {"probe_prompts": {"limit": 24}}]
TABLES = ("estimates.parquet", "contrasts.parquet")


def spec(*arms: str, suite: object = SUITE, **settings: object) -> StudySpec:
    """A study on the fake engine; each arm is another seed of it."""
    others = [{"name": arm, "model": "fake", "engine": f"fake:seed={number + 1}"} for number, arm in enumerate(arms)]
    content = {"model": "fake", "engine": "fake", "arms": others, "suite": suite, **settings}
    return build_spec(content, where="test")


def tables(folder: Path) -> dict[str, bytes]:
    """Every table of a study, as bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[fake.FakeEngine]:
    """Every fake engine that is started, in order."""
    engines: list[fake.FakeEngine] = []
    start = fake.FakeEngine

    def started(*settings: object) -> fake.FakeEngine:
        engines.append(start(*settings))
        return engines[-1]

    monkeypatch.setattr(fake, "FakeEngine", started)
    return engines


def test_a_study_leaves_every_table_and_a_report(tmp_path: Path) -> None:
    assert run_study(spec("other"), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    assert folder.report.exists()
    assert not list((tmp_path / "s").rglob("*.jsonl"))
    estimates, contrasts = pl.read_parquet(folder.estimates), pl.read_parquet(folder.contrasts)
    assert set(estimates["arm"]) == {"dense", "other"}
    assert set(contrasts["arm"]) == {"other"}
    assert set(contrasts["task"]) == {"probe_facts", "probe_text", "probe_prompts"}
    accuracy = estimates.filter(
        (pl.col("metric") == "accuracy") & (pl.col("group") == "all") & (pl.col("arm") == "dense")
    )
    items = {item.id: item for item in folder.read_items("probe_facts")}
    answers = folder.answers("dense", "probe_facts", "choices").read()
    right = [max(range(4), key=a.logprobs.__getitem__) == items[i].gold for i, a in answers.items()]
    assert accuracy["n"].item() == len(right) == 40
    assert accuracy["value"].item() == pytest.approx(sum(right) / 40)


def test_a_second_run_asks_nothing_and_changes_no_file(tmp_path: Path, asked: list[fake.FakeEngine]) -> None:
    run_study(spec("other"), tmp_path / "s")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "s").rglob("*.*")}
    asked.clear()
    assert not run_study(spec("other"), tmp_path / "s")
    assert not asked
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "s").rglob("*.*")}


def test_a_new_arm_asks_the_dense_model_nothing(tmp_path: Path, asked: list[fake.FakeEngine]) -> None:
    run_study(spec("other"), tmp_path / "s")
    asked.clear()
    assert run_study(spec("other", "third"), tmp_path / "s")
    assert [engine.seed for engine in asked] == [2]
    assert set(pl.read_parquet(tmp_path / "s" / "contrasts.parquet")["arm"]) == {"other", "third"}


def test_a_new_task_leaves_the_others_alone(tmp_path: Path, asked: list[fake.FakeEngine]) -> None:
    run_study(spec("other", suite=SUITE[:1]), tmp_path / "s")
    asked.clear()
    assert run_study(spec("other", suite=SUITE[1:2]), tmp_path / "s")
    assert [len(engine.asked) for engine in asked] == [5, 5]
    assert set(pl.read_parquet(tmp_path / "s" / "estimates.parquet")["task"]) == {"probe_facts", "probe_text"}


def test_a_run_that_failed_goes_on_where_it_stopped_with_the_same_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(spec("other"), tmp_path / "whole")
    monkeypatch.setattr(fake, "FakeEngine", Failing)
    with pytest.raises(EngineError):
        run_study(spec("other"), tmp_path / "broken")
    answered = StudyFolder(tmp_path / "broken").answers("dense", "probe_facts", "choices").read()
    assert len(answered) == 17
    monkeypatch.undo()
    log = StudyFolder(tmp_path / "broken").answers("dense", "probe_facts", "choices").running
    log.write_bytes(log.read_bytes() + b'{"item": "torn')
    assert run_study(spec("other"), tmp_path / "broken")
    assert tables(tmp_path / "broken") == tables(tmp_path / "whole")


class Failing(fake.FakeEngine):
    """Dies on its 18th question."""

    def __init__(self, *settings: object) -> None:
        super().__init__(*settings)
        self.fail_at = 17


def test_killed_at_any_moment_no_answer_is_lost_and_none_is_asked_twice(tmp_path: Path) -> None:
    suite = [{"probe_facts": {"limit": 60}}, {"probe_prompts": {"limit": 20}}]
    run_study(spec("other", suite=suite), tmp_path / "whole")
    out = tmp_path / "killed"
    study = tmp_path / "study.yaml"
    study.write_text(
        "model: fake\nengine: fake:delay_s=0.01\n"
        "arms: [{name: other, model: fake, engine: 'fake:seed=1,delay_s=0.01'}]\n"
        "suite: [{probe_facts: {limit: 60}}, {probe_prompts: {limit: 20}}]\n"
    )
    kept: dict[Path, list[bytes]] = {}
    for later_s in (0.0, 0.3, 0.6, 0.1):
        with held_run(study, out, answers=39) as process:  # of 160, so that all runs together do not end
            wait_for_an_answer(process, out, kept)
            time.sleep(later_s)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        kept = lines_that_are_still_there(out, kept)
    assert run_study(read_spec(study), out)
    assert tables(out) == tables(tmp_path / "whole")


def wait_for_an_answer(process: subprocess.Popen[bytes], out: Path, kept: dict[Path, list[bytes]]) -> None:
    """Return when the run has added an answer to those that were kept."""
    before = sum(len(lines) for lines in kept.values())
    while sum(count_lines(path) for path in out.rglob("*.jsonl")) <= before:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.01)


def count_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def lines_that_are_still_there(out: Path, kept: dict[Path, list[bytes]]) -> dict[Path, list[bytes]]:
    """The whole lines on disk; those of before must be among them, in their place, and each item only once."""
    now = {path: path.read_bytes().split(b"\n")[:-1] for path in out.rglob("*.jsonl")}
    for path, lines in now.items():
        items = [line.partition(b",")[0] for line in lines]
        assert len(items) == len(set(items)), "an item was answered twice"
        assert lines[: len(kept.get(path, []))] == kept.get(path, []), "an answer was lost"
    return now


def test_killed_while_its_items_are_written_a_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = StudyFolder.write_items

    def killed(self: StudyFolder, task: str, items: list[Item]) -> None:
        if task == "probe_text":
            (self.root / "items" / ".probe_text.parquet.1.partial").touch()
            raise KeyboardInterrupt
        write(self, task, items)

    monkeypatch.setattr(StudyFolder, "write_items", killed)
    with pytest.raises(KeyboardInterrupt):
        run_study(spec("other"), tmp_path / "s")
    assert os.listdir(tmp_path / "s" / "items")
    monkeypatch.undo()
    assert run_study(spec("other"), tmp_path / "s")
    assert not list((tmp_path / "s").rglob("*.partial"))


def test_a_list_of_recipes_may_overlap_those_that_a_study_has(tmp_path: Path) -> None:
    def recipes(text: str) -> StudySpec:
        return build_spec({"model": "demo", "arms": [text], "suite": SUITE}, where="test")

    folder = StudyFolder(tmp_path)
    folder.specification.write_text(json.dumps(recipes("magnitude:sparsity=0.1,0.3").model_dump(exclude={"limit"})))
    answers = folder.answers("dense", "probe_facts", "choices").running
    answers.parent.mkdir(parents=True)
    answers.touch()
    joined = merge_with_existing(recipes("magnitude:sparsity=0.3,0.5"), folder)
    assert [arm.name for arm in make_arms(joined)][1:] == [f"magnitude:sparsity={value}" for value in (0.1, 0.3, 0.5)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 1}, "a study with seed=0, this one has seed=1;"),
        ({"calibration": {"sequences": 3}}, "this one has calibration="),
        (
            {"suite": [{"probe_prompts": {"limit": 24, "max_tokens": 4}}]},
            "task 'probe_prompts' with max_tokens=24, this one has max_tokens=4; use another --out, or the same max_t",
        ),
        ({"suite": [{"probe_facts": {"limit": 30}}]}, "task 'probe_facts' with limit=40, this one has limit=30:"),
        ({"suite": [{"probe_prompts": {"limit": 24, "threshold": 0.4}}]}, "this one has threshold=0.4;"),
    ],
)
def test_a_study_folder_refuses_another_study(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    run_study(spec(), tmp_path / "s")
    before = {path: path.read_bytes() for path in sorted((tmp_path / "s").rglob("*.*"))}
    with pytest.raises(StoreError) as caught:
        run_study(spec("third", **change), tmp_path / "s")
    assert says in str(caught.value)
    assert {path: path.read_bytes() for path in sorted((tmp_path / "s").rglob("*.*"))} == before


def test_a_study_that_measured_nothing_may_become_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that fails to load leaves a folder, which must not keep its name from the model that was meant."""
    monkeypatch.setattr(fake, "FakeEngine", Broken)
    with pytest.raises(EngineError):
        run_study(spec("third", seed=1, suite=["probe_facts"]), tmp_path / "again")
    monkeypatch.undo()
    for folder in ("again", "fresh"):
        assert run_study(spec("other"), tmp_path / folder)
    assert tables(tmp_path / "again") == tables(tmp_path / "fresh")
    assert set(manifest.read(tmp_path / "again" / "manifest.json")["tasks"]) == {
        "probe_facts",
        "probe_text",
        "probe_prompts",
    }


class Broken(fake.FakeEngine):
    """Fails when it is started."""

    def __init__(self, *settings: object) -> None:
        raise EngineError("broken")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty and not a study"):
        run_study(spec(), tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_log_likelihood_that_is_not_a_number_stops_the_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ChoiceScores((float("nan"),) * 4, (1,) * 4, (1,) * 4)
    monkeypatch.setattr(fake.FakeEngine, "_choice_scores", lambda self, request: broken)
    with pytest.raises(EngineError, match="log-likelihood of"):
        run_study(spec(), tmp_path / "s")
    assert not StudyFolder(tmp_path / "s").answers("dense", "probe_facts", "choices").read()


def test_what_was_cut_to_fit_the_context_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    describe = fake.FakeEngine.describe
    monkeypatch.setattr(
        fake.FakeEngine, "describe", lambda self: describe(self) | {"truncated": self.asked.total() // 41}
    )
    run_study(spec(), tmp_path / "s")
    written = manifest.read(StudyFolder(tmp_path / "s").manifest)
    assert written["truncated"] == {"dense": {"probe_text": 1}}
    assert "truncated" not in written["arms"]["dense"]["engine"]
    assert "dense · probe_text: 1 prompts or options lost their beginning" in capsys.readouterr().err


def test_killed_when_a_task_is_finished_what_was_cut_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = fake.FakeEngine.describe
    monkeypatch.setattr(fake.FakeEngine, "describe", lambda self: describe(self) | {"truncated": self.asked.total()})
    finish = AppendLog.finish

    def killed(self: AppendLog[Any], order: Sequence[str], **named: Any) -> None:
        finish(self, order, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(AppendLog, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        run_study(spec(suite=SUITE[1:2]), tmp_path / "s")
    assert manifest.read(StudyFolder(tmp_path / "s").manifest)["truncated"] == {"dense": {"probe_text": 5}}


def test_what_asking_took_is_written_down_and_shown(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    run_study(spec(), folder.root)
    cost = manifest.read(folder.manifest)["timing"]["dense"]["probe_text"]
    assert cost["items"] == len(folder.read_items("probe_text"))
    assert cost["seconds"] >= 0
    assert cost["peak_memory_bytes"]["process"] > 1e7
    page = (folder.root / "report.html").read_text()
    assert "timing, probe_text" in page
    assert f"{cost['items']} items in" in page


def test_killed_before_a_task_is_finished_what_asking_took_stays_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StudyFolder(tmp_path / "s")

    def killed(self: AppendLog[Any], order: Sequence[str], **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(AppendLog, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(spec(), folder.root)
    (task,) = manifest.read(folder.manifest)["timing"]["dense"]
    run_study(spec(), folder.root)
    assert manifest.read(folder.manifest)["timing"]["dense"][task]["items"] == len(folder.read_items(task))


def test_holms_correction_is_used_where_the_study_asks_for_it(tmp_path: Path) -> None:
    found = {}
    for correction in ("holm", "benjamini-hochberg"):
        run_study(spec("other", suite=SUITE[:1], correction=correction), tmp_path / correction)
        rows = StudyFolder(tmp_path / correction).read_contrasts()
        plain = [row for row in rows if not row.metric.endswith("_worst") and row.p is not None]
        smallest = min(plain, key=lambda row: row.p.value)
        found[correction] = smallest.p.adjusted
        if correction == "holm":
            assert smallest.p.adjusted == pytest.approx(min(1.0, len(plain) * smallest.p.value))
    assert found["holm"] >= found["benjamini-hochberg"]


def test_comparing_again_needs_only_the_files(tmp_path: Path) -> None:
    run_study(spec("other"), tmp_path / "s")
    before = tables(tmp_path / "s")
    for name in TABLES:
        (tmp_path / "s" / name).unlink()
    recompare(StudyFolder(tmp_path / "s"))
    assert tables(tmp_path / "s") == before
    assert StudyFolder(tmp_path / "s").report.exists()


def test_a_kill_during_the_report_leaves_the_old_page_until_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(spec("other"), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    page = folder.report.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_report", killed)
        with pytest.raises(KeyboardInterrupt):
            recompare(folder)
    assert folder.report.read_bytes() == page
    assert run_study(spec("other"), tmp_path / "s")
    assert not run_study(spec("other"), tmp_path / "s")


def test_comparing_what_has_not_changed_rewrites_no_file(tmp_path: Path) -> None:
    run_study(spec("other"), tmp_path / "s")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.*")}
    recompare(StudyFolder(tmp_path / "s"))
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.*")}


def test_a_task_that_the_study_lacks_is_named_before_anything_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(spec("other"), tmp_path / "s")
    monkeypatch.setattr(run, "compare", lambda *_: pytest.fail("compared"))
    with pytest.raises(UnknownName, match="did you mean 'probe_facts'"):
        recompare(StudyFolder(tmp_path / "s"), task="probe_fact")


def test_an_unfinished_arm_is_absent_from_the_results_and_not_worse(tmp_path: Path) -> None:
    run_study(spec("other"), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    folder.answers("other", "probe_facts", "choices").final.unlink()
    with pytest.raises(StoreError, match=r"other.answers.probe_facts\.parquet cannot be read .*contrasts\.parquet was"):
        recompare(folder)
    folder.contrasts.unlink()
    recompare(folder)
    contrasts = pl.read_parquet(folder.contrasts)
    assert set(contrasts["task"]) == {"probe_text", "probe_prompts"}


WITH_GATED = [*SUITE, "paloma", "twitteraae"]


def test_a_task_without_its_data_is_an_error_that_names_all_of_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"paloma.* gated: .*also missing: twitteraae; --skip-missing leaves"):
        run_study(spec("other", suite=WITH_GATED), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_tasks_without_data_are_left_out_when_asked_and_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_study(spec("other", suite=WITH_GATED), tmp_path / "s", skip_missing=True)
    assert "skipped paloma: task 'paloma' needs path=FOLDER" in capsys.readouterr().err
    folder = StudyFolder(tmp_path / "s")
    skipped = manifest.read(folder.manifest)["skipped"]
    assert list(skipped) == ["paloma", "twitteraae"]
    assert "gated" in skipped["paloma"]["reason"]
    assert "paloma" not in folder.specification.read_text()
    assert "accept its terms at" in folder.report.read_text()
    before = tables(tmp_path / "s")
    assert not run_study(spec("other", suite=WITH_GATED), tmp_path / "s", skip_missing=True)
    assert tables(tmp_path / "s") == before


def test_a_task_whose_data_came_later_is_no_longer_skipped(tmp_path: Path) -> None:
    run_study(spec(suite=[*SUITE[:1], "custom_text"]), tmp_path / "s", skip_missing=True)
    (tmp_path / "mine.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    suite = [*SUITE[:1], {"custom_text": {"path": str(tmp_path / "mine.jsonl")}}]
    assert run_study(spec(suite=suite), tmp_path / "s")
    assert manifest.read(StudyFolder(tmp_path / "s").manifest)["skipped"] == {}


def test_a_study_of_nothing_but_missing_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no task of the suite has its data here"):
        run_study(spec(suite=["paloma"]), tmp_path / "s", skip_missing=True)


def unreachable(*_: object, **__: object) -> None:
    raise OSError("no network")


def test_another_arm_of_the_same_name_is_refused_by_what_differs(tmp_path: Path) -> None:
    run_study(spec("one"), tmp_path / "s")
    other = {"name": "one", "model": "fake", "engine": "fake:seed=9"}
    with pytest.raises(
        StoreError, match=r"holds an arm 'one' with engine='fake:seed=1', this one has engine='fake:seed=9'"
    ):
        run_study(
            spec().model_copy(update={"arms": build_spec({"model": "fake", "arms": [other]}, where="t").arms}),
            tmp_path / "s",
        )


def test_a_folder_that_another_run_writes_to_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "check_study", lambda *given, **more: pytest.fail("the study was planned"))
    with StudyFolder(tmp_path).locked(), pytest.raises(StoreError, match="another run is writing to this study"):
        run_study(spec("a"), tmp_path)
