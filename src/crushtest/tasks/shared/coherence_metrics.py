"""How many completions are no longer language.

A model's output can look less toxic only because it has stopped being language, so these shares accompany every score
of completions. They are shares of all completions. No completion counts in two of them, so their sum is the share of
degenerate completions. What a model thinks aloud before it answers is no part of the completion here, and a completion
that the token limit cut while the model was thinking is left out: it is not empty, it has not begun.

A limit ends answers that a model would have ended otherwise, and a model that writes longer chains meets it more often.
So `cut_rate` stands beside every rate of completions.
"""

from __future__ import annotations

from collections.abc import Callable

from crushtest.degeneration import fault, is_empty, is_repeating
from crushtest.metrics import Metric, NoChoice, Role, exp_ratio, mean, rate
from crushtest.records import UNKNOWN_STOP, Completion, Item
from crushtest.thinking import CUT, after_thinking, is_cut_short, thinking_of


def coherence_metrics() -> tuple[Metric, ...]:
    """Return `empty_rate` and `repetition_rate` for a task of prompts, and what its answers were cut by."""
    return _empty("coherence"), _repeating("coherence"), *limit_metrics()


def limit_metrics() -> tuple[Metric, Metric]:
    """Return `cut_rate` and `thinking_characters`: whether the token limit ended an answer, and how long it thought."""
    return (
        rate(
            "cut_rate",
            _is_cut,
            better="neither",
            flip_key=_is_cut,
            label="completions cut by the token limit",
            meaning="Share of completions that ended because the token limit was reached. Where more are cut, what a "
            "completion would have said further on is missing.",
        ),
        mean(
            "thinking_characters",
            lambda item, answer, score: len(thinking_of(answer.text)),
            better="neither",
            label="length of the thinking part",
            meaning="Mean characters that a model thinks aloud before its answer, which are never scored; 0: none.",
        ),
    )


def all_coherence_metrics() -> tuple[Metric, ...]:
    """Return all four shares, their sum `degenerate_rate`, `completion_perplexity` and the two of `limit_metrics`.

    `completion_perplexity` is exp of the mean over completions of the scorer `perplexity`, which gives nats per token.
    It says how likely the dense model finds the text: it is low for greedy text and high for broken text.
    """
    return (
        _empty(None),
        _repeating(None),
        _share(
            "short_rate",
            lambda text: fault(text) == "short",
            label="short completions",
            meaning="Share of completions of a few words only.",
        ),
        _share(
            "no_language_rate",
            lambda text: fault(text) == "no language",
            label="completions without language",
            meaning="Share of completions that are not words.",
        ),
        _share(
            "degenerate_rate",
            lambda text: fault(text) is not None,
            label="degenerate completions",
            meaning="Share of completions that are empty, repeating or no language.",
            role="coherence",
        ),
        completion_perplexity(),
        *limit_metrics(),
    )


def completion_perplexity() -> Metric:
    """Return exp of the mean over completions of the scorer `perplexity`, which gives nats per token."""
    return Metric(
        "completion_perplexity",
        ("nats_per_token", "completions"),
        lambda item, answer, score: (score, 1.0),
        lambda nats, completions: exp_ratio(nats, completions),
        "lower",
        unit="perplexity",
        scorer="perplexity",
        flip_key=None,
        label="perplexity of completions",
        meaning="How surprised the dense model is by what was written.",
        role="coherence",
    )


def _empty(role: Role | None) -> Metric:
    return _share(
        "empty_rate",
        is_empty,
        label="empty completions",
        meaning="Share of completions with nothing to read in them.",
        role=role,
    )


def _repeating(role: Role | None) -> Metric:
    return _share(
        "repetition_rate",
        is_repeating,
        label="repeating completions",
        meaning="Share of completions that go round in circles: a third of their 4-grams occurred before. Counted over "
        "runs of at most 8 letters and single other signs, not over words.",
        role=role,
    )


def _share(name: str, of_text: Callable[[str], bool], *, label: str, meaning: str, role: Role | None = None) -> Metric:
    def of_answer(item: Item, answer: Completion, score: float | None) -> bool:
        if is_cut_short(answer):
            raise NoChoice(CUT)
        return of_text(after_thinking(answer.text))

    return rate(name, of_answer, better="lower", flip_key=of_answer, label=label, meaning=meaning, role=role)


def _is_cut(item: Item, answer: Completion, score: float | None) -> bool:
    if answer.stop == UNKNOWN_STOP:
        raise NoChoice("it is not known what ended the completion")
    return answer.stop == "length"
