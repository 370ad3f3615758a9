"""Tasks of requests to a chat model: each should be refused or answered, and a detector says which it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple

from annotated_types import Ge

from crushtest.errors import UsageError
from crushtest.metrics import everywhere
from crushtest.records import Item, Prompt, Sampling
from crushtest.registry import SCORERS
from crushtest.tasks.base import Task
from crushtest.tasks.sampling import stratified_indexes
from crushtest.tasks.shared.coherence_metrics import completion_perplexity
from crushtest.tasks.shared.completions import FLUENCY, scorer_metrics
from crushtest.tasks.shared.refusal_metrics import ANSWER, REFUSE, refusal_metrics, should_be
from crushtest.tasks.shared.refusal_outcomes import outcome

DETECTORS = ("refusal_phrases",)
"""The scorers of a task of requests unless others are named."""

REFUSAL_TOKENS, HARM_TOKENS = 64, 256
"""Tokens of a completion: a refusal shows in its first sentences, harm only in a longer answer."""


MaxTokens = Annotated[int, Ge(1)]

Template = Literal["required", "optional"]
"""Whether a model without a chat template is refused before any work, or asked in plain text."""

ELSE = "test a chat model (its tokenizer has the template), or ask in plain text: `{task}: {{template: optional}}`"


class Detectors(NamedTuple):
    """A task's scorers: the detector that gives the outcomes, and the others."""

    first: str
    others: tuple[str, ...]

    @classmethod
    def of(cls, task: str, scorers: Sequence[str]) -> Detectors:
        """Sort scorers. Raises UsageError if none of them detects refusals."""
        detecting = [spec for spec in scorers if _detects(task, spec)]
        if not detecting:
            known = ", ".join(entry.name for entry in SCORERS if entry.about.detects == "refusal")
            raise UsageError(
                f"task {task!r}: scorers must hold one that detects refusals: {known} (got {list(scorers)})"
            )
        return cls(detecting[0], tuple(spec for spec in scorers if spec != detecting[0]))


def refusal_task(
    name: str,
    requests: Callable[[], Sequence[Item]],
    scorers: Sequence[str],
    max_tokens: int | None,
    template: Template,
    *,
    sides: tuple[str, ...] = (REFUSE, ANSWER),
    mixed: bool = True,
    also: tuple[str, ...] = (FLUENCY,),
    short: int = REFUSAL_TOKENS,
) -> Task:
    """Return a task of requests (`request`), asked in the model's chat template and answered greedily.

    The first scorer that detects refusals gives the outcomes, and `refusal_metrics` count them. The other scorers get
    what `completion_task` reports of them, those that detect harm on the requests to refuse alone, if there are any.
    `max_tokens` None means `short`, or 256 if a scorer does not detect refusals, because harm takes longer to show. A
    study's limit draws evenly over groups and, within them, over both kinds of request.

    sides, mixed   as in `refusal_metrics`
    also           scorers that read the completions whoever else does
    short          tokens of a completion that is read for refusal alone

    Raises UsageError if no scorer detects refusals.
    """
    detectors = Detectors.of(name, scorers)
    read_by = (*scorers, *(spec for spec in also if spec not in scorers))
    if max_tokens is None:
        max_tokens = short if all(spec == FLUENCY or _detects(name, spec) for spec in scorers) else HARM_TOKENS
    return Task(
        "prompts",
        requests,
        (
            *refusal_metrics(detectors.first, sides=sides, mixed=mixed),
            *scorer_metrics(name, detectors.others, harm_counts if REFUSE in sides else lambda scorer: everywhere),
            *([completion_perplexity()] if FLUENCY in read_by else []),
        ),
        scorers=read_by,
        sampling=Sampling(max_tokens=max_tokens),
        also_headline=(*(["over_refusal_rate"] if set(sides) == {REFUSE, ANSWER} else []), "incoherent_rate"),
        draw=lambda limit, seed: draw(requests(), limit, seed),
        needs_chat=ELSE.format(task=name) if template == "required" else None,
        outcome=lambda item, answer, scores: outcome(_prompt(item), answer, scores[detectors.first]),
    )


def request(name: str, text: str, should: str, *, groups: Sequence[str], cluster: str) -> Item:
    """Return the item of a request that should be refused (`refuse`) or answered (`answer`)."""
    return Item(name, tuple(groups), cluster, Prompt(text, chat=True), facts={"should": should})


def harm_counts(scorer: str) -> Callable[[Item], bool]:
    """Return on which requests a scorer's number counts: a scorer that detects harm, on those to refuse."""
    return should_be(REFUSE) if SCORERS.get(scorer).about.detects == "harm" else everywhere


def draw(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """Return about `limit` requests, evenly over groups and over what they should get."""
    if limit >= len(items):
        return list(items)
    strata = ((*item.groups, f"should={item.facts['should']}") for item in items)
    return [items[index] for index in stratified_indexes(strata, limit, seed)]


def _prompt(item: Item) -> str:
    assert isinstance(item.request, Prompt)
    return item.request.text


def _detects(task: str, spec: str) -> bool:
    name, options = SCORERS.split(spec)
    entry = SCORERS.get(name, where=f"task {task!r}")
    entry.bind(options, where=f"task {task!r}: scorer {spec!r}")
    return entry.about.detects == "refusal"
