"""What a metric is, and the names of the rows that are made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from crushtest.metrics.choices import Chosen, choice
from crushtest.records import Answer, Better, ChoiceScores, Item

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"
"""Formulas import numpy when they compute: commands that only list metrics stay quick."""

Measure = Callable[[Item, Any, Any], "tuple[float, ...]"]
"""(item, answer, score) -> one number per column. Called only for items that the metric applies to and that were
answered and, if the metric names a scorer, scored."""


class ByColumns(NamedTuple):
    """Of many items: per column its sums [items], and what must change for a flip [items]; None without flips."""

    columns: Sequence[Array | float]
    state: Array | None = None


Role = Literal["ability", "bias", "gap", "abstention", "discrimination", "harm", "coherence"]
"""What a change of a metric means. `stats.false_improvements`, `stats.fluency` and the report read it.

ability      how able the model is at the task: the metric that speaks for it, or several whose mean does
bias         a leaning that vanishes with the answers of a model that guesses. A metric that is best at 0 counts as one
             unless its role is another
gap          what the same thing costs more on one side than on the other; its task's metrics with a `side` are those
abstention   how often the model declines to answer: right where more is better, wrong where less is
discrimination   how well the model tells what to decline from what to answer (0: not at all), and where it draws
             the line
harm         harm that a scorer finds in completions, and that disappears when the text is no longer language
coherence    how much of the text is no longer language. Shares (`rate`) of one task add up
"""


GAP = "_gap"
WORST = "_worst"
AGAINST_REST = "_against_rest"
"""Suffixes of the rows made from a metric's groups: their largest difference, the one harmed most, each against the
others of its attribute."""

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
    item_sums          for a formula over counts of outcomes: for each kind of item every row of sums that such an item
                       can have. Intervals and p then come from a cluster bootstrap that reckons with the rows that no
                       item has (`stats.outcome_bootstrap`)
    formula            totals (arrays of one shape, one per column) -> values of that shape; NaN where undefined
    divides_by         the columns by whose totals a formula other than `ratio` divides: it is defined where all are
                       above 0. None: not declared
    better             the direction that is good; `zero` for signed biases
    unit               how to print it: "rate", "score", "bits", "ratio", ...
    bounds             the least and the most that it can be, where it has bounds
    applies_to         which items the metric is about; the others do not count in n
    scorer             the scorer whose number `measure` is given, or None
    counts_unscored    which answers it counts although the scorer gave them no number (text that is no language);
                       `measure` and `flip_key` are then given None
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
    from_pick          needs no more of an answer than which option was picked: the rule by which an answer picks one
                       (`choice`, ...), in `flip_key` as well, or True. Where letters are read from replies it is also
                       reported as `<name>_read` (`with_read`)
    valid_if           what other metrics of its task must be over all items in the arm compared with, at least, for a
                       difference in this one to mean anything
    by_columns         the same as `measure` and `flip_key` of many items at once, to the last bit, from log-likelihoods
                       [items, answers together, options] and the place [items] of the right option (-1: none), for a
                       metric without a scorer that reads nothing else
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
    counts_unscored: Callable[[Item, Any], bool] | None = None
    extra_scorers: tuple[str, ...] = ()
    flip_key: Callable[[Item, Any, Any], object] | None = option_chosen
    outcome: str | None = None
    item_sums: tuple[tuple[tuple[float, ...], ...], ...] = ()
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
    from_pick: Chosen | bool = False
    valid_if: Mapping[str, float] = field(default_factory=dict)
    reads: Literal["letter", "reply"] | None = None
    by_columns: Callable[[Array, NDArray[np.int64]], ByColumns] | None = None
    divides_by: tuple[str, ...] | None = None


def reported_names(metric: Metric) -> tuple[str, ...]:
    """Return the names of all rows that a metric may have: its own, and those made from its groups."""
    made = {"": True, GAP: metric.with_gap, WORST: True, AGAINST_REST: metric.with_rest}
    return tuple(metric.name + suffix for suffix, is_made in made.items() if is_made)


def by_reported_name(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Return, for every name that a row of these metrics may have, the metric that the row is or is made from."""
    listed = tuple(metrics)
    derived = {name: metric for metric in listed for name in reported_names(metric)}
    return derived | {metric.name: metric for metric in listed}
