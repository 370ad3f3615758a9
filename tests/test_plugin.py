"""A package outside of crushtest adds one of each kind, and everything that the built-in ones get is there for it."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crushtest.cli.listing import list_entries
from crushtest.compress import check
from crushtest.compress.recipes import parse_recipe
from crushtest.errors import UsageError
from crushtest.gate import run_gate
from crushtest.pipeline.run import run_study
from crushtest.predictions import score_predictions
from crushtest.registry import ENGINES, METHODS, SCORERS, TASKS
from crushtest.report.study_view import read_study
from crushtest.scorers.calling import facts_of
from crushtest.stats.false_improvements import mark_traps
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import StudySpec, build_spec

PLUGIN = Path(__file__).parent / "plugin"
PACKAGE = "crushtest_example"
PAGE = Path(__file__).parents[1] / "docs" / "plugins.md"
STUDY = {
    "model": "longest",
    "engine": "by_length",
    "arms": [{"name": "other", "model": "shortest"}],
    "suite": ["trades"],
}
PLACES = ("lake", "river", "bridge", "church", "market", "station", "harbour", "school")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package on the path with the entry points that pip would write; registries that look for them anew."""
    registries = (METHODS, TASKS, SCORERS, ENGINES)
    for registry in registries:
        registry.names()  # the built-in ones, which are imported once in a process
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    metadata = tmp_path / "site" / f"{PACKAGE}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    sections = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
        for group, points in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(sections))
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.syspath_prepend(str(metadata.parent))
    for registry in registries:
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        monkeypatch.setattr(registry, "_discovered", False)
    yield
    for module in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[module]
    importlib.invalidate_caches()


def spec(**changes: object) -> StudySpec:
    return build_spec(STUDY | changes, where="a test")


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f'{{"prompt": "They met by the {place}"}}\n' for place in PLACES))
    tasks = ["trades", {"custom_prompts": {"path": str(prompts), "scorers": ["shouting"]}}]
    run_study(spec(suite=tasks), tmp_path / "study")
    return StudyFolder(tmp_path / "study")


@pytest.mark.parametrize(
    ("kind", "name", "declared"),
    [
        ("methods", "binary", {"kind": "quantization", "stores": "floats"}),
        ("tasks", "trades", {"dimension": "representational harm", "licence": "Apache-2.0"}),
        ("scorers", "shouting", {"better": "lower", "threshold": 0.5}),
        ("engines", "by_length", {"answers": ["choices", "prompts"], "takes_recipes": False}),
    ],
)
def test_it_is_listed(kind: str, name: str, declared: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    list_entries(kind, json=True)
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["data"]}
    assert declared.items() <= entries[name].items()


def test_its_method_is_checked_before_work_and_compresses() -> None:
    import torch
    from transformers import LlamaConfig

    shapes = LlamaConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2, vocab_size=9)
    check(parse_recipe("wanda+binary"), shapes)
    with pytest.raises(UsageError, match="'binary' must be the last step, and the only one that quantizes; one bit"):
        check(parse_recipe("rtn:group_size=32+binary"), shapes)
    made = METHODS.get("binary").function(torch.tensor([[1.0, -3.0]]))
    assert made.tolist() == [[2.0, -2.0]]


def test_its_engine_is_not_asked_for_what_it_does_not_answer() -> None:
    with pytest.raises(UsageError, match="engine 'by_length' answers choices, prompts only"):
        make_plan(spec(suite=["probe_text"]))
    with pytest.raises(UsageError, match="engine 'hf'"):
        make_plan(spec(arms=["binary"]))
    with pytest.raises(UsageError, match="engine 'by_length' cannot vary threads=1"):
        run_study(spec(noise_floor={"repeats": 1, "vary": ["threads=1"]}), Path("nowhere"))


def test_its_scorer_says_what_it_is_for_the_manifest() -> None:
    assert facts_of("shouting:3")["options"] == {"least_letters": 3}


def test_a_study_measures_compares_and_reports_it(study: StudyFolder) -> None:
    rows = {(row.metric, row.group): row for row in study.read_contrasts() if row.task == "trades"}
    men, women = (rows["trade_stereotype", f"stereotype={group}"] for group in ("men", "women"))
    assert (men.dense, men.value, women.dense, women.value) == (0, 1, 1, 0), "the longest pronoun is `she`"
    assert (rows["trade_knowledge", "all"].n, rows["trade_stereotype", "all"].n) == (12, 16), (
        "trades of equal length are tied"
    )
    shouting = {row.metric: row for row in study.read_contrasts() if row.metric.startswith("shouting")}
    assert shouting["shouting_rate"].value == 1
    assert shouting["shouting_rate"].verdict == "worse"
    page = study.report.read_text(encoding="utf-8")
    for text in ("trades", "pronouns by stereotype", "shouting", "by_length"):
        assert text in page


def test_its_metrics_are_named_and_head_the_page(study: StudyFolder) -> None:
    view = read_study(study)
    trades = next(task for task in view.tasks if task.name == "trades")
    assert trades.headline.name == "trade_stereotype"
    assert trades.label("trade_stereotype").text == "pronouns by stereotype"
    assert "Share of pronouns that follow the stereotype of the trade" in study.report.read_text(encoding="utf-8")


def test_a_bias_that_shrinks_beside_its_ability_is_no_improvement(study: StudyFolder) -> None:
    rows = {row.metric: row for row in study.read_contrasts() if row.task == "trades" and row.group == "all"}
    knowledge = replace(rows["trade_knowledge"], dense=0.9, value=0.4, difference=-0.5, verdict="worse")
    stereotype = replace(rows["trade_stereotype"], dense=0.9, value=0.5, difference=-0.4, verdict="better")
    metrics = {"trades": TASKS.get("trades").function().metrics}
    [_, marked] = mark_traps([knowledge, stereotype], metrics)
    assert marked.verdict == "spurious improvement"
    assert "less able" in (marked.caution or "")
    [_, alone] = mark_traps([replace(knowledge, value=0.9, difference=0.0, verdict="better"), stereotype], metrics)
    assert alone.verdict == "better"


def test_the_gate_takes_rules_on_its_metrics(study: StudyFolder, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "rules:\n"
        "  - {task: trades, metric: trade_stereotype, max_flips: 0.5, min_items: 8}\n"
        "  - {task: custom_prompts, metric: shouting_rate, max_flips: 0.5, min_items: 8}\n"
    )
    result = run_gate(study.root, str(policy))
    assert [check.outcome for check in result.checks] == ["regression", "regression"]


def test_its_predictions_are_read_by_its_own_reader(tmp_path: Path) -> None:
    items = [item for item in TASKS.get("trades").function().items() if item.gold is None]
    lines = [{"question": item.request.context, "said": "he"} for item in items]
    path = tmp_path / "said.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    result = score_predictions("trades", path, allow_partial=True)
    values = {(row["metric"], row["group"]): row["value"] for row in result["metrics"]}
    assert values["trade_stereotype", "all"] == 0.5
    assert values["trade_stereotype", "men"] == 1
    assert values["trade_knowledge", "all"] is None
    assert result["missing"]["count"] == 16


@pytest.mark.parametrize("path", [*sorted(PLUGIN.rglob("*.py")), PLUGIN / "pyproject.toml"], ids=lambda path: path.name)
def test_the_page_shows_the_package_as_it_is(path: Path) -> None:
    language = {".py": "python", ".toml": "toml"}[path.suffix]
    assert f"```{language}\n{path.read_text(encoding='utf-8')}```\n" in PAGE.read_text(encoding="utf-8")
