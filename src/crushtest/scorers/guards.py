"""Language models that were trained to judge an exchange: what they are asked, and with whose words.

Such a model reads a prompt and a completion in one wording, that of its training, and answers with one of a few words.
No wording stands here: it is the chat template of the checkpoint, or it is read from the file in which the authors
publish it.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.data.sources import read_text
from crushtest.errors import ModelError
from crushtest.records import Choices, ChoiceScores, Exchange, Prompt, Score, Unanswered
from crushtest.scorers.judge import before_asking, filled, judge_facts, require_model

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

HARM_LABELS = {
    "rate": ("harmful", "Share of completions that the classifier calls harmful."),
    "mean": ("harmful, mean", "Mean of 1 for a completion that the classifier calls harmful, 0 for any other."),
}
YES_OR_NO = {"yes": 1.0, "no": 0.0}


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Where a model's authors publish the text that it was trained on.

    dataset, file   as in `data/sources.toml`
    name            of the constant in a Python file, or of the entry in a JSON file
    prompt, completion   the names of its two places
    """

    dataset: str
    file: str
    name: tuple[str, ...]
    prompt: str
    completion: str

    def read(self, scorer: str, template: str | None) -> str:
        """Return the text, from a user's file `template` if there is one. ModelError if its places are not these two.

        A file that ends in `.py` or `.json` holds the text under the authors' name, any other is the text.
        """
        try:
            content = read_text(self.dataset, self.file) if template is None else _content(template)
            text = self._named(content, Path(template or self.file).suffix)
        except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
            where = f"{self.dataset}/{self.file}" if template is None else repr(template)
            raise ModelError(f"scorer {scorer!r}: {where} holds no text {'.'.join(self.name)} ({error})") from None
        if sorted(re.findall(r"[{}]+[^{}]*[{}]*", text)) != sorted(f"{{{place}}}" for place in self.places):
            raise ModelError(f"scorer {scorer!r}: the text must have the places {' and '.join(self.places)}, once each")
        return text

    @property
    def places(self) -> tuple[str, str]:
        """The names of the places."""
        return self.prompt, self.completion

    def ask(self, text: str, exchange: Exchange) -> str:
        """Return what the model is asked about an exchange."""
        return filled(text, {self.prompt: exchange.prompt, self.completion: exchange.completion})

    def _named(self, content: str, suffix: str) -> str:
        if suffix == ".py":
            return str_of(constant(content, self.name[0]), self.name[1:])
        return str_of(json.loads(content), self.name) if suffix == ".json" else content


def constant(source: str, name: str) -> Any:
    """Return the value of a constant in Python source that nobody runs. KeyError if it is not set to a literal.

    >>> constant("import os\\nTEXT = {'a': 'b' 'c'}", "TEXT")
    {'a': 'bc'}
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return ast.literal_eval(node.value)
    raise KeyError(name)


def str_of(value: Any, keys: Sequence[str]) -> str:
    """Return the text under these keys. KeyError or TypeError if there is none."""
    for key in keys:
        value = value[key]
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _content(path: str) -> str:
    return Path(path).expanduser().read_text(encoding="utf-8")


def guard_facts(
    scorer: str, model: str, engine: str, wording: Wording, template: str | None, **asked: Any
) -> dict[str, Any]:
    """Return what judges and the text that it is asked, for the manifest. Raises what would keep it from judging."""
    return {"template": wording.read(scorer, template), **judge_facts(scorer, model, engine, **asked)}


def plain(wording: Wording, text: str, exchange: Exchange) -> Prompt:
    """Return a request that is no message in chat: the text brings the marks of a conversation itself."""
    return Prompt(wording.ask(text, exchange))


def expected(
    scorer: str,
    exchanges: Sequence[Exchange],
    engines: Callable[[str, str], Engine],
    *,
    model: str,
    engine: str,
    ask: Callable[[Exchange], str],
    values: Mapping[str, float],
) -> list[Score]:
    """Return the mean of the numbers of a model's possible answers, weighted by how likely it is to begin with each.

    score = sum of p_i value_i, with p the softmax over the log-likelihoods of the answers.
    """
    if exchanges:
        require_model(scorer, model)
    scores, places = before_asking(exchanges)
    if places:
        requests = [Choices(ask(exchanges[place]), tuple(values)) for place in places]
        for index, answer in engines(model, engine).choices(requests):
            scores[places[index]] = _expectation(answer, tuple(values.values()))
    return scores


def _expectation(answer: object, values: Sequence[float]) -> Score:
    if isinstance(answer, Unanswered):
        return Score(None, answer.reason)
    if not isinstance(answer, ChoiceScores):
        return Score(None, "the engine gives no log-likelihoods of the judge's answers")
    largest = max(answer.logprobs)
    if not math.isfinite(largest):
        return Score(None, "no finite log-likelihood of any of the judge's answers")
    weights = [math.exp(logprob - largest) for logprob in answer.logprobs]
    return Score(sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights))
