"""What ties a study's files together, and what users see where it is broken."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from crushtest.cli.app import main
from crushtest.errors import StoreError
from crushtest.gate.checks import run_gate
from crushtest.pipeline.across import refused_pairs
from crushtest.pipeline.run import recompare, run_study
from crushtest.records import DENSE
from crushtest.report import write_card, write_report
from crushtest.study import manifest
from crushtest.study.chain import problems, untied_note
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.query import ask
from crushtest.study.spec import StudySpec, build_spec
from support.older_study import untie


def spec(*arms: str, **settings: object) -> StudySpec:
    listed = [{"name": name, "model": "fake", "engine": f"fake:seed={seed}"} for seed, name in enumerate(arms, 1)]
    suite = [{"probe_facts": {"limit": 20}}, {"probe_prompts": {"limit": 12}}]
    return build_spec({"model": "fake", "engine": "fake", "arms": listed, "suite": suite, **settings}, where="test")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain") / "s"
    run_study(spec("a", "b"), root)
    return root


@pytest.fixture
def study(made: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(Path(shutil.copytree(made, tmp_path / "s")))


@pytest.fixture
def easy(tmp_path: Path) -> str:
    policy = tmp_path / "easy.yaml"
    policy.write_text("rules: [{metric: '*', min_items: 1, max_unscored: 1.0, min_clusters: 1}]")
    return str(policy)


def replace_answers(study: StudyFolder, arm: str, by: str) -> None:
    for part in ("answers", "scores"):
        shutil.copytree(study.arm(by) / part, study.arm(arm) / part, dirs_exist_ok=True)


def test_a_study_that_was_run_is_whole(study: StudyFolder, easy: str) -> None:
    assert list(problems(study)) == []
    assert run_gate(study.root, easy).exit_code == 0
    assert not run_study(spec("a", "b"), study.root)


def test_one_arms_answers_in_anothers_place_are_an_error_everywhere(study: StudyFolder, easy: str) -> None:
    replace_answers(study, "a", by="b")
    for read in (lambda: run_gate(study.root, easy), lambda: recompare(study), lambda: write_report(study)):
        with pytest.raises(StoreError, match=r"arms.a.answers"):
            read()
    with pytest.raises(StoreError, match=r"of another arm \('b'\) than its place says \('a'\)"):
        run_study(spec("a", "b"), study.root)
    found = list(problems(study))
    assert len([line for line in found if "of another arm" in line]) == 4  # answers to two tasks, scores by two scorers


def test_answers_given_anew_need_a_comparison_before_a_gate_can_pass(study: StudyFolder, easy: str) -> None:
    log = study.answers("a", "probe_facts", "choices")
    other = study.answers("b", "probe_facts", "choices").read()
    items = [item.id for item in study.read_items("probe_facts")]
    log.final.unlink()
    for item in items:
        log.append(item, other[item])
    log.finish(items)
    with pytest.raises(StoreError, match=r"contrasts\.parquet was made from.*crushtest compare"):
        run_gate(study.root, easy)
    recompare(study)
    assert run_gate(study.root, easy).exit_code == 0
    assert list(problems(study)) == []


def test_without_its_manifest_a_study_is_reported_and_a_run_rebuilds_it(study: StudyFolder) -> None:
    contrasts = study.contrasts.read_bytes()
    study.manifest.unlink()
    write_report(study)
    write_card(study)
    assert list(problems(study)) == []
    assert run_study(spec("a", "b"), study.root)
    assert set(manifest.files(study.manifest)) > {"contrasts.parquet", "items/probe_facts.parquet"}
    assert study.contrasts.read_bytes() == contrasts
    assert not run_study(spec("a", "b"), study.root)


def test_without_its_manifest_no_pair_of_two_engines_is_compared() -> None:
    arms = [{"name": "x", "model": "m", "engine": "llamacpp"}, {"name": "y", "model": "m"}]
    plan = make_plan(build_spec({"model": "m", "arms": arms, "suite": ["probe_facts"]}, where="test"))
    assert refused_pairs({}, plan) == {}, "what was not measured is not refused"
    assert set(refused_pairs({}, plan, {DENSE, "x", "y"})) == {("x", DENSE)}


def test_an_older_study_is_read_with_a_line_and_tied_by_a_comparison(study: StudyFolder, easy: str) -> None:
    untie(study.root)
    assert "older version" in untied_note(study)
    write_report(study)
    with pytest.raises(StoreError, match="run `crushtest compare"):
        run_gate(study.root, easy)
    recompare(study)
    assert untied_note(study) == ""
    assert run_gate(study.root, easy).exit_code == 0
    replace_answers(study, "a", by="b")
    for read in (lambda: run_gate(study.root, easy), lambda: recompare(study)):
        with pytest.raises(StoreError, match=r"probe_facts\.parquet"):
            read()


def test_a_chain_of_another_study_does_not_pass(study: StudyFolder, tmp_path: Path, easy: str) -> None:
    other = StudyFolder(tmp_path / "other")
    run_study(spec("a", "b", seed=5), other.root)
    for part in ("items", "arms"):
        shutil.rmtree(study.root / part)
        shutil.copytree(other.root / part, study.root / part)
    for table in other.root.glob("*.parquet"):
        shutil.copy(table, study.root)
    for read in (lambda: run_gate(study.root, easy), lambda: write_report(study), lambda: write_card(study)):
        with pytest.raises(StoreError, match=r"contrasts\.parquet is not the file that .*manifest\.json lists"):
            read()
    assert [line for line in problems(study) if "contrasts.parquet" in line]
    recompare(study)
    assert list(problems(study)) == []


def test_killed_before_it_lists_its_files_a_comparison_is_made_again(
    study: StudyFolder, easy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = partial(run_study, spec("a", "b", "c"), study.root)
    with monkeypatch.context() as patch:
        patch.setattr("crushtest.pipeline.compare.inventory", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run()
    with pytest.raises(StoreError, match="crushtest compare"):
        run_gate(study.root, easy)
    assert run()
    assert run_gate(study.root, easy).exit_code == 0


def test_an_older_study_with_a_new_task_that_was_killed_is_read(study: StudyFolder) -> None:
    untie(study.root)
    study.write_items("added", study.read_items("probe_facts"))
    assert study.read_contrasts()
    assert "older version" in untied_note(study)
    study.write_items("probe_facts", study.read_items("probe_facts"), anew=True)
    with pytest.raises(StoreError, match="does not say what it was made from"):
        study.read_contrasts()


def test_a_study_file_that_lost_an_arm_does_not_pass(study: StudyFolder, easy: str) -> None:
    text = study.specification.read_text()
    study.specification.write_text(text.replace("name: b", "name: c"))
    with pytest.raises(StoreError, match=r"study\.yaml cannot be used"):
        run_gate(study.root, easy)
    study.specification.write_text("".join(study.specification.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(StoreError, match=r"compares arm 'b', which .*study\.yaml does not name"):
        run_gate(study.root, easy)


@pytest.mark.parametrize("name", ["exp [1]", "a*b", "what?", "new\nline", "a#b", "%41", "{x}"])
def test_a_study_works_under_any_name(name: str, tmp_path: Path, easy: str) -> None:
    folder = StudyFolder(tmp_path / name)
    run_study(spec("a"), folder.root)
    assert not run_study(spec("a"), folder.root)
    recompare(folder)
    write_card(folder)
    assert ask(folder, "SELECT count(*) AS n FROM answers").rows == [(64,)]
    assert run_gate(folder.root, easy).exit_code == 0
    assert list(problems(folder)) == []


def printed(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["crushtest", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    return int(end.value.code or 0), shown.out + shown.err


def test_verify_prints_each_problem_with_its_file_and_the_way_out(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(["verify", str(study.root)], monkeypatch, capsys)[0] == 0
    study.noise.write_bytes(b"")
    study.answers("a", "probe_facts", "choices").final.write_bytes(b"PAR1")
    code, text = printed(["verify", str(study.root)], monkeypatch, capsys)
    assert code == 1
    assert "probe_facts.parquet cannot be read" in text
    assert "noise.parquet cannot be read" in text
    assert "Traceback" not in text


def test_what_nobody_expected_is_one_line_with_the_place_of_its_traceback(
    study: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*_: object) -> Path:
        raise ZeroDivisionError("a\nbug")

    monkeypatch.setattr("crushtest.pipeline.page.write_page", broken)
    code, text = printed(["report", str(study.root)], monkeypatch, capsys)
    [written] = tmp_path.glob("crushtest-*.txt")
    assert code == 70
    assert text.count("\n") == 1
    assert str(written) in text
    assert "ZeroDivisionError" in written.read_text()


def test_an_argument_that_is_not_utf8_is_refused_at_the_door(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = printed(["run", "fake", "-o", "caf\udce9"], monkeypatch, capsys)
    assert code == 2
    assert "not UTF-8" in text
