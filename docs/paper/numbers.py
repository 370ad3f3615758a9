"""The published numbers by model, arm and measure, and what the claims ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import mean
from typing import NamedTuple

from crushtest.data.published.point import Point
from crushtest.records import DENSE

LLAMA, TULU = ("Llama-2-7B", "Llama-2-13B"), ("Tulu-2-7B", "Tulu-2-13B")
MODELS = (*LLAMA, *TULU)
METHODS = ("magnitude", "sparsegpt", "wanda", "gblm")
SPARSITIES = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")
QUANTIZED = ("int8", "awq:bits=4", "gptq:bits=4")


def unstructured(sparsity: str) -> list[str]:
    """Return the recipes that prune this share of the weights, wherever they are."""
    return [f"{method}:sparsity={sparsity}" for method in METHODS]


PRUNED = [
    *(recipe for sparsity in SPARSITIES for recipe in unstructured(sparsity)),
    *(f"{method}:pattern={pattern}" for method in METHODS for pattern in ("2:4", "4:8")),
]
HARD = [recipe for recipe in PRUNED if "pattern" in recipe or recipe.endswith(("0.5", "0.6"))]
CATEGORIES = ("religion", "country", "ethnicity", "gender_occupation")


class Measure(NamedTuple):
    """A task, a metric and a group, in our words."""

    task: str
    metric: str
    group: str = "all"


TOXIGEN = Measure("toxigen", "openai_moderation_hate_mean")
ADVPROMPTSET = Measure("advpromptset", "openai_moderation_hate_mean")
REGARD = Measure("holisticbias", "regard_negative_rate")
BIAS = Measure("bbq", "xu2024_s_disambiguated")
ACCURACY = Measure("bbq", "accuracy_disambiguated")
ETAS = [Measure("unqover", "xu2024_eta", f"category={category}") for category in CATEGORIES]
MUS = [Measure("unqover", "xu2024_mu", f"category={category}") for category in CATEGORIES]
DOLMA = Measure("paloma", "xu2024_perplexity_mean")
DEGENERATION = [
    Measure("realtoxicityprompts", "openai_moderation_hate_mean"),
    Measure("realtoxicityprompts", "toxigen_roberta_mean"),
    TOXIGEN,
    Measure("toxigen", "toxigen_roberta_mean"),
    ADVPROMPTSET,
    Measure("advpromptset", "toxigen_roberta_mean"),
    REGARD,
]


class Pair(NamedTuple):
    """A number of an arm, and the dense model's."""

    dense: float
    value: float

    @property
    def relative(self) -> float:
        return self.value / self.dense - 1


class Numbers:
    """Published numbers; with `comparable` only those that no rule keeps from being set beside others."""

    def __init__(self, points: Sequence[Point], *, comparable: bool = False) -> None:
        kept = [point for point in points if point.value is not None and (point.comparable or not comparable)]
        self.points = kept
        self._values = {
            (point.model, point.arm, point.task, point.metric, point.group): point.value
            for point in kept
            if point.line is not None
        }

    def value(self, model: str, arm: str, measure: Measure) -> float | None:
        """Return one number, or None if it is not there."""
        return self._values.get((model, arm, *measure))

    def pairs(self, models: Iterable[str], arms: Sequence[str], *measures: Measure) -> Iterator[Pair]:
        """Yield every arm's number of these measures with the dense model's, where both are there."""
        for model in models:
            for measure in measures:
                dense = self.value(model, DENSE, measure)
                for arm in arms:
                    value = self.value(model, arm, measure)
                    if dense is not None and value is not None:
                        yield Pair(dense, value)

    def columns(self, one: tuple[str, Measure], other: tuple[str, Measure], arms: Sequence[str]) -> list[list[float]]:
        """Return two measures (of a model each) over the arms that have both."""
        pairs = [(self.value(one[0], arm, one[1]), self.value(other[0], arm, other[1])) for arm in arms]
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        return [[a for a, _ in both], [b for _, b in both]]


def below(pairs: Iterable[Pair]) -> str:
    """Return `18 of 64`: how many lie below dense."""
    listed = list(pairs)
    return f"{sum(pair.value < pair.dense for pair in listed)} of {len(listed)}"


def above(pairs: Iterable[Pair]) -> str:
    """Return `90 of 128`: how many lie above dense."""
    listed = list(pairs)
    return f"{sum(pair.value > pair.dense for pair in listed)} of {len(listed)}"


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rho; equal numbers share their mean rank. None where nothing varies."""
    ranks = [_centred(_ranks(numbers)) for numbers in (first, second)]
    spread = (sum(rank**2 for rank in ranks[0]) * sum(rank**2 for rank in ranks[1])) ** 0.5
    return sum(a * b for a, b in zip(*ranks, strict=True)) / spread if spread else None


def _ranks(numbers: Sequence[float]) -> list[float]:
    ordered = sorted(numbers)
    return [ordered.index(number) + (ordered.count(number) - 1) / 2 for number in numbers]


def _centred(ranks: Sequence[float]) -> list[float]:
    middle = mean(ranks) if ranks else 0.0
    return [rank - middle for rank in ranks]
