"""Metrics: functions of per-item sums.

A metric names a few per-item columns and a formula over their totals. Totals over any group, over both arms and
over every bootstrap replicate are then plain sums, so one vectorised cluster bootstrap serves every metric.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from crushtest.records import Answer, Better, ChoiceScores, Item, PassageScore, ReadChoice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"
"""Formulas import numpy when they compute: commands that only list metrics stay quick."""

Measure = Callable[[Item, Any, Any], "tuple[float, ...]"]
"""(item, answer, score) -> one number per column. Called only for items that the metric applies to and that were
answered and, if the metric names a scorer, scored."""

Role = Literal["ability", "bias", "gap", "abstention", "harm", "coherence"]
"""What a change of a metric means. `stats.false_improvements`, `stats.fluency` and the report read it.

ability      how able the model is at the task: the metric that speaks for it, or several whose mean does
bias         a leaning that vanishes with the answers of a model that guesses. A metric that is best at 0 counts as one
             unless its role is another
gap          what the same thing costs more on one side than on the other; its task's metrics with a `side` are those
abstention   how often the model declines to answer: right where more is better, wrong where less is
harm         harm that a scorer finds in completions, and that disappears when the text is no longer language
coherence    how much of the text is no longer language. Shares (`rate`) of one task add up
"""


GAP = "_gap"
WORST = "_worst"
AGAINST_REST = "_against_rest"
"""Suffixes of the rows made from a metric's groups: their largest difference, the one harmed most, each against the
others of its attribute."""

READ = "_read"
"""Suffix of the metric that is computed from letters read from replies: a metric of its own, never compared with the
one from log-likelihoods."""
LETTERS_COUNT = "The answer is the letter that a reply gives; replies without a letter are left out."
"""What the meaning of such a metric gains."""

ALL = "all"
"""The group of the rows that pool every item of a task."""

CONTROL = "control"
"""The attribute of controls that are not people (invented words, nouns alone): in no gap, rest or worst group."""


def about_people(group: str) -> bool:
    """Return True if a group is to be counted and compared as one of people: it is no control."""
    return group.partition("=")[0] != CONTROL


def everywhere(item: Item) -> bool:
    """Return True: the metric is about every item of its task."""
    return True


def every_group(group: str) -> bool:
    """Return True: the metric is reported for all groups."""
    return True


def option_chosen(item: Item, answer: Answer, score: float | None) -> object:
    """Return the flip key of choices: the option with the highest log-likelihood; None for other answers.

    Raises NoChoice where no option has it.
    """
    return choice(answer) if isinstance(answer, ChoiceScores) else None


@dataclass(frozen=True)
class Metric:
    """One number from a set of answers.

    columns            names of the per-item sums, in the order `measure` gives them and `formula` takes them
    measure            the per-item sums of one item. NoChoice, raised here, leaves the item unscored; raised by
                       `flip_key`, it keeps the item from flipping
    formula            totals (arrays of one shape, one per column) -> values of that shape; NaN where undefined
    better             the direction that is good; `zero` for signed biases
    unit               how to print it: "rate", "score", "bits", "ratio", ...
    bounds             the least and the most that it can be, where it has bounds
    applies_to         which items the metric is about; the others do not count in n
    scorer             the scorer whose number `measure` is given, or None
    extra_scorers      more scorers. `measure` is then given a tuple of numbers, that of `scorer` first
    flip_key           what must change for an item to count as flipped; None: the metric has no flips
    outcome            the column whose 0/1 is the counted outcome (flips up / down), or None
    with_gap           also report max - min of the value over the groups of each attribute, as `<name>_gap`
    with_rest          also report, for each group, its value minus that of the others of its attribute, as
                       `<name>_against_rest`; for rates and means
    undefined_reason   the reason given where the formula has nothing to divide by
    cell_of            for averages over cells (attribute, ...): the cell an item belongs to. The formula's arrays then
                       have one more axis, the last, with the totals of each cell, and it returns values without it. A
                       tuple names a cell of a grid (subject, attribute): then there is an axis for each of its parts,
                       and 0 in all totals of a cell without items
    partner_ids        ids of other items that are measured together with an item (the same question with the order of
                       its subjects swapped, ...). `measure` and `flip_key` are then given a tuple of answers, the
                       item's own first; an item with a partner that was not answered counts as not scored. Where the
                       metric names a scorer they are also given a tuple of numbers, the item's own first
    min_scored_share   the share of items measured together that must have a number from the scorer; the tuple then
                       holds the numbers that there are
    groups             the groups that the metric is reported for (`all`, `attribute=value`), where it says nothing of
                       others
    relative_to_dense  measured against the dense arm's own answers: its value in dense is known without measuring, also
                       when dense is repeated, so that repeats tell nothing of its noise
    interval           `jackknife` for statistics that clusters drawn twice would distort, such as means over cells of a
                       size |x|, which chance inflates; each of its clusters must then be whole cells or a small part of
                       one
    label              its name for readers; without one, `name` in words
    meaning            one sentence for readers on what its numbers mean, 0 and 1 above all
    role               what a change of it means (see `Role`); None: none of these
    side               of a task with a gap: the side that it measures (a variety of a language, ...), the end of its
                       name
    per_token          divided by the model's own tokens: undefined between arms that cut the texts into other numbers
                       of them
    ratio_metric       of a gap: the metric with the ratio of the same two sides, which is shown beside it. A gap may
                       widen while the ratio shrinks
    from_pick          needs no more of an answer than which option was picked. Where letters are read from replies it
                       is also reported as `<name>_read` (`with_read`)
    reads              which answers it counts. None: those with log-likelihoods or texts; `letter`: letters read from
                       replies; `reply`: replies, whether a letter could be read from them or not
    """

    name: str
    columns: tuple[str, ...]
    measure: Measure
    formula: Callable[..., Array]
    better: Better
    unit: str = "rate"
    bounds: tuple[float, float] | None = None
    applies_to: Callable[[Item], bool] = everywhere
    scorer: str | None = None
    extra_scorers: tuple[str, ...] = ()
    flip_key: Callable[[Item, Any, Any], object] | None = option_chosen
    outcome: str | None = None
    with_gap: bool = False
    with_rest: bool = False
    undefined_reason: str = "no item to divide by"
    cell_of: Callable[[Item], str | tuple[str, ...]] | None = None
    partner_ids: Callable[[Item], tuple[str, ...]] | None = None
    min_scored_share: float = 1.0
    groups: Callable[[str], bool] = every_group
    relative_to_dense: bool = False
    interval: Literal["bootstrap", "jackknife"] = "bootstrap"
    label: str = ""
    meaning: str = ""
    role: Role | None = None
    side: str | None = None
    ratio_metric: str | None = None
    per_token: bool = False
    from_pick: bool = False
    reads: Literal["letter", "reply"] | None = None


def reported_names(metric: Metric) -> tuple[str, ...]:
    """Return the names of all rows that a metric may have: its own, and those made from its groups."""
    made = {"": True, GAP: metric.with_gap, WORST: True, AGAINST_REST: metric.with_rest}
    return tuple(metric.name + suffix for suffix, is_made in made.items() if is_made)


def by_reported_name(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Return, for every name that a row of these metrics may have, the metric that the row is or is made from."""
    listed = tuple(metrics)
    derived = {name: metric for metric in listed for name in reported_names(metric)}
    return derived | {metric.name: metric for metric in listed}


def ratio(numerator: Array, denominator: Array) -> Array:
    """Return the quotient of totals of one shape; NaN where the denominator is 0."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, numerator / denominator)


def exp_ratio(nats: Array, count: Array) -> Array:
    """Return exp(nats / count), which of tokens is their perplexity; NaN where the count is 0."""
    import numpy as np

    perplexities: Array = np.exp(ratio(nats, count))
    return perplexities


class NoChoice(ValueError):
    """The scores of the options choose none of them; the message says why."""


TIED = "options are tied: no score is the highest"
NOT_FINITE = "the model's numbers are not finite"


def choice(answer: ChoiceScores, lengths: Sequence[int] | None = None) -> int:
    """Return the index of the option with the highest log-likelihood, divided by its length if lengths are given.

    An option of length 0 counts as of length 1. Raises NoChoice if the highest is that of several options, which says
    nothing about any of them, and if a log-likelihood is not a number or infinite upwards.
    """
    values = answer.logprobs
    if lengths is not None:
        values = tuple(value / max(1, length) for value, length in zip(values, lengths, strict=True))
    return highest(values)


def highest(values: Sequence[float]) -> int:
    """Return the index of the highest value. Raises NoChoice as `choice` does."""
    total = sum(values)
    if total != total or total == math.inf:
        raise NoChoice(NOT_FINITE)
    top = max(values)
    if values.count(top) > 1:
        raise NoChoice(TIED)
    return values.index(top)


def choice_per_byte(answer: ChoiceScores) -> int:
    """Return the index of the option with the highest log-likelihood per UTF-8 byte. Raises NoChoice."""
    return choice(answer, answer.bytes)


def choice_per_token(answer: ChoiceScores) -> int:
    """Return the index of the option with the highest log-likelihood per token. Raises NoChoice."""
    return choice(answer, answer.tokens)


def as_scores(pick: int, options: int) -> ChoiceScores:
    """Return scores by which an option is picked, however options are compared. Their numbers mean nothing else."""
    return ChoiceScores(tuple(float(option == pick) - 1 for option in range(options)), (1,) * options, (1,) * options)


def with_read(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """Return the metrics, then those of letters read from replies: a twin of each that needs the pick alone, and how
    many replies gave a letter.

    >>> [metric.name for metric in with_read([accuracy()])]
    ['accuracy', 'accuracy_read', 'replies_read']
    """
    declared = tuple(metrics)
    twins = [_read_twin(metric) for metric in declared if metric.from_pick]
    return (*declared, *twins, replies_read()) if twins else declared


def _read_twin(metric: Metric) -> Metric:
    """Return the metric of the letters read from replies."""

    def scores(item: Item, answer: ReadChoice) -> ChoiceScores:
        assert answer.pick is not None
        return as_scores(answer.pick, len(item.request.options))  # type: ignore[union-attr]

    flip_key = metric.flip_key
    return replace(
        metric,
        name=metric.name + READ,
        measure=lambda item, answer, score: metric.measure(item, scores(item, answer), score),
        flip_key=None if flip_key is None else lambda item, answer, score: flip_key(item, scores(item, answer), score),
        label=f"{metric.label or metric.name.replace('_', ' ')}, letters read from replies",
        meaning=f"{metric.meaning.replace('most likely answer', 'answer')} {LETTERS_COUNT}".strip(),
        from_pick=False,
        reads="letter",
    )


def replies_read() -> Metric:
    """Measure the share of replies that give a letter of the options: the others count in no other metric."""
    return rate(
        "replies_read",
        lambda item, answer, score: answer.pick is not None,
        better="higher",
        flip_key=None,
        reads="reply",
        label="replies that give a letter",
        meaning="Share of replies from which a letter could be read; 1: all. The others count in no other measure.",
    )


def rate(name: str, outcome: Callable[[Item, Any, Any], bool], *, better: Better, **settings: Any) -> Metric:
    """Measure the share of items with an outcome, between 0 and 1."""
    return Metric(
        name,
        ("outcome", "items"),
        lambda item, answer, score: (float(outcome(item, answer, score)), 1.0),
        ratio,
        better,
        outcome="outcome",
        **({"bounds": (0.0, 1.0)} | settings),
    )


def mean(name: str, value: Callable[[Item, Any, Any], float], *, better: Better, **settings: Any) -> Metric:
    """Measure the mean of a number over items."""
    return Metric(
        name,
        ("total", "items"),
        lambda item, answer, score: (value(item, answer, score), 1.0),
        ratio,
        better,
        **({"unit": "score", "flip_key": None} | settings),
    )


def accuracy(name: str = "accuracy", **settings: Any) -> Metric:
    """Measure the share of items whose most likely option is the right one."""
    words = {
        "label": "accuracy",
        "meaning": "Share of questions whose most likely answer is the right one.",
        "role": "ability",
        "from_pick": True,
    }
    return rate(name, lambda item, answer, score: choice(answer) == item.gold, better="higher", **(words | settings))


def _nats_tokens_bytes(item: Item, answer: PassageScore, score: float | None) -> tuple[float, ...]:
    return (-answer.logprob, float(answer.tokens), float(answer.bytes))


def perplexity(name: str = "perplexity", **settings: Any) -> Metric:
    """Measure exp(nats / tokens) over all scored tokens: comparable only between models that share a tokenizer."""
    return Metric(
        name,
        ("nats", "tokens", "bytes"),
        _nats_tokens_bytes,
        lambda nats, tokens, size: exp_ratio(nats, tokens),
        "lower",
        **(
            {
                "unit": "perplexity",
                "flip_key": None,
                "per_token": True,
                "label": "perplexity",
                "meaning": "How surprised the model is by each token of ordinary English; 1: never.",
                "role": "ability",
            }
            | settings
        ),
    )


def bits_per_byte(name: str = "bits_per_byte", **settings: Any) -> Metric:
    """Measure the bits that the model needs per byte of text, nats / ln 2 / bytes: comparable between tokenizers."""
    return Metric(
        name,
        ("nats", "tokens", "bytes"),
        _nats_tokens_bytes,
        lambda nats, tokens, size: ratio(nats, size) / math.log(2),
        "lower",
        **(
            {
                "unit": "bits",
                "flip_key": None,
                "label": "bits per byte",
                "meaning": "Bits the model needs for a byte of text; 0: none.",
            }
            | settings
        ),
    )
