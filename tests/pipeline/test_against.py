"""Contrasts with any arm: from the study file or from `compare --against` to the table, the page and the gate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from crushtest import stats
from crushtest.errors import CrushtestError, UsageError
from crushtest.gate.checks import run_gate
from crushtest.pipeline.compare import what_differs
from crushtest.pipeline.run import recompare, run_study
from crushtest.records import DENSE, Item, Passage, PassageScore
from crushtest.report.against import comparisons
from crushtest.report.study_view import read_study
from crushtest.results import Contrast
from crushtest.stats.tokens import compare_tokens
from crushtest.study import manifest
from crushtest.study.chain import problems
from crushtest.study.folder import StudyFolder
from crushtest.study.merge import compared_also
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec, read_spec
from crushtest.tasks.probes.probe_text import probe_text
from support.older_study import untie

SUITE = [{"probe_qa": {"limit": 60}}, {"probe_text": {"limit": 8}}]
F16 = {"name": "f16", "model": "m-F16", "engine": "fake:seed=1"}
Q4 = {"name": "q4", "model": "m-Q4", "engine": "fake:seed=2"}
Q8 = {"name": "q8", "model": "m-Q8", "engine": "fake:seed=3"}


def content(*arms: dict[str, object]) -> dict[str, Any]:
    return {"model": "fake", "engine": "fake", "arms": list(arms), "suite": SUITE}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of dense -> f16 -> q4, and q8 against dense alone."""
    root = tmp_path_factory.mktemp("against") / "chain"
    run_study(build_spec(content(F16, Q4 | {"against": "f16"}, Q8), where="test"), root)
    return root


def rows_of(root: Path, arm: str, against: str) -> dict[tuple[str, str, str], Contrast]:
    rows = StudyFolder(root).read_contrasts()
    return {(row.task, row.metric, row.group): row for row in rows if (row.arm, row.against) == (arm, against)}


def pairs_of(root: Path) -> set[tuple[str, str]]:
    return {(row.arm, row.against) for row in StudyFolder(root).read_contrasts()}


# ---- the plan ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([F16, Q4 | {"against": "f61"}], "did you mean 'f16'"),
        ([F16 | {"against": "f16"}], "names the arm itself"),
        ([F16 | {"against": "q4"}, Q4 | {"against": "f16"}], "f16 -> q4 -> f16"),
        ([F16 | {"against": "q8"}, Q4 | {"against": "f16"}, Q8 | {"against": "q4"}], "circle"),
    ],
)
def test_a_plan_refuses_what_no_chain_can_be_read_from(arms: list[dict[str, object]], said: str) -> None:
    with pytest.raises(CrushtestError, match=said) as refused:
        make_plan(build_spec(content(*arms), where="test"))
    assert "\n" not in str(refused.value)


def test_every_arm_is_compared_with_dense_first() -> None:
    plan = make_plan(build_spec(content(F16, Q4 | {"against": ["f16", "dense"]}), where="test"))
    assert plan.pairs == (("f16", "dense"), ("q4", "dense"), ("q4", "f16"))


# ---- the table --------------------------------------------------------------------------------------


def test_contrasts_of_against_come_beside_those_with_dense(chain: Path) -> None:
    assert pairs_of(chain) == {("f16", DENSE), ("q4", DENSE), ("q4", "f16"), ("q8", DENSE)}
    assert rows_of(chain, "q4", "f16").keys() == rows_of(chain, "q4", DENSE).keys()
    assert "against" in pl.read_parquet(chain / "contrasts.parquet").columns


def test_the_three_effects_of_a_chain_add_up(chain: Path) -> None:
    engine, compression, whole = (rows_of(chain, *pair) for pair in (("f16", DENSE), ("q4", "f16"), ("q4", DENSE)))
    added = 0
    for key, row in whole.items():
        first, second = engine[key], compression[key]
        if row.worst is None and None not in (row.difference, first.difference, second.difference):
            assert first.difference + second.difference == pytest.approx(row.difference)  # type: ignore[operator]
            assert (second.dense, second.value) == (first.value, row.value)
            added += 1
    assert added > 50


def test_rows_against_dense_do_not_depend_on_other_contrasts(chain: Path, tmp_path: Path) -> None:
    run_study(build_spec(content(F16, Q4, Q8), where="test"), tmp_path / "plain")
    plain = pl.read_parquet(tmp_path / "plain" / "contrasts.parquet")
    both = pl.read_parquet(chain / "contrasts.parquet")
    assert both.filter(pl.col("against") == DENSE).equals(plain)


def test_a_table_without_the_column_is_read_as_against_dense(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain, tmp_path / "old")
    untie(tmp_path / "old")
    table = pl.read_parquet(chain / "contrasts.parquet").filter(pl.col("against") == DENSE)
    table.drop("against").write_parquet(tmp_path / "old" / "contrasts.parquet")
    rows = StudyFolder(tmp_path / "old").read_contrasts()
    assert {row.against for row in rows} == {DENSE}
    assert len(rows) == len(table)


MIRRORED = {"better": "worse", "worse": "better"}


def test_swapping_the_arms_mirrors_the_row(chain: Path) -> None:
    folder = StudyFolder(chain)
    plan = make_plan(read_spec(folder.specification))
    for planned in plan.tasks:
        items = folder.read_items(planned.name)
        first, second = (folder.answers(arm, planned.name, planned.task.kind).read() for arm in ("f16", "q4"))
        metrics = [metric for metric in planned.task.metrics if not metric.relative_to_dense]
        there = stats.contrast(planned.name, metrics, items, "q4", first, {}, second, {}, seed=0, against="f16")
        back = stats.contrast(planned.name, metrics, items, "f16", second, {}, first, {}, seed=0, against="q4")
        mirror = {(row.metric, row.group): row for row in back}
        for row in (row for row in there if not row.metric.endswith("_worst")):
            other = mirror[row.metric, row.group]
            assert (row.arm, row.against) == (other.against, other.arm)
            assert (row.dense, row.value, row.n) == (other.value, other.dense, other.n)
            assert (row.flips.up, row.flips.down, row.flips.total) == (
                other.flips.down,
                other.flips.up,
                other.flips.total,
            )
            if row.difference is None:
                continue
            assert other.difference == pytest.approx(-row.difference)
            assert (row.p and row.p.value) == pytest.approx(other.p and other.p.value)
            assert MIRRORED.get(row.verdict, row.verdict) == other.verdict
            if row.intervals and other.intervals:
                low, high = row.intervals.at95
                assert tuple(other.intervals.at95) == pytest.approx((-high, -low), rel=0.02, abs=0.01)


# ---- compare --against ------------------------------------------------------------------------------


def test_compare_against_adds_contrasts_and_the_study_keeps_them(chain: Path, tmp_path: Path) -> None:
    root = tmp_path / "more"
    shutil.copytree(chain, root)
    before = rows_of(root, "q4", "f16")
    recompare(StudyFolder(root), against="f16", arm="q8")
    assert ("q8", "f16") in pairs_of(root)
    recompare(StudyFolder(root))
    assert ("q8", "f16") in pairs_of(root)
    assert rows_of(root, "q4", "f16") == before
    listed = {arm["name"]: arm["against"] for arm in yaml.safe_load((root / "study.yaml").read_text())["arms"]}
    assert listed == {"f16": ["dense"], "q4": ["dense", "f16"], "q8": ["dense", "f16"]}
    assert not run_study(build_spec(content(F16, Q4, Q8), where="test"), root)


@pytest.mark.parametrize("arm", ["q4", pytest.param(None, marks=pytest.mark.slow)])
def test_compare_against_none_takes_back_and_the_chain_holds(chain: Path, tmp_path: Path, arm: str | None) -> None:
    root = tmp_path / "less"
    shutil.copytree(chain, root)
    dense = rows_of(root, "q4", DENSE)
    recompare(StudyFolder(root), against="q8", arm="f16")
    recompare(StudyFolder(root), against="none", arm=arm)
    kept = {("f16", "q8")} if arm else set()
    assert pairs_of(root) == {("f16", DENSE), ("q4", DENSE), ("q8", DENSE)} | kept
    assert rows_of(root, "q4", DENSE) == dense
    assert list(problems(StudyFolder(root))) == []
    assert not run_study(build_spec(content(F16, Q4, Q8), where="test"), root)
    assert ("q4", "f16") not in pairs_of(root)
    recompare(StudyFolder(root), against="f16", arm="q4")
    assert rows_of(root, "q4", "f16") == rows_of(chain, "q4", "f16")


@pytest.mark.parametrize(("given", "stays"), [({}, True), ({"against": []}, False), ({"against": "q8"}, True)])
def test_a_study_file_takes_back_only_what_it_says(
    chain: Path, tmp_path: Path, given: dict[str, object], stays: bool
) -> None:
    root = tmp_path / "edited"
    shutil.copytree(chain, root)
    run_study(build_spec(content(F16, Q4 | given, Q8), where="test"), root)
    assert (("q4", "f16") in pairs_of(root)) == stays
    assert list(problems(StudyFolder(root))) == []


def test_against_none_means_an_arm_of_that_name_if_there_is_one() -> None:
    spec = build_spec(content(F16, Q4 | {"name": "none"}), where="test")
    assert [arm.against for arm in compared_also(spec, "none").arms] == [(DENSE, "none"), (DENSE,)]


def test_compare_against_leaves_out_mirror_images(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain, tmp_path / "q4")
    recompare(StudyFolder(tmp_path / "q4"), against="q4")
    assert pairs_of(tmp_path / "q4") - pairs_of(chain) == {("q8", "q4")}


@pytest.mark.parametrize(
    ("against", "arm", "said"),
    [("f61", None, "did you mean 'f16'"), ("f16", "q9", "q8|q4"), ("dense", None, "already"), ("q4", "f16", "circle")],
)
def test_compare_refuses_names_before_it_writes(chain: Path, against: str, arm: str | None, said: str) -> None:
    before = (chain / "study.yaml").read_bytes(), (chain / "contrasts.parquet").read_bytes()
    with pytest.raises(UsageError, match=said):
        recompare(StudyFolder(chain), against=against, arm=arm)
    assert ((chain / "study.yaml").read_bytes(), (chain / "contrasts.parquet").read_bytes()) == before


def test_a_study_file_may_add_against_to_a_finished_study(chain: Path, tmp_path: Path) -> None:
    root = tmp_path / "later"
    shutil.copytree(chain, root)
    assert run_study(build_spec(content(Q8 | {"against": "f16"}), where="test"), root)
    assert pairs_of(root) == pairs_of(chain) | {("q8", "f16")}


# ---- what differs, and how texts are read -----------------------------------------------------------


def test_a_pair_is_called_by_what_differs_between_its_arms(chain: Path) -> None:
    compared = {(row.arm, row.against): row.compares for row in StudyFolder(chain).read_contrasts()}
    assert compared["q4", "f16"] == "compression effect"


def test_the_effects_of_a_chain_across_engines_are_named_apart(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    arms = [
        {"name": "f16", "model": "m-F16.gguf", "engine": "llamacpp"},
        {"name": "q4", "model": "m-Q4.gguf", "engine": "llamacpp", "against": "f16"},
    ]
    plan = make_plan(build_spec({"model": "demo", "arms": arms, "suite": SUITE}, where="test"))
    for arm, engine, totals in (
        ("dense", "hf", None),
        ("f16", "llamacpp", {"weights_size_bytes": 9}),
        ("q4", "llamacpp", {"weights_size_bytes": 3, "compression_ratio": 0.7}),
    ):
        facts = {"engine": {"engine": engine}} | ({"totals": totals} if totals else {})
        manifest.update(folder.manifest, "arms", arm, facts)
    assert what_differs(folder, plan) == {
        ("f16", "dense"): "conversion and deployment",
        ("q4", "dense"): "compression and deployment",
        ("q4", "f16"): "compression effect",
    }


@pytest.mark.parametrize(
    ("stated", "differs"),
    [({}, "deployment, weights unknown"), ({"model_sha256": "other"}, "compression and deployment")],
)
def test_weights_behind_an_address_are_unknown_unless_stated(
    tmp_path: Path, stated: dict[str, str], differs: str
) -> None:
    arms = [{"name": "served", "model": "http://localhost:1/v1#m"}]
    plan = make_plan(build_spec({"model": "demo", "arms": arms, "suite": SUITE}, where="test"))
    folder = StudyFolder(tmp_path)
    own = {"engine": "hf"} | ({"model_sha256": "one"} if stated else {})
    served = {"engine": "openai", "address": "http://localhost:1/v1", "server": {"id": "m"}} | stated
    for arm, engine in (("dense", own), ("served", served)):
        manifest.update(folder.manifest, "arms", arm, {"engine": engine})
    assert what_differs(folder, plan) == {("served", "dense"): differs}


@pytest.mark.parametrize(
    ("model", "differs"), [("demo", "deployment delta"), ("other.gguf", "compression and deployment")]
)
def test_one_file_in_two_engines_holds_the_same_weights(tmp_path: Path, model: str, differs: str) -> None:
    """Only llama.cpp states the sha256 as `model_sha256`; that the other engine does not is no difference."""
    arms = [{"name": "served", "model": model, "engine": "llamacpp"}]
    plan = make_plan(build_spec({"model": "demo", "arms": arms, "suite": SUITE}, where="test"))
    path = StudyFolder(tmp_path).manifest
    manifest.update(path, "arms", "dense", {"engine": {"engine": "hf"}})
    quantized = {"engine": {"engine": "llamacpp", "model_sha256": "a1"}, "totals": {"compression_ratio": 0.7}}
    manifest.update(path, "arms", "served", quantized)
    assert what_differs(StudyFolder(tmp_path), plan) == {("served", "dense"): differs}


def test_nothing_per_token_is_compared_across_tokenizers() -> None:
    task = probe_text()
    items = task.items()
    answers = {item.id: scored(item, 10) for item in items}
    other = answers | {items[0].id: scored(items[0], 11)}
    assert compare_tokens(items, answers, other) == (0, 1, len(items) - 1)
    rows = stats.contrast("probe_text", task.metrics, items, "arm", answers, {}, other, {}, seed=0)
    found = {row.metric: row for row in rows if row.group == "all"}
    assert found["perplexity"].verdict == "undefined"
    assert f"1 of {len(items)} items" in (found["perplexity"].reason or "")
    assert found["bits_per_byte"].difference == 0


def scored(item: Item, tokens: int) -> PassageScore:
    assert isinstance(item.request, Passage)
    return PassageScore(-30.0, tokens, len(item.request.text.encode()))


def test_the_manifest_says_how_a_pair_across_engines_reads_texts(chain: Path, tmp_path: Path) -> None:
    root = tmp_path / "engines"
    shutil.copytree(chain, root)
    folder = StudyFolder(root)
    facts: dict[str, Any] = manifest.read(folder.manifest)["arms"]["f16"]
    elsewhere = facts["engine"] | {"engine": "other", "start_token": "<s>"}
    manifest.update(folder.manifest, "arms", "f16", facts | {"engine": elsewhere})
    recompare(folder)
    checked = manifest.read(folder.manifest)["across_engines"]
    assert checked.keys() == {"f16 against dense", "q4 against dense", "q4 against f16", "q8 against dense"}
    assert {pair for pair, entry in checked.items() if entry["engines_differ"]} == {
        "f16 against dense",
        "q4 against f16",
    }
    pair = checked["q4 against f16"]
    assert pair["start_token"] is None
    assert pair["tokens"]["probe_qa"] == {"equal": 0, "differ": 0, "unknown": 60}


# ---- readers ----------------------------------------------------------------------------------------


def test_the_page_shows_the_chain_of_an_arm_and_its_against(chain: Path) -> None:
    study = read_study(StudyFolder(chain))
    shown = {arm.name: comparisons(study, arm) for arm in study.others}
    assert [len(found) for found in shown.values()] == [0, 1, 0]
    [comparison] = shown["q4"]
    assert [(step.after, step.before) for step in comparison.steps] == [("f16", DENSE), ("q4", "f16"), ("q4", DENSE)]
    assert comparison.steps[1].effect == "compression"
    page = (chain / "report.html").read_text()
    assert page.count("Compared with f16") == 2, "in the card, and over the overview"
    assert "what the user gets" in page.lower()


def test_views_of_dense_see_no_other_contrast(chain: Path) -> None:
    study = read_study(StudyFolder(chain))
    assert {row.against for row in study.contrasts.values()} == {DENSE}
    assert {row.against for row in study.against("f16").contrasts.values()} == {"f16"}


@pytest.mark.parametrize(
    ("rule", "arms"),
    [
        ("{metric: accuracy_ambiguous, min_items: 1, arm: q4}", {"q4": "dense"}),
        ("{metric: accuracy_ambiguous, min_items: 1, arm: q4, against: f16}", {"q4": "f16"}),
    ],
)
def test_a_rule_reads_the_rows_that_it_names(chain: Path, tmp_path: Path, rule: str, arms: dict[str, str]) -> None:
    (tmp_path / "policy.yaml").write_text(f"rules: [{rule}]")
    result = run_gate(chain, str(tmp_path / "policy.yaml"))
    assert {check.arm: check.row.against for check in result.checks if check.row} == arms


def test_a_rule_against_an_arm_passes_nothing_unmeasured(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("rules: [{metric: perplexity, min_items: 1, min_clusters: 1, against: f16}]")
    outcomes = {check.arm: check.outcome for check in run_gate(chain, str(tmp_path / "policy.yaml")).checks}
    assert outcomes == {"q4": "passed", "q8": "inconclusive"}
    (tmp_path / "policy.yaml").write_text("rules: [{metric: perplexity, min_items: 1, against: f61}]")
    assert run_gate(chain, str(tmp_path / "policy.yaml")).outcome == "inconclusive"
