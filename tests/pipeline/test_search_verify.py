"""A search that is verified on further tasks: when they are asked, what they decide, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from crushtest.errors import StoreError, UsageError
from crushtest.gate.policy import parse_policy
from crushtest.pipeline.search import run as searching
from crushtest.pipeline.search.judge import worse_of
from crushtest.pipeline.search.opening import check_unseen, open_search
from crushtest.pipeline.search.request import SearchRequest
from crushtest.records import Item, Passage
from crushtest.study.searched import Judged, SearchFolder
from crushtest.study.spec import build_spec
from support.tiny_models import saved_model

pytestmark = pytest.mark.usefixtures("no_page")
FACTS = "{task: probe_facts, metric: accuracy, direction: move, margin: 0.3, min_items: 20}"
DIALECT = "{task: probe_dialect, metric: dialect_gap_bits, direction: move, margin: %s, min_items: 20}"
BOTH = f"rules: [{FACTS}, {DIALECT % 100}]"
STRICT = f"rules: [{FACTS}, {DIALECT % '0.000001'}]"
OTHER: list[dict[str, Any]] = [{"probe_dialect": {"limit": 30}}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("tiny") / "model")


def request(model: Path, budget: str, **more: Any) -> SearchRequest:
    spec = build_spec({"model": str(model), "suite": [{"probe_facts": {"limit": 80}}], "device": "cpu"}, where="test")
    options = {"options": ("rtn:bits=3,8,group_size=16",), "items": 16, "target": 0.6, "verify": OTHER}
    return SearchRequest(spec=spec, budget=budget, **(options | more))


def test_further_tasks_are_asked_last_and_decide_too(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, asked = searching.run_study, list[tuple[str, bool]]()

    def noting(spec: Any, out: Path) -> Any:
        record = SearchFolder(out.parent).read()
        asked.append((out.name, record is not None and record.order is not None))
        return own(spec, out)

    monkeypatch.setattr(searching, "run_study", noting)
    folder = SearchFolder(tmp_path / "wide")
    kept = searching.run_search(open_search(request(model, BOTH), folder.root))
    assert kept.outcome == "found"
    assert ("other", True) in asked
    assert ("other", False) not in asked
    assert kept.other == {"probe_dialect": 30}
    cells = folder.sensitivity.read().values()
    assert {(cell.task, cell.option[:10], cell.items) for cell in cells} == {
        ("probe_facts", "rtn:bits=3", 16),
        ("probe_facts", "rtn:bits=8", 8),  # so slight a change is measured on fewer
    }
    dimensions = [set(one.ratios) for judged in (kept.screened, kept.verified) for one in judged or ()]
    assert dimensions[0] < dimensions[-1], "only the verification judges the further task"

    broken = searching.run_search(open_search(request(model, STRICT), tmp_path / "strict", folder.root))
    assert broken.order == kept.order
    assert broken.outcome != "found"
    assert "probe_dialect" in (broken.verified or ())[0].broke[0]
    assert [rule.task for rule in policy(tmp_path / "strict" / "policy.yaml")] == ["probe_facts"]
    rules = [*policy(tmp_path / "strict" / "verify-policy.yaml"), *policy(tmp_path / "strict" / "other-policy.yaml")]
    assert [(rule.task, rule.sure) for rule in rules] == [
        ("probe_facts", "equivalence"),
        ("probe_dialect", "equivalence"),
    ]


def policy(path: Path) -> Any:
    return parse_policy(path.read_text(), where="t").rules


@pytest.mark.parametrize(
    ("budget", "more", "message"),
    [
        (f"rules: [{FACTS}]", {}, "no rule of the budget is about 'probe_dialect'"),
        (f"rules: [{DIALECT % 1}]", {}, "no rule is about a task of the search"),
        (BOTH, {"verify": [{"probe_dialect": {"limit": 8}}]}, "what is asked in the verification alone .* 8 items"),
        (BOTH, {"verify": None}, "no task of the search has what it is about"),
        (
            BOTH,
            {"verify": [*OTHER, {"probe_facts": {"limit": 40}}]},
            "also an item of 'probe_facts' on the search",
        ),
    ],
)
def test_what_cannot_be_verified_is_refused_first(
    model: Path, tmp_path: Path, budget: str, more: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_search(request(model, budget, **more), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_an_item_of_the_search_half_verifies_nothing() -> None:
    def items(*texts: str) -> list[Item]:
        return [Item(text, (), text, Passage(text)) for text in texts]

    check_unseen({"a": items("one")}, {"b": items("two")})
    with pytest.raises(UsageError, match="item 'one' of 'b' is also an item of 'a'"):
        check_unseen({"a": items("one")}, {"b": items("two", "one")})


def test_of_two_studies_the_worse_verdict_counts() -> None:
    one = Judged(name="a", outcome="passed", size=0.3, ratios={"bias": 0.5, "quality": 0.1})
    other = Judged(name="a", outcome="inconclusive", size=0.3, ratios={"bias": 0.2, "dialect": 0.7}, broke=("x",))
    merged = worse_of(one, other)
    assert merged == worse_of(other, one)
    assert (merged.outcome, merged.broke) == ("inconclusive", ("x",))
    assert merged.ratios == {"bias": 0.5, "quality": 0.1, "dialect": 0.7}


def test_sensitivities_take_fewer_texts_than_questions(model: Path) -> None:
    for items, texts in ((64, 16), (40, 10), (16, 8), (5, 5)):
        asked = request(model, BOTH, items=items)
        assert asked.items_of("choices") == items
        assert asked.items_of("passages") == asked.items_of("prompts") == texts


def test_a_folder_of_an_older_version_is_named_as_such(model: Path, tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path)
    asked = request(model, f"rules: [{FACTS}]", verify=None).as_json()
    stored = {key: value for key, value in asked.items() if key != "swaps"}
    folder.record_path.write_text(json.dumps({"request": stored}))
    with pytest.raises(StoreError, match=r"of an older version of crushtest \(it lacks swaps\) and cannot"):
        open_search(request(model, f"rules: [{FACTS}]", verify=None), tmp_path)
    folder.record_path.write_text(json.dumps({"request": asked}))
    with pytest.raises(StoreError, match=r"with another budget and another verify;"):
        open_search(request(model, BOTH), tmp_path)
