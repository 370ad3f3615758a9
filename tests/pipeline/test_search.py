"""A search: what it does in which order, what it returns, and that a killed one goes on to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.compress.allocation import size_of
from crushtest.engines.token_engine import TokenEngine
from crushtest.errors import StoreError, UsageError
from crushtest.files.append_log import AppendLog
from crushtest.gate.policy import parse_policy
from crushtest.pipeline.search import run as searching
from crushtest.pipeline.search import screening
from crushtest.pipeline.search.budget import as_verified
from crushtest.pipeline.search.opening import known_of, open_search
from crushtest.pipeline.search.request import SearchRequest
from crushtest.pipeline.search.run import neighbours, run_search
from crushtest.pipeline.search.screening import no_better_than, order_of, screen
from crushtest.study.searched import Candidate, Judged, SearchFolder, SearchRecord
from crushtest.study.spec import build_spec
from support.empty_page import leave_out_pages
from support.tiny_models import saved_model

pytestmark = pytest.mark.usefixtures("no_page")
WIDE = "rules: [{task: probe_facts, metric: accuracy, direction: move, margin: 0.3, min_items: 20}]"
NONE = "rules: [{task: probe_facts, metric: accuracy, max_flips: 0, min_items: 20}]"
OPTIONS = ("rtn:bits=3,8,group_size=16",)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("tiny") / "model")


def request(model: Path, budget: str = WIDE, **more: Any) -> SearchRequest:
    suite = [{"probe_facts": {"limit": 80}}, {"probe_prompts": {"limit": 10}}]
    spec = build_spec({"model": str(model), "suite": suite, "device": "cpu"}, where="test")
    return SearchRequest(spec=spec, budget=budget, **({"options": OPTIONS, "items": 8} | more))


def tables(folder: Path) -> dict[str, bytes]:
    files = [*folder.rglob("*.parquet"), folder / "search.json", *folder.glob("*.yaml")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


@pytest.fixture(scope="module")
def asked() -> list[tuple[str, bool]]:
    """The texts that any engine was asked, each with whether the order of verification was on disk by then."""
    return []


@pytest.fixture(scope="module")
def finished(
    model: Path, tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[str, bool]]
) -> tuple[SearchFolder, SearchRecord]:
    folder = SearchFolder(tmp_path_factory.mktemp("search") / "s")
    own: dict[str, Callable[..., Any]] = {name: getattr(TokenEngine, name) for name in ("choices", "generate")}

    def logging(name: str) -> Any:
        def ask(self: Any, requests: Any, *args: Any, **options: Any) -> Any:
            record = folder.read()
            ordered = record is not None and record.order is not None
            asked.extend((getattr(one, "context", "") or one.text, ordered) for one in requests)
            return own[name](self, requests, *args, **options)

        return ask

    with pytest.MonkeyPatch.context() as patch:
        leave_out_pages(patch)
        for name in own:
            patch.setattr(TokenEngine, name, logging(name))
        record = run_search(open_search(request(model), folder.root))
    return folder, record


def test_a_search_returns_the_smallest_that_was_shown_to_pass(finished: tuple[SearchFolder, SearchRecord]) -> None:
    folder, record = finished
    assert record.outcome == "found"
    assert record.verified is not None
    assert record.order is not None
    passed = [one for one in record.verified if one.outcome == "passed"]
    assert record.answer == passed[-1].name
    assert passed[-1].size == min(one.size for one in passed)
    assert [one.name for one in record.verified] == list(record.order[: len(record.verified)])
    assert record.recipe == record.candidate(record.answer).recipe
    assert folder.read() == record


def test_nothing_of_the_other_half_is_asked_before_the_order(
    finished: tuple[SearchFolder, SearchRecord], asked: list[tuple[str, bool]]
) -> None:
    folder, _ = finished
    items = {half: getattr(folder, half).read_items("probe_facts") for half in ("search", "verify") if half == "verify"}
    items["search"] = folder.screen.read_items("probe_facts")
    texts = {half: {item.request.context for item in items[half]} for half in items}
    only_verify = texts["verify"] - texts["search"]
    before = {text for text, ordered in asked if not ordered}
    assert only_verify
    assert not only_verify & before
    assert only_verify <= {text for text, ordered in asked if ordered}
    measured = {cell.task for cell in folder.sensitivity.read().values()}
    assert measured == {"probe_facts", "probe_prompts"}


def test_recipes_of_mixes_have_the_size_that_was_planned(
    finished: tuple[SearchFolder, SearchRecord], model: Path
) -> None:
    folder, record = finished
    known = known_of(open_search(request(model), folder.root))
    sizes = {one.name: one.size for one in record.screened or ()}
    mixes = [one for one in record.candidates or () if one.kind == "mix"]
    assert len(mixes) >= 2
    for one in mixes:
        assert one.chosen is not None
        assert sizes[one.name] == pytest.approx(size_of(known.bits, one.chosen) / known.dense_bits, abs=1e-4)
        assert sizes[one.name] == pytest.approx(one.size, abs=1e-4)
    assert {one.name for one in record.candidates or () if one.kind == "uniform"} == {
        f"rtn:bits={bits},group_size=16" for bits in (3, 8)
    }


def test_a_finished_search_does_nothing(finished: tuple[SearchFolder, SearchRecord], model: Path) -> None:
    folder, record = finished
    before = tables(folder.root)
    assert run_search(open_search(request(model), folder.root)) == record
    assert tables(folder.root) == before
    with pytest.raises(StoreError, match=r"holds another search, with another target;"):
        open_search(request(model, target=0.3), folder.root)


def test_a_target_takes_sensitivities_measured_before(
    finished: tuple[SearchFolder, SearchRecord], model: Path, tmp_path: Path
) -> None:
    folder, _ = finished
    record = run_search(
        open_search(request(model, target=0.4, given=("magnitude:sparsity=0.9",)), tmp_path, folder.root)
    )
    assert record.order is not None
    assert len(record.order) <= 1
    assert all(one.size <= 0.4 for one in record.screened or () if one.name in record.order)
    assert {one.kind for one in record.candidates or ()} >= {"uniform", "given"}
    with pytest.raises(StoreError, match="measured sensitivities with another items"):
        open_search(request(model, items=9), tmp_path / "other", folder.root)


def test_a_budget_that_nothing_keeps_is_none(
    finished: tuple[SearchFolder, SearchRecord], model: Path, tmp_path: Path
) -> None:
    folder, _ = finished
    (tmp_path / "budget.yaml").write_text(NONE)
    result = CliRunner().invoke(
        app,
        [
            *command(model, tmp_path),
            "--items",
            "8",
            "--option",
            *OPTIONS,
            "--target",
            "size=0.3",
            f"--sensitivity={folder.root}",
        ],
    )
    assert result.exit_code == 3, result.output
    record = SearchFolder(tmp_path / "s").read()
    assert record is not None
    assert (record.outcome, record.answer, record.order) == ("none", None, ())
    assert "none passes" in result.output
    assert "answers changed, the rule's max_flips is 0" in result.output
    assert not (tmp_path / "s" / "verify").exists()


def command(model: Path, folder: Path) -> list[str]:
    """The command line of a search in `folder/s`."""
    budget = str(folder / "budget.yaml")
    place = ("-o", str(folder / "s"), "--suite", suite_file(folder), "--device", "cpu")
    return ["search", str(model), "--budget", budget, *place]


def test_a_budget_without_room_ends_before_sensitivities(model: Path, tmp_path: Path) -> None:
    roomy = "rules: [{task: probe_facts, metric: accuracy, margin: 0.9, min_items: 20}]"
    with pytest.raises(UsageError, match=r"rule 1 .* cannot pass: dense is at .* in 'probe_facts' \(accuracy\)"):
        run_search(open_search(request(model, roomy), tmp_path / "s"))
    assert not list((tmp_path / "s").glob("sensitivity.*"))
    assert not (tmp_path / "s" / "verify").exists()


def test_a_target_below_all_mixes_ends_before_sensitivities(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no mix of these options is as small as size=0.1 \(the smallest is 0.262\)"):
        run_search(open_search(request(model, target=0.1), tmp_path / "s"))
    assert not list((tmp_path / "s").glob("sensitivity.*"))


def suite_file(folder: Path) -> str:
    path = folder / "suite.yaml"
    path.write_text(json.dumps({"tasks": [{"probe_facts": {"limit": 80}}, {"probe_prompts": {"limit": 10}}]}))
    return str(path)


def killed_run(model: Path, out: Path, after: int, monkeypatch: pytest.MonkeyPatch, *, log: str = "") -> bool:
    """Run a search until so many records were appended (to a log of that name); return whether it was killed."""
    append, count = AppendLog.append, 0

    def counting(self: Any, item: str, record: Any) -> None:
        nonlocal count
        count += log in self.final.name
        if count > after:
            raise KeyboardInterrupt
        append(self, item, record)

    with monkeypatch.context() as patch:
        patch.setattr(AppendLog, "append", counting)
        try:
            run_search(open_search(request(model), out))
        except KeyboardInterrupt:
            return True
    return False


def test_sensitivity_killed_in_the_middle_ends_in_the_same_bytes(
    model: Path, finished: tuple[SearchFolder, SearchRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enough(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(searching, "_choose", enough)
    for after, cells in ((3, 3), (5, 8)):
        assert killed_run(model, tmp_path / "s", after, monkeypatch, log="sensitivity")
        assert (tmp_path / "s" / "sensitivity.jsonl").read_text().count("\n") == cells + 1
    assert killed_run(model, tmp_path / "s", 10**9, monkeypatch)
    assert (tmp_path / "s" / "sensitivity.parquet").read_bytes() == (
        finished[0].root / "sensitivity.parquet"
    ).read_bytes()


@pytest.mark.slow
def test_a_search_killed_anywhere_ends_in_the_same_bytes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    assert not killed_run(model, Path("s"), 10**9, monkeypatch)
    monkeypatch.chdir(tmp_path / "killed")
    kills = 0
    while killed_run(model, Path("s"), 36, monkeypatch):
        kills += 1
    assert kills >= 10
    assert tables(tmp_path / "killed" / "s") == tables(tmp_path / "whole" / "s")


def judged(name: str, size: float, ratio: float, outcome: Any = "passed") -> Judged:
    return Judged(name=name, outcome=outcome, size=size, ratios={"bias": ratio})


def test_the_order_is_the_front_of_what_is_within_the_budget() -> None:
    screened = [
        judged("large", 0.5, 0.1),
        judged("beaten", 0.45, 0.6),
        judged("small", 0.3, 0.5),
        judged("beyond", 0.2, 1.2),
        judged("regressed", 0.1, 0.2, "regression"),
        judged("open", 0.25, 0.9, "inconclusive"),
    ]
    assert order_of(screened, None) == ["large", "small", "open"]
    assert order_of([*screened, judged("open and large", 0.9, 0.0, "inconclusive")], None) == ["large", "small", "open"]
    assert order_of(screened, 0.3) == ["small"]
    assert order_of([judged("open", 0.2, 0.1, "inconclusive"), *screened], 0.3) == ["small"]
    assert order_of(screened, 0.2) == []


def predicted(name: str, size: float | None, **sums: float) -> Candidate:
    return Candidate(name=name, recipe=name, kind="mix", size=size, predicted=sums or None)


def test_only_what_is_predicted_to_be_worse_everywhere_is_left_out() -> None:
    regressions = [predicted("given", None), predicted("r", 0.3, bias=1.0, dialect=2.0)]
    assert no_better_than(predicted("worse", 0.2, bias=1.5, dialect=2.0), regressions) == "r"
    assert no_better_than(predicted("better in one", 0.2, bias=9.0, dialect=1.9), regressions) is None
    assert no_better_than(predicted("not predicted", None), regressions) is None


@pytest.mark.parametrize("killed_before", ["none", "broken", "fluent"])
def test_screening_goes_down_and_asks_nothing_worse_than_a_regression(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_before: str
) -> None:
    candidates = (
        predicted("tiny", 0.1, bias=9.0, dialect=9.0),
        predicted("fluent", 0.2, bias=8.0, dialect=0.1),
        predicted("large", 0.5, bias=0.1, dialect=0.1),
        predicted("broken", 0.3, bias=2.0, dialect=2.0),
        predicted("given", None),
    )
    search, asked = open_search(request(model), tmp_path / "s"), list[list[str]]()
    sizes = {one.name: one.size for one in candidates}

    def planted(_: Any, __: Any, names: list[str]) -> Judged:
        if names[-1] == killed_before and names not in asked:
            asked.append(names)
            raise KeyboardInterrupt
        asked.append(names)
        bad = names[-1] in ("broken", "given")
        return judged(names[-1], sizes[names[-1]] or 0.9, 3.0 if bad else 0.5, "regression" if bad else "passed")

    monkeypatch.setattr(screening, "_judged", planted)
    record = SearchRecord(request={}, candidates=candidates)
    if killed_before != "none":
        with pytest.raises(KeyboardInterrupt):
            screen(search, record)
        record = search.folder.read() or record
    record = screen(search, record)
    once = [names for place, names in enumerate(asked) if names not in asked[:place]]
    assert [names[-1] for names in once] == ["given", "large", "broken", "fluent"]
    assert once[-1] == ["given", "large", "broken", "fluent"], "the study holds all that were screened"
    assert len(asked) == 4 + (killed_before != "none")
    assert record.left_out == {"tiny": "broken"}
    assert [one.name for one in record.screened or ()] == once[-1]
    assert record.order == ("fluent",)
    assert search.folder.read() == record


def test_uniform_recipes_about_as_large_are_compared() -> None:
    candidates = tuple(
        Candidate(name=name, recipe=name, kind=kind)
        for name, kind in (("u2", "uniform"), ("u3", "uniform"), ("u4", "uniform"), ("u8", "uniform"), ("m", "mix"))
    )
    screened = tuple(
        judged(name, size, 0.5) for name, size in zip(("u2", "u3", "u4", "u8", "m"), (2, 3, 4, 8, 3.5), strict=True)
    )
    record = SearchRecord(
        request={}, candidates=candidates, screened=screened, verified=(judged("m", 3.5, 1),), answer="m"
    )
    assert neighbours(record) == ["u4", "u3"]


def test_margins_of_the_budget_must_be_shown_when_verified() -> None:
    text = "rules: [{metric: a, margin: 5%, min_items: 7}, {metric: b, margin: 0.1}, {metric: c, max_flips: 0.2}]"
    rules = parse_policy(as_verified(parse_policy(text, where="t")), where="t").rules
    assert [rule.sure for rule in rules] == ["equivalence", "equivalence", "regression"]
    assert [rule.margin for rule in rules] == [rule.margin for rule in parse_policy(text, where="t").rules]
    assert rules[0].min_items == 7


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"budget": "rules: [{task: probe_facts, metric: accuracy, margin: 0.1, arm: x}]"}, "for every candidate"),
        ({"budget": "rules: [{task: probe_facts, metric: accuracy, margin: 0.1}]"}, "min_items is 100"),
        (
            {"budget": "rules: [{task: probe_facts, metric: acuracy, margin: 0.1}]"},
            "rule 1, probe_facts: unknown metric 'acuracy'; did you mean 'accuracy'",
        ),
        (
            {"budget": "rules: [{task: probe_facts, metric: accuracy, role: bias, margin: 0.1}]"},
            "no task of the search has what it is about .*leave the rule out",
        ),
        (
            {"budget": "rules: [{task: probe_fact, metric: accuracy, margin: 0.1}]"},
            "did you mean 'probe_facts'",
        ),
        (
            {"budget": "rules: [{task: bbq, metric: accuracy, margin: 0.1}]"},
            "no task of the search has what it is about",
        ),
        ({"options": ("rtn:bits=4",)}, "two or more different ones"),
        ({"options": ("rtn:bits=3,4,layers=*mlp*",)}, "leave layers and skip out"),
        ({"options": ("wanda+rtn:bits=3,4",)}, "in one step"),
        ({"target": 1.5}, "above 0 and at most 1"),
    ],
)
def test_what_cannot_be_searched_is_refused_first(
    model: Path, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_search(request(model, **more), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_dry_run_writes_nothing(model: Path, tmp_path: Path) -> None:
    (tmp_path / "budget.yaml").write_text(WIDE)
    result = CliRunner().invoke(
        app,
        [*command(model, tmp_path), "--option", *OPTIONS, "--dry-run"],
    )
    assert result.exit_code == 0, result.output
    assert "probe_facts\t41\t41\t39\t39" in result.output
    assert "2. sensitivity: 3 parts x 2 options" in result.output
    as_json = CliRunner().invoke(app, [*command(model, tmp_path), "--option", *OPTIONS, "--dry-run", "--json"])
    data = json.loads(as_json.stdout)["data"]
    assert data["items"]["probe_facts"] == {"search": 41, "verify": 39}
    assert [line[0] for line in data["steps"]] == list("12345")
    assert not (tmp_path / "s").exists()
