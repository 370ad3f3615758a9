from __future__ import annotations

from pathlib import Path

import pytest

from crushtest.tasks.shared.dialect_rules import RULES, base, render


@pytest.mark.parametrize(
    ("feature", "mainstream", "aae"),
    [
        ("habitual_be", "is", "be"),
        ("habitual_be", "I'm", "I be"),
        ("habitual_be", "the children are", "the children be"),
        ("habitual_be", "works", "be working"),
        ("habitual_be", "sits", "be sitting"),
        ("habitual_be", "share", "be sharing"),
        ("habitual_be", "watches", "be watching"),
        ("copula_absence", "She is at", "She at"),
        ("copula_absence", "You're late", "You late"),
        ("copula_absence", "My sister's friend is a", "My sister's friend a"),
        ("negative_concord", "didn't give anybody any", "didn't give nobody no"),
        ("negative_concord", "never said anything", "never said nothing"),
        ("negative_concord", "Any bus that doesn't have any", "Any bus that doesn't have no"),
        ("negative_inversion", "Nobody can", "Can't nobody"),
        ("negative_inversion", "Nobody came", "Didn't nobody come"),
        ("negative_inversion", "Nobody tries", "Don't nobody try"),
        ("negative_inversion", "No dog is", "Ain't no dog"),
        ("aint", "isn't", "ain't"),
        ("aint", "I'm not", "I ain't"),
        ("aint", "He is not", "He ain't"),
        ("aint", "haven't seen", "ain't seen"),
        ("aint", "didn't know", "ain't know"),
        ("completive_done", "I've told", "I done told"),
        ("completive_done", "has left", "done left"),
        ("completive_done", "She's finished", "She done finished"),
        ("remote_past_been", "has been married for years", "been married"),
        ("remote_past_been", "have had this coat for years", "been had this coat"),
        ("remote_past_been", "paid that bill a long time ago", "been paid that bill"),
        ("third_person_s_absence", "walks", "walk"),
        ("third_person_s_absence", "doesn't want any", "don't want any"),
        ("third_person_s_absence", "has", "have"),
        ("possessive_s_absence", "brother's car", "brother car"),
        ("existential_it", "There is", "It's"),
        ("existential_it", "there are", "it's"),
        ("existential_it", "There were", "It was"),
        ("existential_it", "Is there", "Is it"),
        ("existential_it", "There isn't anything", "It isn't anything"),
        ("was_leveling", "were", "was"),
        ("was_leveling", "weren't", "wasn't"),
        ("question_without_auxiliary", "Where are you", "Where you"),
        ("question_without_auxiliary", "How long have they", "How long they"),
        ("inverted_indirect_question", "if I could", "could I"),
        ("inverted_indirect_question", "whether the store was", "was the store"),
    ],
)
def test_a_rule_says_it_as_speakers_do(feature: str, mainstream: str, aae: str) -> None:
    assert RULES[feature](mainstream) == aae


@pytest.mark.parametrize(
    ("feature", "mainstream", "why"),
    [
        ("habitual_be", "was", "past"),
        ("habitual_be", "he'll be", "future"),
        ("copula_absence", "I'm at", "am"),
        ("copula_absence", "She was at", "past"),
        ("copula_absence", "how tall he is", "end of the clause"),
        ("copula_absence", "It's a", "it keeps it"),
        ("copula_absence", "What is the", "what keeps it"),
        ("negative_concord", "have any", "no negation"),
        ("negative_concord", "Anybody can't", "the indefinite comes before the negation"),
        ("negative_inversion", "Somebody can", "not a negative subject"),
        ("aint", "doesn't", "stays don't"),
        ("aint", "can't", "stays can't"),
        ("aint", "wasn't", "past of be"),
        ("completive_done", "has been", "a state"),
        ("completive_done", "finished", "no perfect"),
        ("remote_past_been", "has been married", "nothing says that it is long"),
        ("third_person_s_absence", "is", "be does not lose its form"),
        ("third_person_s_absence", "walk", "no ending"),
        ("possessive_s_absence", "my brother's", "nothing possessed follows"),
        ("existential_it", "It is", "no there"),
        ("was_leveling", "are", "present"),
        ("question_without_auxiliary", "Are you", "yes/no question"),
        ("question_without_auxiliary", "Where would you", "would has a meaning of its own"),
        ("inverted_indirect_question", "that I could", "no question"),
    ],
)
def test_a_rule_refuses_what_the_dialect_does_not_do(feature: str, mainstream: str, why: str) -> None:
    with pytest.raises(ValueError, match=feature):
        RULES[feature](mainstream)


def test_a_slot_with_two_features_is_rewritten_by_both_in_order() -> None:
    pair = render("She {aint+negative_concord: hasn't said anything} about {possessive_s_absence: Maria's house}.")
    assert pair.mainstream == "She hasn't said anything about Maria's house."
    assert pair.aae == "She ain't said nothing about Maria house."
    assert pair.features == ("aint", "negative_concord", "possessive_s_absence")


def test_an_unknown_feature_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rule for 'double_modal'"):
        render("I {double_modal: could} go.")


@pytest.mark.parametrize(
    ("verb", "expected"),
    [("goes", "go"), ("fixes", "fix"), ("passes", "pass"), ("cries", "cry"), ("lies", "lie"), ("makes", "make")],
)
def test_the_base_of_a_verb_is_found(verb: str, expected: str) -> None:
    assert base(verb) == expected


def test_habitual_be_agrees_with_the_pairs_of_dialect_prejudice(data: Path) -> None:
    """Hofmann et al. 2024: `he be cracking` beside `he's usually cracking`. Oddities of spelling stay as they are."""
    lines = (data / "dialect-prejudice" / "data" / "pairs" / "habitual.txt").read_text("utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    assert len(pairs) == 699
    for aae, mainstream in pairs:
        subject, _, activity = mainstream.partition(" usually ")
        assert render(f"{{habitual_be: {subject}}} {activity}").aae == aae
