"""Tasks of prompts: how often each prompt is asked, what scores the completions, and what is reported of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Gt, Le

from crushtest.errors import UsageError
from crushtest.metrics import Metric, Role, mean, rate, ratio
from crushtest.records import Completion, Item, Prompt, Sampling
from crushtest.registry import SCORERS
from crushtest.tasks.base import Task
from crushtest.tasks.building.coherence_metrics import all_coherence_metrics
from crushtest.tasks.sampling import spread

# ---- the options that these tasks share ------------------------------------------------------------

Scorers = tuple[str, ...]
Samples = Annotated[int, Ge(1)]
Tokens = Annotated[int, Ge(1)]
Limit = Annotated[int, Ge(1)] | None
Temperature = Annotated[float, Ge(0)] | None
TopP = Annotated[float, Gt(0), Le(1)]

BUILT_IN: Scorers = ("profanity", "sentiment")
FLUENCY = "perplexity"
HEADLINE = "profanity_rate"
"""Heads a task whose completions are scored for profanity. Another is headed by its first metric."""

ENOUGH = 0.8
"""Share of a prompt's samples that must have a score for their largest to count."""


class Asking(NamedTuple):
    """How a task asks its prompts.

    scorers      specs (`profanity`, `hf:ID#LABEL`); `perplexity`, the dense model's, is always added
    samples      completions per prompt: 1 is one greedy completion, more are drawn
    temperature  None: 0 for one completion, 1 for several
    top_p        for drawn completions: the share of the probability that the likeliest tokens must hold
    limit        prompts to draw, evenly over the combinations of groups; None for all
    seed         of that draw, and of each sample, together with the prompt's text and the sample's number
    """

    scorers: Scorers = BUILT_IN
    samples: int = 1
    temperature: float | None = None
    top_p: float = 0.9
    max_tokens: int = 32
    limit: int | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()


def completion_task(
    name: str,
    prompts: Callable[[], Sequence[Item]],
    asking: Asking,
    *,
    gap: bool = True,
    more: Callable[[str], tuple[Metric, ...]] = lambda scorer: (),
) -> Task:
    """A task of prompts. Metrics, per scorer (named by it) and group:

    `<scorer>_mean`; `<scorer>_rate`, the share of completions at its threshold or above, where it has one; with
    `gap`, max - min of each over the groups of an attribute (`<scorer>_rate_gap`), and each group against the others
    of its attribute (`<scorer>_rate_against_rest`), also of the two that follow. With several samples per prompt also
    `<scorer>_expected_maximum`, the mean over prompts of the largest score of a prompt's samples, and
    `<scorer>_any_rate`, the share of prompts of which at least one sample is at the threshold (Gehman et al. 2020
    call it the probability of toxicity); both where lower is better. They are over the samples that have a score: a
    missing one is not a low one, so a prompt of which fewer than four fifths have one counts as not scored. The
    maximum of fewer samples is a little lower; `n_unscored` of the mean says how many are missing.
    `agreement_<scorer>_<scorer>`: share of completions that two scorers put on the same side of their thresholds.
    Beside them the coherence of the text (`all_coherence_metrics`). `more` gives further metrics of a scorer.

    Raises UsageError for a scorer or option that does not exist, and for several samples at temperature 0.
    """
    sampling = _sampling(name, asking)
    scored = [_Scored.of(name, spec) for spec in asking.scorers]
    stems = [each.stem for each in scored]
    if len(set(stems)) < len(stems):
        raise UsageError(f"task {name!r}: two of its scorers have the same name ({', '.join(asking.scorers)})")
    metrics = (
        *(metric for each in scored for metric in (*_metrics_of(each, asking.samples, gap), *more(each.spec))),
        *(_agreement(one, other) for one, other in combinations(scored, 2) if one.threshold and other.threshold),
        *all_coherence_metrics(),
    )
    return Task(
        "prompts",
        lambda: list(_items(prompts(), asking)),
        metrics,
        scorers=(*asking.scorers, *(spec for spec in [FLUENCY] if spec not in asking.scorers)),
        sampling=sampling,
        headline=next((metric.name for metric in metrics if metric.name == HEADLINE), None),
    )


def _sampling(name: str, asking: Asking) -> Sampling:
    temperature = asking.temperature
    if temperature is None:
        temperature = 1.0 if asking.samples > 1 else 0.0
    if asking.samples > 1 and temperature == 0:
        raise UsageError(f"task {name!r}: {asking.samples} samples at temperature 0 would all be the same text")
    top_p = asking.top_p if temperature else 1.0
    return Sampling(asking.max_tokens, temperature, top_p, asking.seed, asking.stop)


# ---- items -----------------------------------------------------------------------------------------


def _items(prompts: Sequence[Item], asking: Asking) -> Iterator[Item]:
    """The prompts drawn, each `samples` times: `<id>#0`, `<id>#1`, ... Those of a prompt share its cluster."""
    drawn = prompts if asking.limit is None else spread(prompts, asking.limit, asking.seed)
    if asking.samples == 1:
        yield from drawn
        return
    for item in drawn:
        assert isinstance(item.request, Prompt)
        for sample in range(asking.samples):
            yield replace(
                item,
                id=f"{item.id}#{sample}",
                request=replace(item.request, sample=sample),
                facts={**item.facts, "prompt": item.id, "sample": sample},
            )


def _is_first_sample(item: Item) -> bool:
    return item.facts["sample"] == 0


# ---- metrics ---------------------------------------------------------------------------------------


class _Scored(NamedTuple):
    """A scorer as a task sees it: its spec, the name its metrics begin with, its direction and threshold."""

    spec: str
    stem: str
    better: Any
    threshold: float | None
    role: Role | None
    words: Mapping[str, dict[str, Any]]

    @classmethod
    def of(cls, task: str, spec: str) -> _Scored:
        name, options = SCORERS.split(spec)
        entry = SCORERS.get(name, where=f"task {task!r}")
        entry.bind(options, where=f"task {task!r}: scorer {spec!r}")
        better = entry.about.better
        return cls(
            spec=spec,
            stem=metric_stem(spec),
            better=better,
            threshold=entry.about.threshold,
            role="harm" if better == "lower" and name != FLUENCY else None,
            words={} if options else {kind: score_words(name, kind) for kind in ("mean", "rate")},
        )


def score_words(scorer: str, kind: str) -> dict[str, Any]:
    """Return label and meaning of a scorer's `mean` or `rate`, as the scorer has them; empty where it has none."""
    label, meaning = (SCORERS.get(scorer).about.labels or {}).get(kind, ("", ""))
    return {"label": label, "meaning": meaning}


def metric_stem(spec: str) -> str:
    """What the metrics of a scorer begin with: its spec without the names of options, a path by its last part.

    >>> metric_stem("profanity"), metric_stem("hf:unitary/toxic-bert#toxic"), metric_stem("regard:label=positive")
    ('profanity', 'hf_toxic_bert_toxic', 'regard_positive')
    """
    name, options = SCORERS.split(spec)
    parts = [name, *(str(value).rstrip("/").rpartition("/")[2] for value in options.values())]
    return re.sub("[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")


def _metrics_of(scored: _Scored, samples: int, gap: bool) -> Iterator[Metric]:
    spec, stem, better, threshold, role, words = scored

    def itself(item: Item, answer: Completion, score: float) -> float:
        return score

    def largest(item: Item, answers: Any, scores: tuple[float, ...]) -> float:
        return max(scores)

    def partners(item: Item) -> tuple[str, ...]:
        return tuple(f"{item.facts['prompt']}#{sample}" for sample in range(1, samples))

    repeated = samples > 1 and better == "lower"
    compared: Any = {"gap": gap, "rest": gap, "role": role}
    several = {
        **{"applies": _is_first_sample, "partners": partners, "enough": ENOUGH, "scorer": spec, "state": None},
        **compared,
    }
    yield mean(f"{stem}_mean", itself, better=better, scorer=spec, **compared, **words.get("mean", {}))
    if repeated:
        yield mean(f"{stem}_expected_maximum", largest, better=better, **several)
    if threshold is None:
        return

    def reached(item: Item, answer: Completion, score: float) -> bool:
        return score >= threshold

    def any_reached(item: Item, answers: Any, scores: tuple[float, ...]) -> bool:
        return max(scores) >= threshold

    yield rate(f"{stem}_rate", reached, better=better, scorer=spec, state=reached, **compared, **words.get("rate", {}))
    if repeated:
        yield rate(f"{stem}_any_rate", any_reached, better=better, **(several | {"state": any_reached}))


def _agreement(one: _Scored, other: _Scored) -> Metric:
    assert one.threshold is not None
    assert other.threshold is not None
    first, second = one.threshold, other.threshold

    def agree(item: Item, answer: Completion, scores: tuple[float, float]) -> tuple[float, ...]:
        return (float((scores[0] >= first) == (scores[1] >= second)), 1.0)

    return Metric(
        f"agreement_{one.stem}_{other.stem}",
        ("agreeing", "completions"),
        agree,
        ratio,
        "neither",
        scorer=one.spec,
        beside=(other.spec,),
        state=None,
    )
