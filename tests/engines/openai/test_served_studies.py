"""Studies with a model behind an address: implied engine, reasons in place of answers, resumption, a changed server."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import ModelChanged, ModelError, StoreError, UsageError
from crushtest.gate.checks import run_gate
from crushtest.metrics import accuracy
from crushtest.pipeline.run import recompare, run_study
from crushtest.records import Choices, Item, ReadChoice, Unanswered
from crushtest.registry import TASKS, AboutTask
from crushtest.registry.entries import Entry
from crushtest.report.arm_verdict import verdicts
from crushtest.report.page.changed_answers import DenseAnswers
from crushtest.report.page.matrix import overview
from crushtest.report.status import lead
from crushtest.report.study_view import read_study
from crushtest.study.arms import make_arms
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import StudySpec, build_spec
from crushtest.tasks.base import Task
from crushtest.tasks.shared.choice_metrics import decision_margin
from support.served_stub import Stub, serving

FAST = "openai:first_wait_s=0.001,attempts=1,concurrency=1"


def spec_of(address: str, *arms: dict[str, Any], engine: str = FAST, **keys: Any) -> StudySpec:
    suite = [{"probe_qa": {"limit": 12}}]
    return build_spec({"model": address, "arms": list(arms), "suite": suite, "engine": engine} | keys, where="test")


def test_an_address_implies_the_engine_and_a_named_one_stays() -> None:
    model = "http://localhost:1/v1#name"
    spec = spec_of("demo", {"model": model}, {"model": model, "name": "b", "engine": FAST}, engine="hf")
    assert [arm.engine for arm in make_arms(spec)] == ["hf", "openai", "openai"]
    assert make_arms(spec)[2].engine_options["attempts"] == 1


def test_a_study_of_two_servers_ends_with_a_page_that_knows_the_way(tmp_path: Path) -> None:
    with serving(Stub("vllm")) as dense, serving(Stub("llama.cpp", echoes=False)) as other:
        assert run_study(spec_of(dense, {"model": other, "name": "other"}), tmp_path / "s")
    folder = StudyFolder(tmp_path / "s")
    arms = json.loads(folder.manifest.read_text())["arms"]
    assert [arms[name]["engine"]["way"] for name in ("dense", "other")] == ["echo", "forced"]
    assert "somebody" not in folder.manifest.read_text(), "no path of the server's disk"
    assert folder.report.exists()


def test_a_study_with_failing_calls_goes_on_until_every_item_is_answered(tmp_path: Path) -> None:
    stub, options, probes = Stub("vllm"), 3, 6
    with serving(stub) as dense, serving(Stub("vllm")) as other:
        spec = spec_of(dense, {"model": other, "name": "other"})
        stub.failing_after = 30
        with pytest.raises(ModelError, match="run this again later"):
            run_study(spec, tmp_path / "s")
        answers = StudyFolder(tmp_path / "s").answers("dense", "probe_qa", "choices")
        before = answers.read()
        assert 0 < len(before) < 12
        stub.failing_after, stub.failing = None, 0
        stub.prompts.clear()
        assert run_study(spec, tmp_path / "s")
    assert sum(stub.prompts.values()) <= (12 - len(before)) * options + probes, "what is answered is not asked again"
    after = answers.read()
    assert len(after) == 12
    assert before.items() <= after.items()
    assert not any(isinstance(answer, Unanswered) for answer in after.values())
    pooled = [e for e in StudyFolder(tmp_path / "s").read_estimates() if (e.arm, e.group) == ("dense", "all")]
    assert pooled
    assert not any(estimate.n_unscored for estimate in pooled)


def test_a_study_goes_on_with_what_is_missing_on_the_same_server_only(tmp_path: Path) -> None:
    stub = Stub("vllm")
    with serving(stub) as dense:
        with pytest.raises(ModelError, match="max_requests"):
            run_study(spec_of(dense, engine=f"{FAST},max_requests=60"), tmp_path / "s")
        answered = set(StudyFolder(tmp_path / "s").answers("dense", "probe_qa", "choices").read())
        assert 0 < len(answered) < 12
        again = spec_of(dense, engine=f"{FAST},max_requests=60")
        before = sum(stub.prompts.values())
        stub.version = "b9"
        with pytest.raises(StoreError, match="b1, is b9"):
            run_study(again, tmp_path / "s")
        stub.version = "b1"
        with pytest.raises(ModelError, match="max_requests"):
            run_study(again, tmp_path / "s")
        assert answered < set(StudyFolder(tmp_path / "s").answers("dense", "probe_qa", "choices").read())
        assert sum(stub.prompts.values()) > before


def test_an_arm_whose_server_changed_is_invalid_and_not_compared(tmp_path: Path) -> None:
    changing = Stub("vllm", becomes=20)
    with serving(Stub("vllm")) as dense, serving(changing) as other:
        spec = spec_of(dense, {"model": other, "name": "other"})
        with pytest.raises(ModelChanged, match="arm 'other'"):
            run_study(spec, tmp_path / "s")
        changing.becomes, changing.version = None, "b2"
        folder = StudyFolder(tmp_path / "s")
        with pytest.raises(StoreError, match=f"is invalid .*; delete {folder.arm('other')} to measure it anew"):
            run_study(spec, tmp_path / "s")
        recompare(folder)
        assert not folder.read_contrasts()
        shutil.rmtree(folder.arm("other"))
        assert run_study(spec, tmp_path / "s")
        assert {row.arm for row in folder.read_contrasts()} == {"other"}
        assert not json.loads(folder.manifest.read_text())["invalid"]


def test_a_dense_model_that_changed_needs_another_folder(tmp_path: Path) -> None:
    """What other arms hold may rest on dense's answers."""
    changing = Stub("vllm", becomes=20)
    with serving(changing) as dense, serving(Stub("vllm")) as other:
        spec = spec_of(dense, {"model": other, "name": "other"})
        with pytest.raises(ModelChanged, match="arm 'dense'"):
            run_study(spec, tmp_path / "s")
        changing.becomes = None
        folder = StudyFolder(tmp_path / "s")
        shutil.rmtree(folder.arm("dense"))
        folder.arm("other").mkdir()
        (folder.arm("other") / "compression.json").write_text("{}")
        with pytest.raises(StoreError, match=r"is invalid \(.*\); use another --out"):
            run_study(spec, tmp_path / "s")


def test_a_task_that_the_proved_way_cannot_answer_is_refused_before_any(tmp_path: Path) -> None:
    """A server that tells first tokens alone gives no likelihood of whole texts; the plan falls before an item."""
    suite = [{"probe_qa": {"limit": 12}}, {"probe_text": {"limit": 2}}]
    stub = Stub("openai", echoes=False, biases=False)
    with serving(stub) as dense, pytest.raises(UsageError, match="'probe_text' asks for passages"):
        run_study(spec_of(dense, suite=suite), tmp_path / "s")
    assert not StudyFolder(tmp_path / "s").answers("dense", "probe_qa", "choices").read()


# ---- letters read from replies

LETTERS = "ABCD"


def lettered() -> Task:
    """24 questions with lettered options."""
    items = [
        Item(
            id=f"q/{number}",
            groups=(f"half={number % 2}",),
            cluster=f"q/{number}",
            request=Choices(f"Question {number}\nAnswer:", tuple(f" {letter}" for letter in LETTERS)),
            gold=number % 4,
        )
        for number in range(24)
    ]
    return Task("choices", lambda: items, (accuracy(), decision_margin()))


def chat_only(replies: list[str]) -> Stub:
    """A server that says `replies`, after those to the probes before the study and at its start."""
    return Stub(completes=False, likeliest=0, says=["B"] * 4 + replies)


@pytest.fixture
def lettered_task(monkeypatch: pytest.MonkeyPatch) -> None:
    about = AboutTask(dimension="downstream quality", source="written for this test", licence="Apache-2.0")
    monkeypatch.setitem(TASKS._entries, "lettered", Entry("task", "lettered", lettered, about))


RIGHT = [LETTERS[number % 4] for number in range(24)]


def read_study_of(folder: Path, *arms: list[str]) -> StudyFolder:
    """A study of a chat-only dense model that is always right, and of arms that reply so: `arm 1`, ..."""
    with ExitStack() as stack:
        dense, *others = (stack.enter_context(serving(chat_only(replies))) for replies in (RIGHT, *arms))
        named = [{"model": other, "name": f"arm {number}"} for number, other in enumerate(others, start=1)]
        run_study(spec_of(dense, *named, suite=["lettered"]), folder)
    return StudyFolder(folder)


@pytest.fixture
def read_folder(tmp_path: Path, lettered_task: None) -> StudyFolder:
    """Two chat-only arms, of which one errs and evades, and an arm with log-probabilities."""
    wrong = [*RIGHT[:16], *("D" if letter == "A" else "A" for letter in RIGHT[16:20]), *["I cannot say."] * 4]
    with serving(chat_only(RIGHT)) as dense, serving(chat_only(wrong)) as other, serving(Stub("vllm")) as scored:
        arms = {"model": other, "name": "other"}, {"model": scored, "name": "scored"}
        run_study(spec_of(dense, *arms, suite=["lettered"]), tmp_path / "s")
    return StudyFolder(tmp_path / "s")


def test_letters_read_have_metrics_of_their_own_and_compare_alike_only(read_folder: StudyFolder) -> None:
    rows = {(row.arm, row.metric): row for row in read_folder.read_contrasts() if row.group == "all"}
    read = rows["other", "accuracy_read"]
    assert (read.dense, read.value, read.n, read.n_unscored) == (1.0, 0.8, 20, 4)
    assert read.flips.down == 4
    assert read.options is None, "no margins and no KL without log-probabilities"
    assert (rows["other", "replies_read"].dense, rows["other", "replies_read"].value) == (1.0, 20 / 24)
    for arm in ("other", "scored"):
        for name in ("accuracy", "decision_margin"):
            assert rows[arm, name].verdict == "undefined"
            assert "read from replies" in (rows[arm, name].reason or "")
    assert "no letter was read" in (rows["scored", "accuracy_read"].reason or "")


def test_a_reply_without_a_letter_is_kept_with_its_reason(read_folder: StudyFolder) -> None:
    answer = read_folder.answers("other", "lettered", "choices").read()["q/23"]
    assert answer == ReadChoice(None, "I cannot say.", "the reply gives no letter of the options")


def test_the_page_heads_the_task_with_letters_read_and_warns_of_other_ways(read_folder: StudyFolder) -> None:
    study = read_study(read_folder)
    assert study.tasks[0].headline.name == "accuracy_read"
    assert study.tasks[0].chance["accuracy_read"] == 0.25
    page = read_folder.report.read_text()
    assert "most likely answer" not in study.tasks[0].headline.meaning, "a reply's letter is another answer"
    assert "ccuracy, letters read from replies" in page
    assert "engine: way" in page
    cautions = {verdict.arm.name: " ".join(verdict.cautions) for verdict in verdicts(study)}
    assert "as the reply to a user" in cautions["scored"]
    assert "as the reply to a user" not in cautions["other"]
    dense = DenseAnswers.read(study, study.tasks[0])
    other, scored = (dense.with_items(dense.changed(arm, 20).largest) for arm in study.others)
    assert set(other["item"]) == {f"q/{number}" for number in range(16, 20)}
    assert scored.is_empty(), "asked in another way"


def test_replies_that_collapsed_are_a_headline_that_got_worse(tmp_path: Path, lettered_task: None) -> None:
    """Whose letters are all right, where there is one."""
    study = read_study(read_study_of(tmp_path / "s", [*RIGHT[:4], *["I cannot say."] * 20], RIGHT))
    collapsed, steady = verdicts(study)
    assert [finding.contrast.metric for finding in collapsed.worse] == ["replies_read"]
    untold = "accuracy, letters read from replies cannot be tested"
    assert collapsed.status == f"worse in general, in no single dimension · {untold}"
    assert not collapsed.other_worse
    assert steady.tone == "noise"
    assert lead(study, (collapsed, steady)).startswith("1 of 2 variants got clearly worse in at least one headline")
    assert [column.task.headline.name for column in overview(study).columns] == ["accuracy_read", "replies_read"]
    assert study.comparisons == 3, "four letters are too few for a test"


def test_a_gate_fails_a_fall_of_letters_read_and_knows_nothing_of_others(
    tmp_path: Path, read_folder: StudyFolder
) -> None:
    rule = "rules: [{metric: accuracy_read, arm: %s, margin: 0.02, min_items: 10, min_clusters: 6, max_unscored: 0.5}]"
    policy = tmp_path / "policy.yaml"
    policy.write_text(rule % "scored")
    result = run_gate(read_folder.root, str(policy))
    assert (result.exit_code, [check.outcome for check in result.checks]) == (4, ["inconclusive"])
    wrong = ["D" if letter == "A" else "A" for letter in RIGHT[:12]]
    fallen = read_study_of(tmp_path / "f", [*wrong, *RIGHT[12:]], [*wrong[:1], *RIGHT[1:]])
    for arm, code in ("arm 1", 3), ("arm 2", 0), ("*", 3):
        policy.write_text(rule % f"'{arm}'")
        assert run_gate(fallen.root, str(policy)).exit_code == code
    policy.write_text((rule % "'arm 2'").replace("accuracy_read", "'*'"))
    assert run_gate(fallen.root, str(policy)).exit_code == 4, "accuracy is undefined"


def test_first_tokens_in_chat_carry_a_caution_beside_a_continued_text(tmp_path: Path, lettered_task: None) -> None:
    with serving(Stub("vllm")) as dense, serving(Stub(completes=False, likeliest=20)) as other:
        arm = {"model": other, "name": "chatting"}
        run_study(spec_of(dense, arm, suite=["lettered"]), tmp_path / "s")
    [verdict] = verdicts(read_study(StudyFolder(tmp_path / "s")))
    assert "chatting answered in chat" in " ".join(verdict.cautions)
    assert "chatting answered in chat" in (tmp_path / "s" / "report.html").read_text()
