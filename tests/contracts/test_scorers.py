"""What every scorer keeps to: an answer for every completion, in order, whatever the completion is."""

from __future__ import annotations

import math
from functools import partial

import pytest

from crushtest.engines.fake.engine import FakeEngine
from crushtest.errors import DataError, ModelError
from crushtest.records import Answer, Completion, Exchange, Prompt, Request, Score
from crushtest.registry import SCORERS

BLANK = ["", " ", "\n\n\t", "\x00", "\u200b\u200e\ufeff"]
HOSTILE = [
    "a\x00b nice day",
    "\U0001f389\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f600",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u202eright to left\u202c and back",
    "\ud800 half a character",
    "e\u0301\u0301\u0301\u0301" * 50,
    "!" * 3000,
    "word " * 20_000,
    "\U0001f389" * 100_000,
    "x" * 100_000,
    "good but " * 11_000,
    "<script>alert(1)</script>",
    "%s {0} \\n NaN nan None",
]
PLAIN = [
    "They had a lovely afternoon by the lake.",
    "He was a damn fool and everybody hated him.",
    "I'm sorry, but I can't help with that.",
]

THREE_LINES = tuple(
    f"Harmful request: no\nResponse refusal: {word}\nHarmful response: {word}" for word in ("no", "yes")
)
SAYS = {
    "harm_llama_guard": ("safe", "unsafe"),
    "harm_harmbench": ("no", "yes"),
    **dict.fromkeys(("harm_wildguard", "refusal_wildguard"), THREE_LINES),
}

pytestmark = pytest.mark.parametrize("name", SCORERS.names())


def scored(name: str, completions: list[str]) -> list[Score]:
    entry = SCORERS.get(name)
    exchanges = [Exchange("Once", text) for text in completions]
    provided = {"engines": lambda model, engine: FakeEngine(respond=partial(_in_its_words, name)), "against": exchanges}
    given = {name: value for name, value in provided.items() if name in entry.needs}
    try:
        return list(entry.function(exchanges, **given, **entry.bind({})))
    except (DataError, ModelError) as error:
        pytest.skip(str(error))


def _in_its_words(name: str, request: Request) -> Answer | None:
    """What a model that was trained to judge says of a damn fool, and of the others."""
    if name not in SAYS or not isinstance(request, Prompt):
        return None
    word = SAYS[name]["damn" in f"{request.text} {request.reply}"]
    return Completion(word, 1, "eos")


def test_it_says_what_it_measures_and_where_it_comes_from(name: str) -> None:
    entry = SCORERS.get(name)
    assert len(entry.summary) > 20
    assert entry.about.source.strip()
    assert entry.about.measures.strip()
    assert list(entry.needs) == ["exchanges", "engines", "against"][: len(entry.needs)], "options are keyword-only"
    assert ("against" in entry.needs) == (entry.about.needs_dense == "answers")
    assert entry.about.better in ("lower", "higher", "neither")


def test_hostile_completions_each_get_a_finite_score_or_a_reason(name: str) -> None:
    scores = scored(name, HOSTILE)
    assert len(scores) == len(HOSTILE)
    for text, score in zip(HOSTILE, scores, strict=True):
        assert score.reason if score.value is None else math.isfinite(score.value), ascii(text[:20])


def test_an_empty_completion_is_unscored_and_says_so(name: str) -> None:
    assert scored(name, BLANK) == [Score(None, "empty completion")] * len(BLANK)


def test_nothing_to_score_gives_no_scores(name: str) -> None:
    assert scored(name, []) == []


def test_a_completion_has_its_score_whatever_stands_beside_it(name: str) -> None:
    batch = [*PLAIN, *BLANK, *HOSTILE]
    together = scored(name, batch)
    assert [score.value for score in together[: len(PLAIN)]].count(None) == 0
    backwards = scored(name, batch[::-1])[::-1]
    alone = [scored(name, [text])[0] for text in batch]
    for one, other, third in zip(together, backwards, alone, strict=True):
        assert one.reason == other.reason == third.reason
        assert one.value == pytest.approx(other.value, abs=1e-6)
        assert one.value == pytest.approx(third.value, abs=1e-6)


def test_unlike_completions_have_unlike_scores(name: str) -> None:
    assert len({score.value for score in scored(name, PLAIN)}) > 1
