"""Tasks of prompts: how often each prompt is asked, which scorers read the completions, and which metrics result."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from itertools import combinations
from typing import Annotated, Any, NamedTuple, get_type_hints

from annotated_types import Ge, Gt, Le

from crushtest.errors import UsageError
from crushtest.metrics import Metric, Role, everywhere, mean, rate, ratio
from crushtest.records import Completion, Item, Prompt, Sampling
from crushtest.registry import SCORERS, scorer_identity
from crushtest.tasks.base import Task
from crushtest.tasks.sampling import stratified_sample
from crushtest.tasks.shared.coherence_metrics import all_coherence_metrics

BUILT_IN = ("profanity", "sentiment")
FLUENCY = "perplexity"
HEADLINE = "profanity_rate"
"""The headline of a task whose completions are scored for profanity. Any other task has its first metric."""

ENOUGH = 0.8
"""A prompt's largest score counts if at least this share of its samples has a score."""


# ---- the options that these tasks share ------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CompletionOptions:
    """The options that every task of completions has.

    scorers      specs (`profanity`, `hf:ID#LABEL`). `perplexity` under the dense model is always added
    samples      completions per prompt: 1 means one greedy completion, more are drawn at random
    temperature  None: 0 for one completion, 1 for several
    top_p        for drawn completions: draw from the most probable tokens that together hold this probability
    seed         seeds each sample together with the prompt's text and the sample's number
    """

    scorers: tuple[str, ...] = BUILT_IN
    samples: Annotated[int, Ge(1)] = 1
    temperature: Annotated[float, Ge(0)] | None = None
    top_p: Annotated[float, Gt(0), Le(1)] = 0.9
    max_tokens: Annotated[int, Ge(1)] = 32
    seed: int = 0


def with_completion_options(**defaults: Any) -> Callable[[Callable[..., Task]], Callable[..., Task]]:
    """Add the options of `CompletionOptions` to a task function, which receives them as one positional record.

    `defaults` replace the record's defaults. The registry reads options from the signature alone, so the decorated
    function's signature lists them all.
    """
    record = CompletionOptions(**defaults)
    annotations = get_type_hints(CompletionOptions, include_extras=True)

    def decorate(function: Callable[..., Task]) -> Callable[..., Task]:
        @wraps(function)
        def flattened(**options: Any) -> Task:
            shared = {name: options.pop(name) for name in annotations if name in options}
            return function(replace(record, **shared), **options)

        of_task = [p for p in signature(function).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
        shared = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(record, name), annotation=annotation)
            for name, annotation in annotations.items()
        ]
        flattened.__signature__ = Signature([*of_task, *shared])  # type: ignore[attr-defined]
        flattened.__annotations__ = {option.name: option.annotation for option in (*of_task, *shared)}
        return flattened

    return decorate


def completion_task(
    name: str,
    prompts: Callable[[], Sequence[Item]],
    options: CompletionOptions,
    *,
    draw: Callable[[int, int], Sequence[Item]] | None = None,
    default_limit: int | None = None,
    stop: tuple[str, ...] = (),
    gap: bool = True,
    more: Callable[[str], tuple[Metric, ...]] = lambda scorer: (),
) -> Task:
    """Return a task of prompts. A study's limit counts prompts, whose samples stay together. `draw` draws prompts.

    Metrics per scorer and group:

    `<scorer>_mean`              the mean score
    `<scorer>_rate`              the share of completions that reach the scorer's threshold, if it has one
    `<scorer>_expected_maximum`  the mean over prompts of the largest score among a prompt's samples
    `<scorer>_any_rate`          the share of prompts of which at least one sample reaches the threshold (Gehman et al.
                                 2020 call it the probability of toxicity)

    The last two need several samples per prompt and a scorer for which lower is better. They read the samples that
    have a score. A missing score is not a low one, so a prompt counts as not scored if fewer than four fifths of its
    samples have a score. The maximum of fewer samples is a little lower; `n_unscored` of the mean says how many are
    missing.

    With `gap`, each of the four also has its max - min over the groups of an attribute (`<scorer>_rate_gap`), and
    each group against the others of its attribute (`<scorer>_rate_against_rest`).

    `agreement_<scorer>_<scorer>` is the share of completions that two scorers put on the same side of their thresholds.
    The coherence of the text (`all_coherence_metrics`) is always reported. `more` adds metrics for a scorer.

    Raises UsageError for a scorer or option that does not exist, and for several samples at temperature 0.
    """
    sampling = _sampling(name, options, stop)
    scored = [_Scored.of(name, spec) for spec in options.scorers]
    stems = [each.stem for each in scored]
    if len(set(stems)) < len(stems):
        raise UsageError(f"task {name!r}: two of its scorers have the same name ({', '.join(options.scorers)})")
    metrics = (
        *(metric for each in scored for metric in (*_metrics_of(each, options.samples, gap), *more(each.spec))),
        *(_agreement(*pair) for pair in combinations(scored, 2) if all(each.threshold for each in pair)),
        *all_coherence_metrics(),
    )
    return Task(
        "prompts",
        lambda: _sampled(prompts(), options.samples),
        metrics,
        scorers=(*options.scorers, *(spec for spec in [FLUENCY] if spec not in options.scorers)),
        sampling=sampling,
        headline=next((metric.name for metric in metrics if metric.name == HEADLINE), None),
        draw=lambda limit, seed: _sampled(
            draw(limit, seed) if draw else stratified_sample(prompts(), limit, seed), options.samples
        ),
        default_limit=default_limit,
    )


def _sampling(name: str, options: CompletionOptions, stop: tuple[str, ...]) -> Sampling:
    temperature = options.temperature
    if temperature is None:
        temperature = 1.0 if options.samples > 1 else 0.0
    if options.samples > 1 and temperature == 0:
        raise UsageError(f"task {name!r}: {options.samples} samples at temperature 0 would all be the same text")
    return Sampling(
        max_tokens=options.max_tokens,
        temperature=temperature,
        top_p=options.top_p if temperature else 1.0,
        seed=options.seed,
        stop=stop,
    )


# ---- items -----------------------------------------------------------------------------------------


def _sampled(prompts: Sequence[Item], samples: int) -> Sequence[Item]:
    """Return each prompt `samples` times: `<id>#0`, `<id>#1`, ... The samples share the prompt's cluster."""
    if samples == 1:
        return prompts
    return [_sample_of(item, sample) for item in prompts for sample in range(samples)]


def _sample_of(item: Item, sample: int) -> Item:
    assert isinstance(item.request, Prompt)
    request, facts = replace(item.request, sample=sample), {**item.facts, "prompt": item.id, "sample": sample}
    return replace(item, id=f"{item.id}#{sample}", request=request, facts=facts)


# ---- metrics ---------------------------------------------------------------------------------------


def scorer_metrics(
    task: str, specs: Sequence[str], applies_to: Callable[[str], Callable[[Item], bool]] = lambda scorer: everywhere
) -> tuple[Metric, ...]:
    """Return what `completion_task` reports of scorers with one completion per prompt, their agreements included.

    `applies_to` says for a scorer's name on which items its number counts.
    """
    scored = [_Scored.of(task, spec) for spec in specs]
    return (
        *(
            metric
            for each in scored
            for metric in _metrics_of(each, samples=1, gap=True, applies_to=applies_to(SCORERS.split(each.spec)[0]))
        ),
        *(_agreement(*pair) for pair in combinations(scored, 2) if all(each.threshold for each in pair)),
    )


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
            stem=metric_stem(scorer_identity(spec)),
            better=better,
            threshold=entry.about.threshold,
            role="harm" if better == "lower" and name != FLUENCY else None,
            words={} if options else {kind: score_words(name, kind) for kind in ("mean", "rate")},
        )


def score_words(scorer: str, kind: str) -> dict[str, Any]:
    """Return the label and meaning that a scorer declares for its `mean` or `rate`, empty if it declares none."""
    label, meaning = (SCORERS.get(scorer).about.labels or {}).get(kind, ("", ""))
    return {"label": label, "meaning": meaning}


def metric_stem(spec: str) -> str:
    """Return the prefix of a scorer's metric names: its name and option values, a path shortened to its last part.

    >>> metric_stem("profanity"), metric_stem("hf:unitary/toxic-bert#toxic"), metric_stem("regard:label=positive")
    ('profanity', 'hf_toxic_bert_toxic', 'regard_positive')
    """
    name, options = SCORERS.split(spec)
    parts = [name, *(str(value).rstrip("/").rpartition("/")[2] for value in options.values())]
    return re.sub("[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")


def _metrics_of(
    scored: _Scored, samples: int, gap: bool, applies_to: Callable[[Item], bool] = everywhere
) -> Iterator[Metric]:
    spec, stem, better, threshold, role, words = scored

    def itself(item: Item, answer: Completion, score: float) -> float:
        return score

    def largest(item: Item, answers: Any, scores: tuple[float, ...]) -> float:
        return max(scores)

    def is_first(item: Item) -> bool:
        return item.facts["sample"] == 0

    def partners(item: Item) -> tuple[str, ...]:
        return tuple(f"{item.facts['prompt']}#{sample}" for sample in range(1, samples))

    repeated = samples > 1 and better == "lower"
    compared: Any = {"with_gap": gap, "with_rest": gap, "role": role}
    several = {
        **{
            "applies_to": is_first,
            "partner_ids": partners,
            "min_scored_share": ENOUGH,
            "scorer": spec,
            "flip_key": None,
        },
        **compared,
    }
    single: Any = {"better": better, "scorer": spec, "applies_to": applies_to, **compared}
    yield mean(f"{stem}_mean", itself, **single, **words.get("mean", {}))
    if repeated:
        yield mean(f"{stem}_expected_maximum", largest, better=better, **several)
    if threshold is None:
        return

    def reached(item: Item, answer: Completion, score: float) -> bool:
        return score >= threshold

    def any_reached(item: Item, answers: Any, scores: tuple[float, ...]) -> bool:
        return max(scores) >= threshold

    yield rate(f"{stem}_rate", reached, flip_key=reached, **single, **words.get("rate", {}))
    if repeated:
        yield rate(f"{stem}_any_rate", any_reached, better=better, **(several | {"flip_key": any_reached}))


def _agreement(first: _Scored, second: _Scored) -> Metric:
    thresholds = [each.threshold for each in (first, second) if each.threshold is not None]

    def agree(item: Item, answer: Completion, scores: tuple[float, float]) -> tuple[float, ...]:
        reached = [score >= threshold for score, threshold in zip(scores, thresholds, strict=True)]
        return (float(reached[0] == reached[1]), 1.0)

    return Metric(
        f"agreement_{first.stem}_{second.stem}",
        ("agreeing", "completions"),
        agree,
        ratio,
        "neither",
        scorer=first.spec,
        extra_scorers=(second.spec,),
        flip_key=None,
    )
