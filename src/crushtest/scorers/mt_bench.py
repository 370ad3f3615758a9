"""MT-Bench's judges: a language model rates an answer, or says which of two is better (Zheng et al. 2023)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from crushtest.data.sources import read_text
from crushtest.degeneration import EMPTY, is_empty, well_formed
from crushtest.engines import DEFAULT_ENGINE
from crushtest.files.json_lines import parse_lines
from crushtest.printing import quoted
from crushtest.records import Exchange, Prompt, Sampling, Score, Unanswered
from crushtest.registry import scorer
from crushtest.scorers.judge import LONGEST_KEPT, NO_VERDICT, judge_facts, require_model
from crushtest.thinking import after_thinking

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

Engines = Callable[[str, str], "Engine"]

QUOTED = "[\"'”’`]"
"""What follows the brackets where a judge repeats how it was told to answer: `"[[A]]" if assistant A is better`."""
RATING = re.compile(rf"\[\[(\d{{1,3}}(?:\.\d{{1,9}})?)\]\](?!{QUOTED})")
RATING_IN_SINGLE_BRACKETS = re.compile(
    rf"\brating\W{{1,6}}(?<!\[)\[(\d{{1,3}}(?:\.\d{{1,9}})?)\](?!\]|{QUOTED})", re.IGNORECASE
)
PREFERENCE = re.compile(rf"\[\[([ABC])\]\](?!{QUOTED})")
SOURCE = "arXiv:2306.05685; github lm-sys/FastChat, fastchat/llm_judge"


class Question(NamedTuple):
    """A question of two turns, with the reference answers if it has any."""

    category: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] | None


def _facts(*, model: str, engine: str, max_tokens: int) -> dict[str, Any]:
    return {"prompts": "judge_prompts.jsonl, checked by sha256", **judge_facts("mt_bench", model, engine)}


@scorer(
    "mt_bench",
    source=SOURCE,
    measures="a judge's rating of the answer, 1 to 10",
    better="higher",
    threshold=None,
    facts=_facts,
)
def mt_bench(
    exchanges: Sequence[Exchange],
    engines: Engines,
    *,
    model: str = "",
    engine: str = DEFAULT_ENGINE,
    max_tokens: int = 2048,
) -> list[Score]:
    """Return another model's rating of an answer, 1 to 10, with the prompts of MT-Bench's single-answer grading.

    The judge answers greedily, in its chat template. As in the authors' code, math, reasoning and coding come with a
    reference answer, and a rating in single brackets counts if there is none in double brackets. Without either, the
    exchange is unscored.
    Deviations: the authors' system prompt stands at the beginning of the user's message, since not every chat template
    accepts one. Single brackets count after the word `rating` alone, and of several ratings none does, where the
    authors take the first.
    """
    if exchanges:
        require_model("mt_bench", model)
    prompts = {
        place: _single(exchange) for place, exchange in enumerate(exchanges) if not is_empty(exchange.completion)
    }
    judgements = _ask(engines(model, engine), list(prompts.values()), max_tokens) if prompts else []
    scores = [Score(None, EMPTY)] * len(exchanges)
    for place, text in zip(prompts, judgements, strict=True):
        scores[place] = rating(text)
    return scores


@scorer(
    "mt_bench_pair",
    source=SOURCE,
    measures="1 where a judge prefers the answer to the dense model's, in both orders; 0 where the other; 0.5 a tie",
    better="higher",
    threshold=None,
    needs_dense="answers",
    facts=_facts,
)
def mt_bench_pair(
    exchanges: Sequence[Exchange],
    engines: Engines,
    against: Sequence[Exchange],
    *,
    model: str = "",
    engine: str = DEFAULT_ENGINE,
    max_tokens: int = 2048,
) -> list[Score]:
    """Return which answer a judge prefers, the arm's or dense's, with the prompts of MT-Bench's pairwise comparison.

    The judge answers twice, with the answers swapped. As in the authors' count, a side wins only if it wins in both
    orders; everything else is a tie. Equal answers are a tie without a request. A judgement without a verdict in
    double brackets, or with several, leaves the exchange unscored.
    """
    if exchanges:
        require_model("mt_bench_pair", model)
    open_places = [place for place, pair in enumerate(zip(exchanges, against, strict=True)) if pair[0] != pair[1]]
    prompts = [
        text
        for place in open_places
        for text in (_pair(exchanges[place], against[place]), _pair(against[place], exchanges[place]))
    ]
    judgements = _ask(engines(model, engine), prompts, max_tokens) if prompts else []
    scores = [Score(0.5)] * len(exchanges)
    for number, place in enumerate(open_places):
        scores[place] = winner(judgements[2 * number], judgements[2 * number + 1])
    return scores


def rating(text: str) -> Score:
    """Return the one number in double brackets, or else the one in `Rating: [...]`, if it is from 1 to 10.

    >>> rating("Good. Rating: [[7]]").value, rating("Rating: [3]").value, rating("In step [2] it errs. Rating: 8").value
    (7.0, 3.0, None)
    """
    ratings = set(map(float, RATING.findall(text) or RATING_IN_SINGLE_BRACKETS.findall(text)))
    if len(ratings) != 1 or not 1 <= max(ratings) <= 10:
        return Score(None, f"the judge's answer has no rating: {_kept(text)}")
    return Score(ratings.pop())


def _kept(text: str) -> str:
    """Return the end of a judgement, where its verdict would stand."""
    return quoted(text[-LONGEST_KEPT:], LONGEST_KEPT)


def winner(arm_first: str, dense_first: str) -> Score:
    """Return 1, 0 or 0.5 from two judgements: one with the arm's answer as A, one with it as B.

    >>> winner("[[A]]", "[[B]]").value, winner("[[A]]", "[[A]]").value, winner("[[B]]", "[[A]]").value
    (1.0, 0.5, 0.0)
    """
    preferred = []
    for text in (arm_first, dense_first):
        letters = set(PREFERENCE.findall(text))
        if len(letters) != 1:
            return Score(None, f"{NO_VERDICT}: {_kept(text)}")
        preferred.append(letters.pop())
    return Score({("A", "B"): 1.0, ("B", "A"): 0.0}.get((preferred[0], preferred[1]), 0.5))


def _ask(engine: Engine, texts: Sequence[str], max_tokens: int) -> list[str]:
    requests = [Prompt(text, chat=True) for text in texts]
    answers = dict(engine.generate(requests, Sampling(max_tokens=max_tokens)))
    # A judge that gives no answer gives no verdict either.
    return [
        "" if isinstance(answer := answers[place], Unanswered) else after_thinking(answer.text)
        for place in range(len(texts))
    ]


# ---- the authors' prompts --------------------------------------------------------------------------


@cache
def questions() -> Mapping[str, Question]:
    """Return first turn -> question."""
    references = {
        row["question_id"]: tuple(row["choices"][0]["turns"])
        for row in parse_lines(read_text("mt_bench", "gpt-4.jsonl"), "gpt-4.jsonl")
    }
    rows = parse_lines(read_text("mt_bench", "question.jsonl"), "question.jsonl")
    return {
        row["turns"][0]: Question(row["category"], tuple(row["turns"]), references.get(row["question_id"]))
        for row in rows
    }


@cache
def _wordings() -> Mapping[str, str]:
    rows = parse_lines(read_text("mt_bench", "judge_prompts.jsonl"), "judge_prompts.jsonl")
    return {row["name"]: f"{row['system_prompt'].strip()}\n\n{row['prompt_template'].strip()}" for row in rows}


def _single(exchange: Exchange) -> str:
    turns = _turns(exchange)
    texts = {f"answer_{number}": answer for number, (_, answer) in enumerate(turns, start=1)}
    return _filled("single", turns, {**texts, "answer": turns[-1][1]})


def _pair(first: Exchange, second: Exchange) -> str:
    sides = {"a": _turns(first), "b": _turns(second)}
    texts = {f"answer_{side}": turns[-1][1] for side, turns in sides.items()}
    for side, turns in sides.items():
        texts |= {f"answer_{side}_{number}": answer for number, (_, answer) in enumerate(turns, start=1)}
    return _filled("pair", sides["a"], texts)


def _turns(exchange: Exchange) -> list[tuple[str, str]]:
    return [*exchange.history, (exchange.prompt, exchange.completion)]


def _filled(kind: Literal["single", "pair"], turns: Sequence[tuple[str, str]], answers: Mapping[str, str]) -> str:
    """Return the authors' wording for this question and turn, with the places `{...}` filled in one pass."""
    question = questions().get(turns[0][0])
    reference = question.reference if question else None
    name = (f"{kind}-math-v1" if reference else "single-v1" if kind == "single" else "pair-v2") + (
        "-multi-turn" if len(turns) > 1 else ""
    )
    texts = {"question": turns[-1][0], **answers}
    texts |= {f"question_{number}": text for number, (text, _) in enumerate(turns, start=1)}
    texts |= {f"ref_answer_{number}": answer for number, answer in enumerate(reference or (), start=1)}
    return re.sub(r"\{(\w+)\}", lambda match: well_formed(texts.get(match[1], match[0])), _wordings()[name])
