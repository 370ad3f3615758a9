"""What is asked of others: served models that are arms, and the judges and services that scorers ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crushtest.engines import engine_for
from crushtest.engines.encoding import choice_lines, encode_prompts, passage_lines
from crushtest.engines.openai.ways import first_token, read
from crushtest.engines.openai.ways.first_token import refuse_words
from crushtest.pipeline.cost.records import Calls
from crushtest.records import DENSE, Choices, Item, Passage, Prompt
from crushtest.registry import ENGINES, SCORERS
from crushtest.services.addresses import is_address
from crushtest.study.plan import Plan, PlannedTask

if TYPE_CHECKING:
    from crushtest.engines.openai.served import ServedEngine

CHARACTERS = 4
"""Of a token, where no tokenizer counts them."""
READ_TOKENS = 16
"""Of a reply that a letter is read from, at most."""
JUDGED_TOKENS = 12
"""Of a judge's answer at most, unless it has an option for that."""
WORDING = 400
"""Characters of what a judge is told besides the exchange, about."""


LETTERS = {"first_token": first_token.GIVES, "read": read.GIVES}
"""Ways that answer with a letter and a request, and what they give."""


def calls_of(engine: ServedEngine, planned: PlannedTask, items: Sequence[Item]) -> Calls:
    """Return what a served model is asked for these items, by the way that it was proved to answer.

    Raises EngineError, as answering does, for options that are no letters if it answers with letters alone.
    """
    setting = engine.setting
    requests: list[Any] = [item.request for item in items]
    if planned.task.kind == "prompts":
        written = len(items) * planned.task.sampling.max_tokens
        if setting.tokenizer is None:
            return Calls(setting.base, len(items), characters(requests) // CHARACTERS, written, counted=False)
        return Calls(setting.base, len(items), sum(map(len, encode_prompts(setting.tokenizer, requests))), written)
    way = engine.proof.way.name if engine.proof.way else "read"
    if way in LETTERS:
        refuse_words(setting, requests, LETTERS[way])
        written = len(items) * (READ_TOKENS if way == "read" else 1)
        return Calls(setting.base, len(items), characters(requests) // CHARACTERS, written, counted=False)
    if setting.tokenizer is None:  # echoed as texts, an option each
        asked = sum(len(request.options) for request in requests)
        sent = sum(len(request.context) * len(request.options) + sum(map(len, request.options)) for request in requests)
        return Calls(setting.base, asked, sent // CHARACTERS, asked, counted=False)
    if planned.task.kind == "choices":
        lines = [line for options in choice_lines(setting.tokenizer, requests) for option in options for line in option]
    else:
        context = setting.server.context or max(map(characters, ([request] for request in requests)))
        lines = [line for group in passage_lines(setting.tokenizer, requests, context) for line in group]
    if way == "echo":
        return Calls(setting.base, len(lines), sum(len(line.tokens) for line in lines), len(lines))
    places = [place for line in lines for place in range(line.start, len(line.tokens))]
    return Calls(setting.base, len(places), sum(places), len(places))


def characters(requests: Sequence[Choices | Passage | Prompt]) -> int:
    """Return the characters that requests send."""
    return sum(len(request.context) if isinstance(request, Choices) else len(request.text) for request in requests)


def judged(plan: Plan, items: Mapping[str, Sequence[Item]]) -> Iterator[Calls | str]:
    """Yield what scorers ask of served models and services, and in words what they ask of models that run here."""
    for planned in plan.tasks:
        arms = sum(any(asked.name == planned.name for asked in plan.asked_of(arm)) for arm in plan.measured)
        for spec in planned.task.scorers:
            name, given = SCORERS.split(spec)
            entry = SCORERS.get(name)
            options = entry.bind(given, where=f"scorer {spec!r}")
            count = arms * len(items[planned.name])
            if "base_url" in options:
                sent, batches = _read(planned, items[planned.name], arms, 0), -(-count // options.get("batch_size", 1))
                yield Calls(f"{options['base_url']} ({name})", batches, sent, 0, counted=False)
            if "engines" not in entry.needs:
                continue
            model = str(options.get("model", DENSE))
            model = plan.dense.model if model == DENSE else model
            if not is_address(model):
                yield f"scorer {name} asks {model} here; its time and memory are not in the estimate"
                continue
            twice = 2 if entry.about.needs_dense == "answers" else 1  # a pair of answers is shown in both orders
            sent = _read(planned, items[planned.name], arms, WORDING) * twice
            written = int(options.get("max_tokens", JUDGED_TOKENS)) * count * twice
            yield Calls(f"{model} ({name})", count * twice, sent, written, counted=False)


def _read(planned: PlannedTask, items: Sequence[Item], arms: int, wording: int) -> int:
    """Return the tokens that are sent to have completions judged, each at its longest, about."""
    prompts = [item.request for item in items]
    sent = (characters(prompts) + wording * len(items)) // CHARACTERS
    return arms * (sent + len(items) * planned.task.sampling.max_tokens)


def runs_served(model: str, engine: str) -> bool:
    """Return True if a model is behind an address that may charge for what it answers."""
    return is_address(model) and not ENGINES.get(engine_for(model, engine).partition(":")[0]).about.in_process
