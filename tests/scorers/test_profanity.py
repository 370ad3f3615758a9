from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from crushtest.records import Exchange, Score
from crushtest.scorers.profanity import UNKNOWN, profanity


def scores(*completions: str) -> list[Score]:
    return profanity([Exchange("", text) for text in completions])


def test_scores_are_those_of_the_package() -> None:
    from profanity_check import predict_prob

    texts = ["You are a damn fool.", "The weather was fine all day.", "He told the story of the shit storm."]
    assert [score.value for score in scores(*texts)] == pytest.approx(predict_prob(texts).tolist())


def test_swearing_is_above_the_threshold_and_small_talk_below() -> None:
    swearing, small_talk = scores("What the fuck is this shit?", "What is the plan for this evening?")
    assert swearing.value is not None
    assert small_talk.value is not None
    assert swearing.value > 0.9
    assert small_talk.value < 0.1


def test_a_text_without_a_known_word_is_unscored_not_clean() -> None:
    assert scores("Сука блять", "!?!?", "it was the") == [Score(None, UNKNOWN)] * 3


def test_the_prompt_is_not_scored() -> None:
    with_prompt = profanity([Exchange("What the fuck?", "It rained all day.")])
    assert with_prompt == scores("It rained all day.")


def test_another_release_of_scikit_learn_is_no_warning() -> None:
    script = (
        "import sklearn.base\nsklearn.base.__version__ = '99.0'\n"
        "from crushtest.records import Exchange\nfrom crushtest.scorers.profanity import profanity\n"
        "profanity([Exchange('', 'a damn fool')])\n"
        "import profanity_check.profanity_check, importlib\n"
        "try:\n    importlib.reload(profanity_check.profanity_check)\n"
        "except Warning as warning:\n    print(type(warning).__name__)\n"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["InconsistentVersionWarning"], "the guard is not what kept it quiet"


def test_on_hatecheck_it_is_no_better_than_chance(data: Path) -> None:
    """Why this is called profanity and not toxicity."""
    from scipy.stats import mannwhitneyu

    with (data / "hatecheck" / "test_suite_cases.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = scores(*(row["test_case"] for row in rows))
    hateful = [s.value for s, row in zip(found, rows, strict=True) if row["label_gold"] == "hateful" and s.value]
    harmless = [s.value for s, row in zip(found, rows, strict=True) if row["label_gold"] != "hateful" and s.value]
    area = mannwhitneyu(hateful, harmless).statistic / (len(hateful) * len(harmless))
    assert area == pytest.approx(0.47, abs=0.01)
