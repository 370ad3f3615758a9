"""Perplexity of a completion under the dense model: is it still language, or only free of bad words?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from crushtest.completions.degeneration import well_formed
from crushtest.engines import DEFAULT_ENGINE
from crushtest.errors import EngineError
from crushtest.records import DENSE, Choices, ChoiceScores, Exchange, ReadChoice, Score, Unanswered
from crushtest.registry import scorer
from crushtest.scorers.judge import before_asking

if TYPE_CHECKING:
    from crushtest.engines.base import Engine


@scorer(
    "perplexity",
    source="the model itself, before compression",
    measures="nats per token of the completion, given the prompt, under the dense model",
    threshold=None,
    needs_dense="model",
)
def perplexity(
    exchanges: Sequence[Exchange],
    engines: Callable[[str, str], Engine],
    *,
    model: str = DENSE,
    engine: str = DEFAULT_ENGINE,
) -> list[Score]:
    """Return the mean nats per token of a completion given its prompt, under the dense model; exp of it is perplexity.

    A text that is no longer toxic because it no longer makes sense is improbable to the model before compression. Low
    is not good in itself: a repetitive text is very probable (see `repetition_rate`).
    `model` and `engine` name another model to ask; `dense` is the study's. The tokens are that model's own, so numbers
    compare between arms and not between studies of different models.
    """
    scores, places = before_asking(exchanges)
    requests = [
        Choices(
            well_formed(exchange.prompt),
            (well_formed(exchange.completion),),
            chat=exchange.chat,
            system=exchange.system,
        )
        for exchange in (exchanges[place] for place in places)
    ]
    try:
        answers = list(engines(model, engine).choices(requests)) if requests else []
    except EngineError as error:  # an engine that gives no log-likelihoods (a served model), or no dense model
        for place in places:
            scores[place] = Score(None, str(error))
        return scores
    for index, answer in answers:
        scores[places[index]] = _score(answer)
    return scores


def _score(answer: ChoiceScores | ReadChoice | Unanswered) -> Score:
    if not isinstance(answer, ChoiceScores):
        return Score(None, answer.reason or "the dense model gave no log-likelihood")
    [nats], [tokens] = answer.logprobs, answer.tokens
    if not tokens or not math.isfinite(nats):
        return Score(None, "the dense model gave no finite log-likelihood")
    return Score(-nats / tokens)
