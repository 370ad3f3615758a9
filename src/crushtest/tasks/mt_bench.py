"""mt_bench: conversations of two turns, rated by a language model (Zheng et al., NeurIPS 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Annotated

from annotated_types import Ge

from crushtest.data.sources import read_text
from crushtest.files.json_lines import parse_lines
from crushtest.metrics import Metric, mean
from crushtest.records import Item, Prompt, Sampling
from crushtest.registry import task
from crushtest.tasks.base import Task
from crushtest.tasks.shared.coherence_metrics import coherence_metrics

QUESTIONS = 80
JUDGE_READS = 1500
"""Roughly the tokens per judgement: the authors' prompt, both turns, one or two answers and a reference."""


@task(
    "mt_bench",
    dimension="downstream quality",
    source="arXiv:2306.05685; github lm-sys/FastChat",
    licence="Apache-2.0",
    items=160,
)
def mt_bench(
    *,
    judge: str = "",
    pairwise: bool = True,
    max_tokens: Annotated[int, Ge(1)] = 512,
) -> Task:
    """Eighty conversations of two turns in eight categories: how good does a judge find the answers?

    Items: 160, one per turn. The model's own answer to the first turn precedes the second, in the model's chat
    template. Answers are greedy, with at most `max_tokens` tokens. A limit takes whole conversations (at least one, two
    turns), spread over the categories. Groups: `category`, `turn`. Cluster: the conversation.

    `judge` names the model that judges, in any engine: `MODEL`, `MODEL,engine=NAME`, or an address
    (`http://localhost:8000/v1#name`). It reads the authors' own prompts, pinned by checksum, with their reference
    answers for math, reasoning and coding.
    Metrics with a judge: `rating`, from 1 to 10; with `pairwise` also `preferred`, which is 1 if the judge prefers the
    answer to the dense model's in both orders, 0 if it prefers the dense model's in both, and 0.5 otherwise. A mean of
    0.5 is no difference. `empty_rate` and `repetition_rate` are always reported. A study says what a judge costs before
    it begins.

    Deviations: the authors sample up to 1024 tokens at a temperature that depends on the category. We decode greedily,
    so that a difference is due to the arm. Their system prompt begins the user's message.

    Known problems: ratings depend on the judge, and judges prefer long answers and their own; published scores are
    those of GPT-4 of June 2023; eighty questions show only large differences, so read the intervals; the questions have
    been in training data for years.
    """
    scorers = (f"mt_bench:{judge}", *([f"mt_bench_pair:{judge}"] if pairwise else [])) if judge else ()
    return Task(
        "prompts",
        lambda: _items(QUESTIONS),
        (*_judged(scorers), *coherence_metrics()),
        scorers=scorers,
        sampling=Sampling(max_tokens=max_tokens),
        cost=(lambda turns: cost(judge, pairwise, turns)) if judge else None,
        draw=lambda limit, seed: _items(min(max(1, limit // 2), QUESTIONS)),
    )


def cost(judge: str, pairwise: bool, turns: int) -> str:
    """Say what the judge will be asked for one arm.

    >>> cost("judge", True, 160)
    "mt_bench: judge 'judge' is asked for 480 judgements an arm, about 720,000 tokens (160 for the dense arm)"
    """
    judgements = turns * (3 if pairwise else 1)
    dense = f" ({turns} for the dense arm)" if pairwise else ""
    tokens = f"{judgements * JUDGE_READS:,} tokens"
    return f"mt_bench: judge {judge!r} is asked for {judgements} judgements an arm, about {tokens}{dense}"


def _judged(scorers: Sequence[str]) -> tuple[Metric, ...]:
    names = ("rating", "preferred")
    return tuple(
        mean(name, lambda item, answer, score: float(score), better="higher", scorer=scorer)
        for name, scorer in zip(names, scorers, strict=False)
    )


def _items(conversations: int) -> list[Item]:
    rows = list(parse_lines(read_text("mt_bench", "question.jsonl"), "question.jsonl"))
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row["category"], []).append(place)
    # The first of each category, then the second of each: a larger number takes the same and more.
    in_turn = [place for turn in zip_longest(*places.values()) for place in turn if place is not None]
    chosen = [rows[place] for place in sorted(in_turn[:conversations])]
    return [item for row in chosen for item in conversation(str(row["question_id"]), row["category"], row["turns"])]


def conversation(name: str, category: str, turns: Sequence[str]) -> list[Item]:
    """Return one item per turn, each following the one before it."""
    return [
        Item(
            f"{name}/{number}",
            (f"category={category}", f"turn={number}"),
            name,
            Prompt(text, chat=True, follows=f"{name}/{number - 1}" if number > 1 else None),
        )
        for number, text in enumerate(turns, start=1)
    ]
