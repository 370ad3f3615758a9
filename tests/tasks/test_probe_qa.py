"""probe_qa: its balance, its words, and respondents whose scores are known beforehand."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import pytest

from crushtest.records import Choices, ChoiceScores, Item
from crushtest.registry import TASKS
from crushtest.tasks.probes.probe_qa import Template, probe_qa, read_templates
from support.respondents import choosing, value_of

ITEMS = list(probe_qa().items())
TEMPLATES = read_templates()
ATTRIBUTES = list(dict.fromkeys(template.attribute for template in TEMPLATES))
BY_CLUSTER = {
    f"{t.attribute}/{t.name}": [item for item in ITEMS if item.cluster == f"{t.attribute}/{t.name}"] for t in TEMPLATES
}
each_template = pytest.mark.parametrize("template", TEMPLATES, ids=BY_CLUSTER)

Respondent = Callable[[Item], int]


def index(item: Item, fact: str) -> int:
    value = item.facts[fact]
    assert isinstance(value, int)
    return value


def asked(item: Item) -> Choices:
    assert isinstance(item.request, Choices)
    return item.request


def story(item: Item) -> str:
    """The context alone."""
    return asked(item).context.removeprefix("Context: ").partition("\nQuestion:")[0]


def options_of(item: Item) -> tuple[str, str, str]:
    """The biased option, the other person, and unknown."""
    biased, unknown = index(item, "biased"), index(item, "unknown")
    first, second, third = (asked(item).options[place] for place in (biased, 3 - biased - unknown, unknown))
    return first, second, third


def values(respondent: Respondent, items: list[Item]) -> dict[str, float]:
    answers: dict[str, ChoiceScores] = {}
    for item in items:
        answer = choosing(respondent(item))
        assert answer is not None
        answers[item.id] = answer
    return {metric.name: value_of(metric, items, answers) for metric in probe_qa().metrics}


# ---- respondents -----------------------------------------------------------------------------------


def stereotyping(item: Item) -> int:
    return index(item, "biased")


def against(item: Item) -> int:
    return 3 - index(item, "biased") - index(item, "unknown")


def unknowing(item: Item) -> int:
    return index(item, "unknown")


def right(item: Item) -> int:
    assert item.gold is not None
    return item.gold


def named(item: Item, which: int) -> int:
    """The person whom the text names first (0) or last (-1)."""
    people = [place for place in range(3) if place != index(item, "unknown")]

    def mention(place: int) -> int:
        name = asked(item).options[place].removeprefix(" The ").lower()
        return min(story(item).lower().find(f"{article} {name}") % 10_000 for article in ("a", "an"))

    return sorted(people, key=mention)[which]


def the_same_person(item: Item) -> int:
    """The person of the stereotyped group, whatever the question."""
    return stereotyping(item) if item.facts["polarity"] == "negative" else against(item)


@pytest.mark.parametrize("attribute", [None, *ATTRIBUTES])
def test_oracles_score_what_the_definition_says(attribute: str | None) -> None:
    items = [item for item in ITEMS if attribute is None or f"attribute={attribute}" in item.groups]
    always = values(stereotyping, items)
    assert (always["bias_ambiguous"], always["bias_disambiguated"], always["accuracy_cost_of_bias"]) == (1, 1, -1)
    assert (always["accuracy_ambiguous"], always["accuracy_disambiguated"]) == (0, 0.5)
    never = values(against, items)
    assert (never["bias_ambiguous"], never["bias_disambiguated"], never["accuracy_cost_of_bias"]) == (-1, -1, 1)
    unknown = values(unknowing, items)
    assert np.isnan(unknown["bias_ambiguous"])
    assert np.isnan(unknown["bias_disambiguated"])
    assert (unknown["accuracy_ambiguous"], unknown["unknown_rate_disambiguated"]) == (1, 1)
    best = values(right, items)
    assert (best["accuracy_ambiguous"], best["accuracy_disambiguated"], best["accuracy_cost_of_bias"]) == (1, 1, 0)
    assert best["bias_disambiguated"] == 0


@pytest.mark.parametrize("attribute", [None, *ATTRIBUTES])
@pytest.mark.parametrize(
    "respondent",
    [
        lambda item: named(item, 0),
        lambda item: named(item, -1),
        the_same_person,
        lambda item: 0,
        lambda item: 1,
        lambda item: 2,
    ],
    ids=["named first", "named last", "same person", "first option", "second option", "third option"],
)
def test_an_answer_by_position_is_no_bias(respondent: Respondent, attribute: str | None) -> None:
    scores = values(respondent, [i for i in ITEMS if attribute is None or f"attribute={attribute}" in i.groups])
    assert scores["bias_ambiguous"] == 0
    assert scores["bias_disambiguated"] == 0
    assert scores["accuracy_cost_of_bias"] == 0


# ---- balance ---------------------------------------------------------------------------------------


def test_there_are_ten_attributes_of_six_templates_of_eight_questions() -> None:
    assert len(ITEMS) == len({item.id for item in ITEMS}) == len({asked(item) for item in ITEMS}) == 480
    assert Counter(template.attribute for template in TEMPLATES) == dict.fromkeys(ATTRIBUTES, 6)
    assert len(ATTRIBUTES) == 10
    assert Counter(item.cluster for item in ITEMS) == dict.fromkeys(BY_CLUSTER, 8)


def test_every_order_of_options_comes_once_per_kind_of_question() -> None:
    orders = defaultdict(list)
    for item in ITEMS:
        kind = (item.groups[0], item.facts["condition"], item.facts["polarity"], item.facts["order"])
        orders[kind].append((the_same_person(item), index(item, "unknown")))
    assert len(orders) == 80
    assert all(len(set(places)) == 6 for places in orders.values())


def test_the_truth_goes_with_the_stereotype_as_often_as_against_it() -> None:
    decided = [item for item in ITEMS if item.facts["condition"] == "disambiguated"]
    kinds = Counter(
        (item.groups[0], item.facts["polarity"], item.facts["order"], item.facts["truth"]) for item in decided
    )
    assert set(kinds.values()) == {3}
    assert len(kinds) == 80
    for items in BY_CLUSTER.values():
        assert Counter(item.facts["truth"] for item in items) == {None: 4, "with": 2, "against": 2}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_every_item_is_well_formed(item: Item) -> None:
    assert len(set(asked(item).options)) == 3
    assert all(re.fullmatch(r" [A-Z]\S*( \S+)*", option) for option in asked(item).options)
    assert item.gold in range(3)
    assert index(item, "biased") in range(3)
    assert index(item, "biased") != index(item, "unknown")
    assert (item.gold == index(item, "unknown")) == (item.facts["condition"] == "ambiguous")
    assert (item.gold == index(item, "biased")) == (item.facts["truth"] == "with")
    assert re.fullmatch(r"Context: [A-Z][^\n{}]+\.\nQuestion: Who [^\n{}]+\?\nAnswer:", asked(item).context)
    attribute, group = item.groups
    assert group.startswith(attribute.removeprefix("attribute=") + "=")


# ---- words -----------------------------------------------------------------------------------------


@each_template
def test_each_order_names_both_people_once_and_differs_in_nothing_else(template: Template) -> None:
    assert sorted(re.findall(r"{(\w+)}", template.context)) == ["first", "second"]
    assert sorted(re.findall(r"{(\w+)}", template.truth)) == ["negative", "nonnegative"]
    assert template.negative != template.nonnegative
    assert template.people[0] != template.people[1]


@each_template
def test_the_ambiguous_context_shares_no_word_with_the_deciding_one(template: Template) -> None:
    """Nothing but names and function words may stand in both, nor in both context and questions."""
    function_words = {"the", "a", "an", "and", "to", "in", "for", "at", "of", "on", "was", "were", "by", "had", "each"}
    names = set(" ".join(template.people).split())
    words = set(re.findall(r"\w+", re.sub(r"{\w+}", "", template.context).lower())) - names - function_words
    decisive = f"{template.truth} {template.negative} {template.nonnegative}"
    assert not words & set(re.findall(r"\w+", re.sub(r"{\w+}", "", decisive).lower()))


@each_template
def test_the_deciding_sentence_is_all_that_is_added(template: Template) -> None:
    items = BY_CLUSTER[f"{template.attribute}/{template.name}"]
    for order in ("stereotyped first", "other first"):
        stories = {
            (item.facts["condition"], story(item)) for item in items if item.facts["order"] == order
        }  # both questions are asked of the same text
        (_, plain), (_, decided) = sorted(stories)
        assert decided.startswith(plain + " The ")
        assert decided.count(".") == 2


@each_template
def test_the_right_answer_fits_the_deciding_sentence(template: Template) -> None:
    """Filled in by hand: whoever stands where the truth says `negative` answers the negative question."""
    before, between, _ = re.split(r"{\w+}", template.truth)
    assert before == ""
    assert template.truth.startswith("{negative}")
    for item in BY_CLUSTER[f"{template.attribute}/{template.name}"]:
        if item.facts["condition"] == "disambiguated":
            sentence = story(item).partition(". ")[2]
            first = sentence.partition(between)[0]
            answer = asked(item).options[right(item)].strip()
            assert (answer == first) == (item.facts["polarity"] == "negative")


@each_template
def test_articles_agree_and_the_source_has_a_year(template: Template) -> None:
    for person in template.people:
        article, _, noun = person.partition(" ")
        assert article == ("an" if noun[0] in "aeiouAEIOU" else "a")
    assert re.search(r"\((19|20)\d\d\), \S", template.source)
    assert template.stereotype.endswith(".")


def test_contexts_are_short() -> None:
    """Two cores must score all of it in seconds."""
    assert max(len(story(item).split()) for item in ITEMS) <= 40


def test_the_task_is_listed_with_its_dimension() -> None:
    entry = TASKS.get("probe_qa")
    assert entry.about.dimension == "representational harm"
    assert entry.bind({}) == {}
