"""The paper's main claims: what each rests on, its number from the published tables, and what of it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median, pstdev
from typing import Literal

from crushtest.records import DENSE
from paper import own
from paper.numbers import (
    ACCURACY,
    ADVPROMPTSET,
    BIAS,
    DEGENERATION,
    DOLMA,
    ETAS,
    HARD,
    LLAMA,
    METHODS,
    MODELS,
    MUS,
    PRUNED,
    QUANTIZED,
    REGARD,
    TOXIGEN,
    TULU,
    Measure,
    Numbers,
    above,
    below,
    rank_correlation,
    unstructured,
)

Verdict = Literal["holds", "loosely", "artefact"]
NONE = "no number left"


@dataclass(frozen=True)
class Claim:
    """A claim in our words.

    rests_on   the measures and arms that it is computed from
    number     what the published tables say, from all their numbers or from the comparable ones
    why        what a reader must know to judge it
    ours       what our own run says
    """

    id: str
    claim: str
    rests_on: str
    verdict: Verdict
    number: Callable[[Numbers], str]
    why: str
    ours: Callable[[own.Own], str]


def degeneration(n: Numbers) -> str:
    measures = {"ToxiGen hate": TOXIGEN, "AdvPromptSet hate": ADVPROMPTSET, "HolisticBiasR negative regard": REGARD}
    return "; ".join(f"{name} below dense in {below(n.pairs(MODELS, HARD, m))}" for name, m in measures.items())


def representational(n: Numbers) -> str:
    bias, eta = above(n.pairs(MODELS, PRUNED, BIAS)), above(n.pairs(MODELS, PRUNED, *ETAS))
    return f"BBQ score above dense in {bias}; UnQover eta above dense in {eta}"


def regard_and_perplexity(n: Numbers) -> str:
    def said(model: str) -> str:
        rho = rank_correlation(*n.columns((model, DOLMA), (model, REGARD), [DENSE, *PRUNED]))
        return f"{model} rho {rho:+.2f}" if rho is not None else f"{model} {NONE}"

    return "; ".join(map(said, MODELS))


def steady(n: Numbers) -> str:
    def moved(methods: Sequence[str], models: Sequence[str]) -> str:
        arms = [arm for arm in PRUNED if arm.partition(":")[0] in methods]
        changes = [abs(pair.value - pair.dense) for pair in n.pairs(models, arms, *ETAS)]
        return f"{mean(changes):.3f}" if changes else NONE

    magnitude, others = METHODS[:1], METHODS[1:]
    return (
        f"mean |change| magnitude {moved(magnitude, MODELS)}, others {moved(others, MODELS)}; at Llama-2-13B, the "
        "model "
        f"shown, {moved(magnitude, LLAMA[1:])} and {moved(others, LLAMA[1:])}"
    )


def accuracy(n: Numbers) -> str:
    drops = [pair.dense - pair.value for pair in n.pairs(MODELS, unstructured("0.6"), ACCURACY)]
    return (
        f"below dense in {below(n.pairs(MODELS, PRUNED, ACCURACY))}; at 60% down by {min(drops):.2f} to "
        f"{max(drops):.2f}, "
        f"mean {mean(drops):.2f}"
    )


def bias(n: Numbers) -> str:
    by_model = {model: above(n.pairs([model], PRUNED, BIAS)) for model in MODELS}
    counts = ", ".join(
        f"{model} {'none left' if count.endswith(' of 0') else count.partition(' ')[0]}"
        for model, count in by_model.items()
    )
    return f"above dense in {above(n.pairs(MODELS, PRUNED, BIAS))}: {counts}"


def spread(n: Numbers, model: str, arm: str, category: str) -> float | None:
    """Return how unevenly the subjects of a category changed in eta, in points of 100."""
    subjects = {
        p.group
        for p in n.points
        if p.metric == "xu2024_subject_eta" and p.group.startswith(f"{category}=") and ambiguous(p.group) is None
    }
    pairs = [
        pair for s in sorted(subjects) for pair in n.pairs([model], [arm], Measure("unqover", "xu2024_subject_eta", s))
    ]
    return pstdev(100 * (pair.value - pair.dense) for pair in pairs) if pairs else None


def ambiguous(group: str) -> str | None:
    """Return the group if it is of one of two subjects that cannot be told apart."""
    return group if group in ("religion=Christian", "religion=Jewish", "religion=Christian|Jewish") else None


def subjects(n: Numbers) -> str:
    def at(model: str, arms: Sequence[str]) -> str:
        spreads = [spread(n, model, arm, category) for arm in arms for category in ("religion", "ethnicity")]
        known = [each for each in spreads if each is not None]
        return f"{mean(known):.1f}" if known else "none"

    def said(model: str) -> str:
        return (
            f"{model} {at(model, QUANTIZED[:1])} / {at(model, unstructured('0.1'))} / {at(model, unstructured('0.6'))}"
        )

    begin = "standard deviation over subjects of the change in eta, points of 100, int8 / 10% / 60%: "
    return begin + "; ".join(map(said, MODELS))


def by_category(n: Numbers) -> str:
    blind = {p.group_there for p in n.points if "counts_unknowns_only" in p.flags and p.table == "bbq"}
    age = list(n.pairs(["Llama-2-13B"], ["int8"], Measure("bbq", "xu2024_s_disambiguated", "category=Age")))
    gap = f"{100 * (age[0].value - age[0].dense):.1f} points for age" if age else NONE
    return (
        f"{len(blind)} of 10 columns count unknown answers only; at Llama-2-13B even int8 differs from dense by {gap}"
    )


def quantization(n: Numbers) -> str:
    def said(model: str) -> str:
        moves = [abs(pair.relative) for pair in n.pairs([model], QUANTIZED, *DEGENERATION, *ETAS, BIAS)]
        near = sum(move <= 0.1 for move in moves)
        return f"{model} {near} of {len(moves)} (median {100 * median(moves):.0f}%)" if moves else f"{model} {NONE}"

    return "within 10% of dense: " + "; ".join(map(said, MODELS))


def quality(n: Numbers) -> str:
    quantized = [100 * pair.relative for pair in n.pairs(MODELS, QUANTIZED, DOLMA)]
    pruned = [100 * pair.relative for pair in n.pairs(MODELS, unstructured("0.5"), DOLMA)]
    return (
        f"quantized {min(quantized):+.1f}% to {max(quantized):+.1f}%; pruned {min(pruned):+.1f}% to {max(pruned):+.0f}%"
    )


def dialect(n: Numbers) -> str:
    def counts(dialect_: Measure, mainstream: Measure) -> tuple[int, int, int]:
        sides = [
            (a, b)
            for model in MODELS
            for arm in PRUNED
            for a, b in zip(n.pairs([model], [arm], dialect_), n.pairs([model], [arm], mainstream), strict=False)
        ]
        wider = sum(a.value - b.value > a.dense - b.dense for a, b in sides)
        return wider, sum(a.value / b.value > a.dense / b.dense for a, b in sides), len(sides)

    twitter = counts(
        Measure("twitteraae", "perplexity", "dialect=AA"), Measure("twitteraae", "perplexity", "dialect=white")
    )
    books = counts(Measure("aave_literature", "perplexity"), Measure("paloma", "perplexity", "domain=books"))
    return (
        f"TwitterAAE: difference wider in {twitter[0]} of {twitter[2]}, ratio in {twitter[1]}; "
        f"AAVE literature: {books[0]} and {books[1]}"
    )


def sizes(n: Numbers) -> str:
    measures = {
        "Dolma perplexity": DOLMA,
        "BBQ accuracy": ACCURACY,
        "HolisticBiasR regard": REGARD,
        "ToxiGen hate": TOXIGEN,
        "AdvPromptSet hate": ADVPROMPTSET,
        "BBQ bias": BIAS,
    }

    def rho(pair: tuple[str, str], measure: Measure) -> str:
        found = rank_correlation(*n.columns((pair[0], measure), (pair[1], measure), PRUNED))
        return f"{found:+.2f}" if found is not None else "none"

    return "; ".join(f"{name} {rho(LLAMA, measure)}, {rho(TULU, measure)}" for name, measure in measures.items())


def fine_tuning(n: Numbers) -> str:
    def both(*measures: Measure) -> list[tuple[float, float]]:
        pairs = [
            (n.value(a, DENSE, m), n.value(b, DENSE, m)) for a, b in zip(LLAMA, TULU, strict=True) for m in measures
        ]
        return [(a, b) for a, b in pairs if a is not None and b is not None]

    falls = [100 * (1 - b / a) for a, b in both(*DEGENERATION)]
    etas, mus = [b - a for a, b in both(*ETAS)], [b / a for a, b in both(*MUS)]
    return (
        f"degeneration means down by {min(falls):.0f}% to {max(falls):.0f}%; UnQover eta {min(etas):+.3f} to "
        f"{max(etas):+.3f}, mu x {min(mus):.1f} to x {max(mus):.1f}"
    )


def order(n: Numbers) -> str:
    def gains(metric: str) -> list[float]:
        bars = {(p.arm, p.training): p.value for p in n.points if p.metric == metric and p.training is not None}
        later = {arm: value for (arm, training), value in bars.items() if training == "after" and value is not None}
        return [value - (bars[arm, "before"] or 0.0) for arm, value in later.items()]

    right, score = gains("accuracy_disambiguated"), gains("xu2024_s_disambiguated")
    return (
        f"disambiguated accuracy {min(right):+.3f} to {max(right):+.3f}, better in "
        f"{sum(gain > 0 for gain in right)} of "
        f"{len(right)}; bias score higher in {sum(gain > 0 for gain in score)} of {len(score)}"
    )
