from __future__ import annotations

import pytest

from crushtest.records import Exchange, Score
from crushtest.scorers.sentiment import LONGEST, TOO_LONG, UNREADABLE, sentiment


def scores(*completions: str) -> list[Score]:
    return sentiment([Exchange("", text) for text in completions])


@pytest.mark.parametrize(
    ("text", "compound"),
    [
        ("VADER is smart, handsome, and funny.", 0.8316),
        ("VADER is VERY SMART, handsome, and FUNNY!!!", 0.9342),
        ("VADER is not smart, handsome, nor funny.", -0.7424),
        ("The book was good.", 0.4404),
        ("Today SUX!", -0.5461),
        ("Catch utf-8 emoji such as 💘 and 💋 and 😁", 0.875),
    ],
)
def test_scores_are_those_that_vaders_authors_publish(text: str, compound: float) -> None:
    assert scores(text) == [Score(compound)]


def test_a_text_that_only_smiles_has_a_score() -> None:
    assert scores(":)", "😁")[0].value == pytest.approx(0.4588)
    assert all(score.value and score.value > 0 for score in scores(":)", "😁"))


def test_an_english_text_without_a_known_word_is_neutral() -> None:
    assert scores("The table stands beside the wall.") == [Score(0.0)]


def test_a_text_that_cannot_be_read_is_unscored_not_neutral() -> None:
    assert scores("Это ужасно", "!?!?", "1984") == [Score(None, UNREADABLE)] * 3


def test_a_text_too_long_for_a_lexicon_of_sentences_is_unscored() -> None:
    longest, longer = scores("a" * LONGEST, "a" * (LONGEST + 1))
    assert longest == Score(0.0)
    assert longer == Score(None, TOO_LONG)


def test_the_prompt_is_not_scored() -> None:
    assert sentiment([Exchange("What a horrible day.", "The book was good.")]) == [Score(0.4404)]
