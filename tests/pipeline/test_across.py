"""Two engines that disagree on a fixed text are not compared, unless another arm or words vouch for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import EngineError, UsageError
from crushtest.gate.checks import run_gate
from crushtest.pipeline.across import BOUND, check_text, crosses, recorded_refusals, refused_pairs
from crushtest.pipeline.fixed_text import SECTION, TEXT, score_fixed_text
from crushtest.pipeline.run import recompare, run_study
from crushtest.records import DENSE, Answer, Choices, ChoiceScores, Request, Unanswered
from crushtest.registry import ENGINES, AboutEngine, Entry
from crushtest.report import terminal
from crushtest.report.arm_verdict import verdicts
from crushtest.report.card import card_metadata, write_card
from crushtest.report.figures.scatter import against_perplexity
from crushtest.report.status import lead
from crushtest.report.study_view import read_study
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec, read_spec
from support.older_study import untie

SIZE = len(TEXT.options[0].encode())
SUITE = [{"probe_facts": {"limit": 40}}, {"probe_text": {"limit": 8}}]
GATE = "rules: [{metric: accuracy, min_items: 1, min_clusters: 1}]"


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines `north` and `south`, whose `loss` is the nats per token that they lose on the fixed text."""

    def named(name: str) -> Callable[..., FakeEngine]:
        def make(model: str, *, loss: float = 3.0, seed: int = 0, digest: str = "a", mute: bool = False) -> FakeEngine:
            def respond(request: Request) -> Answer | None:
                if request != TEXT:
                    return None
                if mute:
                    raise EngineError("it gives letters only")
                return ChoiceScores((-100 * loss,), (100,), (SIZE,), digest)

            class Named(FakeEngine):
                def describe(self) -> dict[str, Any]:
                    drawn = {"drawn": name, "added": {}}
                    return super().describe() | {"engine": name, "model": model, "sampling": drawn}

            return Named(seed, respond)

        return make

    about = AboutEngine(runs="a test", answers=("choices", "passages", "prompts"))
    for name in ("north", "south", "west"):
        monkeypatch.setitem(ENGINES._entries, name, Entry("engine", name, named(name), about))


def arm(name: str, engine: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": f"m-{name}", "engine": engine, **more}


def study(root: Path, *arms: dict[str, Any], engine: str = "north", **settings: Any) -> StudyFolder:
    content = {"model": "m", "engine": engine, "arms": list(arms), "suite": SUITE, **settings}
    run_study(build_spec(content, where="test"), root)
    return StudyFolder(root)


def compared(folder: StudyFolder) -> set[tuple[str, str]]:
    return {(row.arm, row.against) for row in folder.read_contrasts()}


def entry(folder: StudyFolder, pair: str) -> dict[str, Any]:
    return dict(manifest.read(folder.manifest)["across_engines"][pair])


def summary(folder: StudyFolder) -> str:
    text = StringIO()
    terminal.print_summary(folder, Console(file=text, width=10_000))
    return text.getvalue()


def lead_of(folder: StudyFolder) -> str:
    view = read_study(folder)
    return lead(view, verdicts(view))


FAR = arm("far", "south:loss=3.5,seed=1")
NEAR = arm("near", "south:loss=3.05,seed=2")


@pytest.mark.parametrize("fails", [False, True])
def test_every_arm_closes_its_engine_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    closed = []

    class Closes(FakeEngine):
        def describe(self) -> dict[str, Any]:
            return super().describe() | {"engine": "closes", "model": "m"}

        def passages(self, *args: Any, **options: Any) -> Any:
            if fails:
                raise EngineError("out of memory")
            return super().passages(*args, **options)

        def close(self) -> None:
            closed.append(self.seed)

    about = AboutEngine(runs="a test", answers=("choices", "passages", "prompts"))

    def make(model: str, *, seed: int = 0) -> Closes:
        return Closes(seed)

    monkeypatch.setitem(ENGINES._entries, "closes", Entry("engine", "closes", make, about))
    with pytest.raises(EngineError, match="out of memory") if fails else nullcontext():
        study(tmp_path / "s", arm("a", "closes:seed=1"), arm("b", "closes:seed=2"), engine="closes")
    assert closed == ([0] if fails else [0, 1, 2])


def test_engines_that_disagree_are_not_compared_and_nothing_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study(tmp_path / "s", FAR, arm("near", "west:loss=3.05,seed=2"))
    assert compared(folder) == {("near", DENSE)}, "another engine vouches for nothing"
    assert {row.arm for row in folder.read_estimates()} == {DENSE, "far", "near"}
    errors = capsys.readouterr().err
    assert errors.index("will not be compared: far in south") < errors.index("\nnot compared: far in south")
    why = entry(folder, "far against dense")["refused"]
    assert "\n" not in why
    assert all(word in why for word in ("-0.500 nats per token", str(BOUND["token"]), "against:", "--accept"))
    assert "refused" not in entry(folder, "near against dense")
    (tmp_path / "policy.yaml").write_text(GATE)
    result = run_gate(folder.root, str(tmp_path / "policy.yaml"))
    assert {check.arm: check.outcome for check in result.checks}["far"] == "inconclusive"
    assert any("nats per token" in check.seen for check in result.checks if check.arm == "far")
    assert "not compared: far in south" in summary(folder)
    page = folder.report.read_text()
    assert "1 variant not compared" in page
    assert lead_of(folder).startswith("The variant did not get"), "what is not compared is not counted"
    assert "-0.500 nats per token" in page
    assert not run_study(read_spec(folder.specification), folder.root), "refused pairs are no unfinished work"


def test_cards_tables_and_figures_bear_an_arm_that_is_not_compared(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", FAR)
    assert CliRunner().invoke(app, ["card", str(folder.root)]).exit_code == 0
    assert (
        CliRunner()
        .invoke(app, ["report", str(folder.root), "--tables", str(tmp_path / "t"), "--figures", str(tmp_path / "f")])
        .exit_code
        == 0
    )
    assert CliRunner().invoke(app, ["compare", str(folder.root), "--task", "probe_facts"]).exit_code == 0


def test_an_arm_that_is_not_compared_is_in_no_lead_card_or_figure(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", FAR)
    view = read_study(folder)
    assert lead_of(folder).startswith("No variant was compared")
    [card] = write_card(folder)
    text = card.read_text()
    assert text.count("crushtest. Size") == text.count("Not compared with the dense model") == 1
    assert "nats per token" in text
    assert card_metadata(view, view.others[0])["model-index"][0]["results"] == []
    assert against_perplexity(view, view.task("probe_facts")) is None


def test_figures_name_the_arms_that_are_not_compared(tmp_path: Path) -> None:
    view = read_study(study(tmp_path / "s", FAR, arm("near", "west:loss=3.05,seed=2")))
    figure = against_perplexity(view, view.task("probe_facts"))
    assert figure is not None
    assert [row[0] for row in figure.rows] == [DENSE, "near"]
    assert "Not shown, because they are not compared with dense: far." in figure.note


def test_only_the_pair_with_dense_decides_whether_an_arm_is_compared(tmp_path: Path) -> None:
    """Its other pair may be refused all the same."""
    folder = study(tmp_path / "s", arm("odd", "west:mute=true"), arm("w", "north", against="far"), FAR)
    assert compared(folder) == {("odd", DENSE), ("w", DENSE)}
    [_, w, far] = verdicts(read_study(folder))
    assert (w.barred, far.barred) == (False, True)
    assert w.refused
    assert "1 variant not compared" in lead_of(folder)
    assert lead_of(folder).startswith("None of 2 variants")


def test_the_fixed_text_is_scored_before_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []
    choices = FakeEngine.choices

    def noted(self: FakeEngine, requests: Any, *, done: Any = ()) -> Any:
        asked.extend(requests)
        return choices(self, requests, done=done)

    monkeypatch.setattr(FakeEngine, "choices", noted)
    folder = study(tmp_path / "s", noise_floor=1)
    assert asked[0] == TEXT
    assert asked.count(TEXT) == 1, "once for dense, never for its repeat"
    kept = manifest.read(folder.manifest)[SECTION]
    assert kept == {DENSE: {"nats": -300.0, "tokens": 100, "bytes": SIZE, "token_digest": "a"}}


def test_words_accept_what_is_beyond_the_bound(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", FAR | {"accept": "it is 2 bits <b>"})
    assert compared(folder) == {("far", DENSE)}
    assert entry(folder, "far against dense")["accepted"] == "it is 2 bits <b>"
    page = folder.report.read_text()
    assert "accepted because: it is 2 bits &lt;b&gt;" in page
    [card] = write_card(folder)
    assert "accepted because: it is 2 bits &lt;b&gt;" in card.read_text()
    assert "accepted because: it is 2 bits <b>" in summary(folder)


def test_compare_accepts_in_words_and_the_study_keeps_them(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", FAR)
    assert compared(folder) == set()
    assert CliRunner().invoke(app, ["compare", str(folder.root), "--arm", "far", "--accept", "2 bits"]).exit_code == 0
    assert compared(folder) == {("far", DENSE)}
    recompare(folder)
    assert compared(folder) == {("far", DENSE)}
    assert yaml.safe_load(folder.specification.read_text())["arms"][0]["accept"] == "2 bits"
    assert not run_study(
        build_spec({"model": "m", "engine": "north", "arms": [FAR], "suite": SUITE}, where="t"), folder.root
    )


@pytest.mark.parametrize(
    ("accept", "name", "said"), [("why", None, "--arm"), (" ", "far", "words"), ("why", "fra", "far")]
)
def test_compare_refuses_an_acceptance_of_nothing(tmp_path: Path, accept: str, name: str | None, said: str) -> None:
    folder = study(tmp_path / "s", FAR)
    before = folder.specification.read_bytes()
    with pytest.raises(UsageError, match=said):
        recompare(folder, arm=name, accept=accept)
    assert folder.specification.read_bytes() == before


def test_a_study_file_may_accept_what_a_finished_study_refused(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", FAR)
    assert study(folder.root, FAR | {"accept": "2 bits"}) == folder
    assert compared(folder) == {("far", DENSE)}


@pytest.mark.parametrize("more", [{}, {"against": "near"}])
def test_a_pair_of_the_same_engines_that_agrees_vouches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any]
) -> None:
    folder = study(tmp_path / "s", FAR | more, NEAR)
    assert compared(folder) - {("far", "near")} == {("far", DENSE), ("near", DENSE)}
    assert "compared: " not in capsys.readouterr().err
    assert entry(folder, "far against dense")["vouched"] == "near against dense"
    assert "compared because near against dense agrees" in folder.report.read_text()


def test_engines_that_agree_vouch_for_a_compressed_arm_in_denses_engine(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", NEAR, arm("w", "north:loss=3.5,seed=3", against="near"))
    assert compared(folder) == {("near", DENSE), ("w", DENSE), ("w", "near")}


def test_an_accepted_arm_vouches_for_no_other(tmp_path: Path) -> None:
    folder = study(
        tmp_path / "s", arm("near", "south:loss=9", accept="2 bits"), arm("far", "south:loss=12", against="near")
    )
    assert compared(folder) == {("near", DENSE), ("far", "near")}


def test_an_arm_that_disagrees_as_well_vouches_for_nothing(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", FAR | {"against": "wrong"}, arm("wrong", "south:loss=9"))
    assert compared(folder) == {("far", "wrong")}, "the same engine on both sides is not affected"
    refused = refused_pairs(manifest.read(folder.manifest), make_plan(read_spec(folder.specification)))
    assert refused.keys() == {("far", DENSE), ("wrong", DENSE)} == recorded_refusals(manifest.read(folder.manifest))


def test_another_cut_of_the_text_is_compared_per_byte(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", arm("other", "south:loss=3.1,digest=b"))
    check = check_text(manifest.read(folder.manifest), ("other", DENSE))
    assert check is not None
    assert (check.per, check.nats) == ("byte", pytest.approx(-10 / SIZE))
    assert entry(folder, "other against dense")["fixed_text"]["bound"] == BOUND["byte"]


def test_an_engine_without_the_text_is_compared_with_a_caution(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", arm("letters", "south:mute=true"))
    assert compared(folder) == {("letters", DENSE)}
    assert manifest.read(folder.manifest)[SECTION]["letters"] == {"reason": "it gives letters only"}
    checked = entry(folder, "letters against dense")
    assert (checked["fixed_text"], checked["sampling"]) == (None, False)
    page = folder.report.read_text()
    for caution in ("not compared on a fixed text", "drawn otherwise", "not known whether the tokens are the same"):
        assert caution in page


def test_a_study_of_before_the_text_stays_as_it_was(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", FAR | {"accept": "as before"})
    shutil.copytree(folder.root, tmp_path / "old")
    old = StudyFolder(tmp_path / "old")
    untie(old.root)
    old.specification.write_text(old.specification.read_text().replace("accept: as before", "accept: null"))
    manifest.set_section(old.manifest, SECTION, {})
    recompare(old)
    assert compared(old) == {("far", DENSE)}
    assert not run_study(read_spec(old.specification), old.root)


def test_a_text_without_an_answer_has_a_reason() -> None:
    engine = FakeEngine()
    engine.choices = lambda requests, *, done=(): iter([(0, Unanswered("busy"))])  # type: ignore[method-assign]
    assert score_fixed_text(engine) == {"reason": "busy"}


@pytest.mark.parametrize("loss", ["nan", "inf"])
def test_a_score_that_is_not_finite_is_beyond_the_bound(tmp_path: Path, loss: str) -> None:
    folder = study(tmp_path / "s", arm("broken", f"south:loss={loss}"))
    assert compared(folder) == set()
    assert manifest.read(folder.manifest)[SECTION]["broken"]["nats"] is None
    assert entry(folder, "broken against dense")["fixed_text"]["nats"] is None
    assert "no finite log-likelihood" in entry(folder, "broken against dense")["refused"]
    recompare(folder, arm="broken", accept="it is broken")
    assert compared(folder) == {("broken", DENSE)}
    assert "accepted because: it is broken" in folder.report.read_text()


def test_an_arm_measured_anew_scores_the_fixed_text_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = study(tmp_path / "s", NEAR)
    manifest.update(folder.manifest, SECTION, "near", {"nats": -9.0, "tokens": 1, "bytes": 1, "token_digest": "a"})
    shutil.rmtree(folder.arm("near"))
    study(folder.root, NEAR)
    assert manifest.read(folder.manifest)[SECTION]["near"]["nats"] == -305.0
    assert compared(folder) == {("near", DENSE)}


def test_an_arm_that_is_forgotten_leaves_no_fixed_text(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest.update(path, SECTION, "near", {"nats": -9.0})
    manifest.forget(path, "near")
    assert manifest.read(path)[SECTION] == {}


def served(address: str, recognised: bool) -> dict[str, Any]:
    engine = {"engine": "openai", "address": address, "server": {"kind": "x"}, "recognised": recognised}
    return {"engine": engine}


@pytest.mark.parametrize("known", [True, False])
def test_unknown_servers_at_two_addresses_are_two_engines(known: bool) -> None:
    arms = {DENSE: served("http://a", known), "far": served("http://b", known), "near": served("http://a", known)}
    assert crosses({"arms": arms}, ("far", DENSE)) is not known
    assert not crosses({"arms": arms}, ("near", DENSE))


def test_unknown_tokens_of_two_models_in_one_engine_have_a_caution(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", arm("other", "north:seed=1"), {**arm("same", "north:seed=2"), "model": "m"})
    checked = manifest.read(folder.manifest)["across_engines"]
    assert checked.keys() == {"other against dense"}
    assert not checked["other against dense"]["engines_differ"]
    assert "not known whether the tokens are the same" in folder.report.read_text()


def test_an_engine_that_answers_no_choices_is_not_asked_the_fixed_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in's need not say no in our words: it may raise anything."""

    class WritesOnly(FakeEngine):
        def choices(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    entry = Entry("engine", "writes", lambda model: WritesOnly(), AboutEngine(runs="a test", answers=("prompts",)))
    monkeypatch.setitem(ENGINES._entries, "writes", entry)
    folder = study(tmp_path / "s", arm("far", "north"), engine="writes", suite=[{"probe_prompts": {"limit": 6}}])
    assert set(manifest.read(folder.manifest)[SECTION]) == {"far"}
    assert compared(folder) == {("far", DENSE)}


def test_the_fixed_text_is_one_plain_option() -> None:
    assert isinstance(TEXT, Choices)
    assert 60 <= len((TEXT.context + TEXT.options[0]).split()) <= 100
    assert (TEXT.context + TEXT.options[0]).isascii()
