"""seegull: the stereotypes of identities, and how much more a model says them of whom they are about."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.data.sources import read_text
from crushtest.errors import UsageError
from crushtest.records import Answer, Choices, ChoiceScores, Completion, Item
from crushtest.registry import TASKS
from crushtest.results import Estimate
from crushtest.stats.estimates import estimate
from crushtest.tasks.base import Task
from crushtest.tasks.seegull import seegull as module
from crushtest.tasks.seegull.identities import BLOCK, FILES, KINDS, Identity, blocks, read_identities
from crushtest.tasks.seegull.lead import LEVELS, comparisons
from crushtest.tasks.seegull.naming import named
from support.respondents import needs_mirror

REGIONS = ("north", "south", "east")
Rows = Mapping[tuple[str, str], Estimate]


def made(**options: Any) -> Task:
    entry = TASKS.get("seegull")
    task: Task = entry.function(**entry.bind(options))
    return task


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty identities with three to five stereotypes each, some of them shared, in place of those of the files."""
    draw = random.Random(0)
    shared = {f"shared{number}": 2.0 for number in range(6)}
    identities = tuple(
        Identity(
            "nationality",
            f"P{number:02}",
            f"P{number:02} people",
            REGIONS[number * len(REGIONS) // 30],
            {f"own{number}x{place}": (3.0, -1.0, None)[place % 3] for place in range(draw.randint(2, 4))}
            | {(name := draw.choice(sorted(shared))): shared[name]},
            7,
        )
        for number in range(30)
    )
    monkeypatch.setattr(module, "all_blocks", lambda kinds: iter(blocks(identities)))


def rows_of(task: Task, items: list[Item], answers: Mapping[str, Answer], only: str = "") -> Rows:
    metrics = [metric for metric in task.metrics if metric.name.startswith(only)]
    rows = estimate("seegull", metrics, items, "arm", answers, {"perplexity": {}}, seed=0, replicates=100)
    return {(row.metric, row.group): row for row in rows}


def likely(items: list[Item], nats: Callable[[Item, str], float]) -> dict[str, Answer]:
    """Answers in which an attribute has so many nats after an item's frame."""
    answers: dict[str, Answer] = {}
    for item in items:
        assert isinstance(item.request, Choices)
        options = item.request.options
        scores = tuple(nats(item, option.removeprefix(" ")) for option in options)
        answers[item.id] = ChoiceScores(scores, (1,) * len(options), (1,) * len(options))
    return answers


def own(item: Item) -> dict[str, float | None]:
    return item.facts["annotated"][0]  # type: ignore[index,no-any-return]


def saying(items: list[Item], text: Callable[[Item], str]) -> dict[str, Answer]:
    return {item.id: Completion(text(item), 9, "eos") for item in items}


# ---- what is planted is measured


@pytest.mark.usefixtures("people")
@settings(max_examples=8)
@given(bonus=st.floats(-3, 3), seed=st.integers(0, 9))
def test_a_planted_likelihood_is_the_lead(bonus: float, seed: int) -> None:
    """Every name and every word has its own likelihood besides, which the lead does not see."""
    task = made()
    items = list(task.items())
    draw = random.Random(seed)
    of_name, of_word = {item.id: draw.gauss(-9, 3) for item in items}, {}  # type: ignore[var-annotated]

    def nats(item: Item, word: str) -> float:
        return of_name[item.id] + of_word.setdefault(word, draw.gauss(0, 3)) + bonus * (word in own(item))

    rows = rows_of(task, items, likely(items, nats))
    leads = {group: row.value for (metric, group), row in rows.items() if metric == "stereotype_lead_nats"}
    assert leads == {group: pytest.approx(bonus, abs=1e-9) for group in leads}
    for level in (*LEVELS, "weighted"):
        name = f"stereotype_lead_nats_{level}"
        assert rows[name, "all"].value == pytest.approx(bonus, abs=1e-9)
    both = [rows[f"stereotype_{side}_nats", "all"].value for side in ("own", "others")]
    assert both[0] - both[1] == pytest.approx(bonus, abs=1e-9)  # type: ignore[operator]


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_planted_rate_is_the_lead(share: float) -> None:
    task = made(form="completions")
    items = list(task.items())
    chosen = {item.id for item in random.Random(0).sample(items, round(share * len(items)))}

    def text(item: Item) -> str:
        mine = next(name for name in own(item) if name.startswith("own"))
        return f"They are said to be {mine}, by some." if item.id in chosen else "They live in many towns."

    rows = rows_of(task, items, saying(items, text))
    assert rows["stereotype_lead_rate", "all"].value == pytest.approx(len(chosen) / len(items))
    assert rows["stereotype_own_rate", "all"].value == pytest.approx(len(chosen) / len(items))
    assert rows["stereotype_others_rate", "all"].value == 0


@pytest.mark.usefixtures("people")
def test_words_that_all_answers_hold_give_no_lead() -> None:
    task = made(form="completions")
    items = list(task.items())
    words = " ".join(sorted({name for item in items for name in own(item)}))
    rows = rows_of(task, items, saying(items, lambda item: words))
    assert rows["stereotype_own_rate", "all"].value == 1
    assert {row.value for (name, _), row in rows.items() if name.startswith("stereotype_lead")} <= {0, None}


def permuted(items: list[Item], answers: Mapping[str, Answer], seed: int) -> dict[str, Answer]:
    """Give each item the answer of another one of its unit, or its own, at random."""
    draw, given_to = random.Random(seed), {}  # type: ignore[var-annotated]
    for unit in dict.fromkeys(str(item.facts["unit"]) for item in items):
        together = [item.id for item in items if item.facts["unit"] == unit]
        given_to |= dict(zip(together, draw.sample(together, len(together)), strict=True))
    return {name: answers[other] for name, other in given_to.items()}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("form", ["likelihood", "completions"])
def test_permuted_identities_have_no_lead_within_the_interval(form: str) -> None:
    """Of 20 permutations of a stereotyping model's answers, about one interval may miss 0."""
    task = made(form=form)
    items = list(task.items())
    draw = random.Random(1)
    answers = (
        likely(items, lambda item, word: draw.gauss(-9, 1) + 2 * (word in own(item)))
        if form == "likelihood"
        else saying(items, lambda item: " ".join(own(item)) if draw.random() < 0.6 else "They are people.")
    )
    metric = task.headline_metric.name
    truth = rows_of(task, items, answers)[metric, "all"]
    assert truth.low is not None
    assert truth.low > 0.3
    rows = [rows_of(task, items, permuted(items, answers, seed), metric)[metric, "all"] for seed in range(20)]
    assert sum(row.low <= 0 <= row.high for row in rows) >= 17  # type: ignore[operator]
    assert abs(sum(row.value for row in rows) / 20) < 0.1 * truth.value  # type: ignore[misc,operator]


@pytest.mark.usefixtures("people")
def test_an_attribute_that_two_identities_share_is_in_no_comparison() -> None:
    items = list(made().items())
    for item in items:
        lists = [set(attributes) for attributes in item.facts["annotated"]]  # type: ignore[attr-defined]
        for each in comparisons(item, lambda severity: 1.0):
            assert each.own.keys() == lists[0] - lists[each.place]
            assert not any(third.keys() & (lists[0] | lists[each.place]) for third in each.thirds)
    assert any(set(own(item)) & set(other) for item in items for other in item.facts["annotated"][1:])  # type: ignore[index]


# ---- what is not measured says why


@pytest.mark.usefixtures("people")
def test_an_item_without_the_others_of_its_block_is_unscored() -> None:
    task = made()
    items = list(task.items())
    answers = likely(items, lambda item, word: -1.0)
    del answers[items[0].id]
    row = rows_of(task, items, answers)["stereotype_lead_nats", "all"]
    assert (row.n, row.n_unscored) == (len(items) - BLOCK, BLOCK)


@needs_mirror
def test_a_level_that_no_attribute_has_is_undefined_and_says_why() -> None:
    task = made(kinds=("indian_state",))
    items = list(task.items())
    row = rows_of(task, items, likely(items, lambda item, word: -1.0))["stereotype_lead_nats_offensive", "all"]
    assert row.value is None
    assert row.reason


@pytest.mark.usefixtures("people")
def test_attributes_less_likely_for_all_raise_their_perplexity() -> None:
    task = made()
    items = list(task.items())
    row = rows_of(task, items, likely(items, lambda item, word: -2.0))["attribute_perplexity", "all"]
    assert row.value == pytest.approx(math.e**2)
    assert {metric.name for metric in task.metrics if metric.role == "ability"} == {"attribute_perplexity"}


@pytest.mark.usefixtures("people")
def test_the_share_of_attributes_left_out_is_reported() -> None:
    task = made()
    items = list(task.items())
    row = rows_of(task, items, likely(items, lambda item, word: -1.0))["left_out_rate", "all"]
    listed = [7 + len(own(item)) for item in items]
    assert row.value == pytest.approx(7 * len(items) / sum(listed))


@pytest.mark.parametrize("options", [{"chat": True}, {"samples": 2}, {"scorers": ["profanity"]}])
def test_options_of_completions_are_refused_elsewhere(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="completions"):
        made(**options)


# ---- what is asked


@pytest.mark.usefixtures("people")
def test_samples_are_compared_with_the_same_sample_of_others() -> None:
    task = made(form="completions", samples=2)
    items = list(task.items())
    rows = rows_of(
        task, items, saying(items, lambda item: next(iter(own(item))) if item.facts["sample"] else "People.")
    )
    assert rows["stereotype_lead_rate", "all"].value == pytest.approx(0.5)
    assert rows["stereotype_lead_rate", "all"].n_unscored == 0


@pytest.mark.usefixtures("people")
@given(limit=st.integers(1, 100), seed=st.integers(0, 3))
def test_a_draw_holds_whole_blocks(limit: int, seed: int) -> None:
    items = made().sample_items(limit, seed)
    names = {item.id for item in items}
    assert all(set(item.facts["others"]) <= names for item in items)  # type: ignore[call-overload]
    assert len(items) == max(BLOCK, min(limit, 90) // BLOCK * BLOCK)


@needs_mirror
@pytest.mark.parametrize("kind", KINDS)
def test_every_identity_of_the_files_has_a_name_and_a_region(kind: Any) -> None:
    rows = csv.DictReader(io.StringIO(read_text("seegull", FILES[kind]), newline=""))
    table = files("crushtest.tasks.seegull").joinpath("identities.csv").read_text("utf-8")
    named_rows = csv.DictReader(io.StringIO(table, newline=""))
    assert {row["identity"] for row in rows} == {row["listed"] for row in named_rows if row["kind"] == kind}


@needs_mirror
def test_the_page_counts_what_the_files_hold() -> None:
    identities = [identity for kind in KINDS for identity in read_identities(kind)]
    kept = [severity for identity in identities for severity in identity.stereotypes.values()]
    assert (len(kept), sum(identity.left_out for identity in identities)) == (3057, 4224)
    assert sum(not identity.stereotypes for identity in identities) == 58
    assert [sum(map(level, kept)) for level in LEVELS.values()] == [973, 1472, 612]
    assert {
        identity.key for block in map(blocks, map(read_identities, KINDS)) for group in block for identity in group
    } == {identity.key for identity in identities if identity.stereotypes}
    assert len(list(made().items())) == 3 * 183


@needs_mirror
def test_severity_is_unrated_where_the_files_have_0_for_no_rating() -> None:
    states = {identity.name: identity for identity in read_identities("indian_state")}
    assert states["Punjab"].stereotypes["bhangra"] is None
    assert states["Gujarat"].stereotypes["garba"] == -1


@needs_mirror
def test_two_names_are_one_identity_and_a_name_is_no_stereotype() -> None:
    nations = {identity.name: identity for identity in read_identities("nationality")}
    assert [name for name in nations if name.startswith("Nepal")] == ["Nepali"]
    assert "german" not in nations["German"].stereotypes


@needs_mirror
def test_blocks_mix_regions() -> None:
    for block in blocks(read_identities("nationality")):
        assert len({identity.region for identity in block}) >= 3


# ---- which attributes a text names


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        ("Poor, they say.", "poor"),
        ("many drug dealers", "drug dealer"),
        ("they love eating cheese", "love eat cheese"),
        ("swimming", "swim"),
        ("he cried", "cry"),
        ("impoverished and dominated", "impoverish"),
        ("hard-working people", "hard work"),
    ],
)
def test_an_attribute_is_named_inflected_and_in_any_case(text: str, attribute: str) -> None:
    assert named(text, (attribute,)) == {attribute}


@pytest.mark.parametrize(
    ("text", "attribute"),
    [("a poorly lit road", "poor"), ("cheese and then drink", "drink cheese"), ("a thing", "th"), ("", "poor")],
)
def test_parts_of_words_and_words_in_another_order_name_nothing(text: str, attribute: str) -> None:
    assert named(text, (attribute,)) == frozenset()
