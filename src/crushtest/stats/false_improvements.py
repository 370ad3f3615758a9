"""Better on paper: contrasts that moved the better way because the model got worse.

Three ways of that are looked for; `fluency` looks for a fourth, harmless text that is no text.

- "Unknown" is right where the context decides nothing. A model that answers it where the context does decide, too, has
  not become careful.
- A bias of answers vanishes with the answers: whoever guesses follows no stereotype.
- A gap between two varieties of a language narrows where neither is understood.

What gives them away is looked at as it came out or where it is clearly worse: a mark too many is cheaper than a claim
too many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from crushtest.metrics import GAP, Metric, by_reported_name
from crushtest.results import Contrast
from crushtest.stats.fluency import PERPLEXITY_RISE
from crushtest.stats.verdicts import mark_spurious

FALL = 0.05
"""From so large a fall of a share of right answers on, a model counts as less able; below it, if the fall is clear."""

DEARER = 1.05
"""From so many times the bits per byte on, a variety counts as harder; below it, if the rise is clear."""


Pair = tuple[str, str]
"""An arm, and the arm that it is compared with."""


class Roles(NamedTuple):
    """A task's metrics by what they tell of: names, and `reported`, every name that a row may have -> its metric.

    abilities   more is better, and they are shares: a perplexity is compared over the whole study instead
    unknowns    how often the model says "unknown" where that is wrong
    sides       what a gap lies between
    """

    reported: Mapping[str, Metric]
    abilities: tuple[str, ...]
    unknowns: tuple[str, ...]
    sides: tuple[str, ...]

    @classmethod
    def of(cls, metrics: Sequence[Metric]) -> Roles:
        return cls(
            reported=by_reported_name(metrics),
            abilities=tuple(each.name for each in metrics if (each.role, each.better) == ("ability", "higher")),
            unknowns=tuple(each.name for each in metrics if (each.role, each.better) == ("abstention", "lower")),
            sides=tuple(each.name for each in metrics if each.side is not None),
        )


class RelatedRows(NamedTuple):
    """What stands beside a contrast: those of the same arm and task by metric and group, and the arm's perplexity.

    perplexity   the largest ratio to dense's on any text of the study; None where none was measured
    fallen       the share of right answers that fell most clearly in any task of the arm; None where none fell
    """

    rows: dict[tuple[str, str], Contrast]
    roles: Roles
    perplexity: float | None
    fallen: Contrast | None

    def same_items(self, row: Contrast, metrics: Sequence[str]) -> list[Contrast]:
        """Other metrics of the same group, or of all items where they have no such row; without undefined ones."""
        found = (self._same_items(row, metric) for metric in metrics)
        return [each for each in found if each is not None]

    def _same_items(self, row: Contrast, metric: str) -> Contrast | None:
        for group in (row.worst or row.group, "all"):
            found = self.rows.get((metric, group))
            if found is not None and found.difference is not None:
                return found
        return None


def mark_traps(contrasts: Sequence[Contrast], metrics: Mapping[str, Sequence[Metric]]) -> list[Contrast]:
    """Return a study's contrasts with every `spurious improvement` marked; `caution` says why.

    These are contrasts that got better for want of ability.

    A task that knows nothing of a model's ability (sentence pairs) is told of it by the study's perplexities, or
    where there are none, by right answers of other tasks. `metrics` are those of each task.
    """
    roles = {task: Roles.of(declared) for task, declared in metrics.items()}
    rows: dict[tuple[Pair, str], dict[tuple[str, str], Contrast]] = {}
    perplexity: dict[Pair, float] = {}
    fallen: dict[Pair, Contrast] = {}
    for row in contrasts:
        pair = row.arm, row.against
        rows.setdefault((pair, row.task), {})[row.metric, row.group] = row
        unit = _unit_of_ability(row, roles[row.task])
        if unit == "perplexity" and row.dense and row.value:
            perplexity[pair] = max(perplexity.get(pair, 0.0), row.value / row.dense)
        if unit == "rate" and roles[row.task].abilities == (row.metric,) and _less_able(row):
            fallen[pair] = min(fallen.get(pair, row), row, key=_moved)
    return [
        _marked(
            row,
            RelatedRows(
                rows=rows[(row.arm, row.against), row.task],
                roles=roles[row.task],
                perplexity=perplexity.get((row.arm, row.against)),
                fallen=fallen.get((row.arm, row.against)),
            ),
        )
        for row in contrasts
    ]


def _unit_of_ability(row: Contrast, roles: Roles) -> str | None:
    """The unit of a row that tells of the arm's ability, over all items of its task; None for any other row."""
    metric = roles.reported[row.metric]
    return metric.unit if (metric.role, metric.name, row.group) == ("ability", row.metric, "all") else None


def _marked(row: Contrast, beside: RelatedRows) -> Contrast:
    if row.verdict != "better":
        return row
    why = next((text for trap in TRAPS if (text := trap(row, beside))), None)
    return mark_spurious(row, why) if why else row


def _unknown_everywhere(row: Contrast, beside: RelatedRows) -> str | None:
    """A rise of "unknown" where it is right, beside one where it is wrong."""
    roles = beside.roles
    own = roles.reported[row.metric]
    if (own.role, own.better) != ("abstention", "higher"):
        return None
    unknowns = beside.same_items(row, roles.unknowns)
    right = beside.same_items(row, roles.abilities) if len(roles.abilities) == 1 else []
    parts = [
        f"“unknown” also where the context decides, {_rates(unknown)}"
        for unknown in unknowns
        if unknown.verdict == "worse" or _moved(unknown) > FALL
    ]
    parts += [f"right answers there, {_rates(able)}" for able in right if _less_able(able)]
    return f"more “unknown”, not more careful: {'; '.join(parts)}" if parts else None


def _guessing(row: Contrast, beside: RelatedRows) -> str | None:
    """A bias that shrank beside an ability that did."""
    role = beside.roles.reported[row.metric].role
    if role == "gap" or (role != "bias" and row.better != "zero"):
        return None
    found = beside.same_items(row, beside.roles.abilities)
    if found and len(found) == len(beside.roles.abilities):
        fell = _less_able(found[0]) if len(found) == 1 else sum(map(_moved, found)) / len(found) < -FALL
        how = "; ".join(f"{_words(able.metric)} {_rates(able)}" for able in found)
        return f"less bias because less able: {how}" if fell else None
    if beside.perplexity is not None:
        dearer = beside.perplexity > PERPLEXITY_RISE
        return (
            f"less bias because less able: {beside.perplexity:.1f} times {row.against}'s perplexity" if dearer else None
        )
    able = beside.fallen
    return f"less bias because less able: {_words(able.metric)} of {able.task} {_rates(able)}" if able else None


def _levelled_down(row: Contrast, beside: RelatedRows) -> str | None:
    """A gap between varieties that narrowed while one of them, or both, got harder and none easier."""
    roles = beside.roles
    if roles.reported[row.metric].role != "gap":
        return None
    sides = beside.same_items(row, roles.sides)
    harder = [side for side in sides if _is_harder(side)]
    if not harder or any(side.verdict == "better" for side in sides):
        return None
    which = "both sides" if len(harder) == len(sides) else "one side"
    names = [roles.reported[side.metric].side or "" for side in harder]
    measure = _words(harder[0].metric.removesuffix(names[0])).strip()
    how = ", ".join(f"{_words(n)} {s.dense:.2f} to {s.value:.2f}" for n, s in zip(names, harder, strict=True))
    return f"narrower because {which} got worse: {measure} of {how}"


def _even_but_worse(row: Contrast, beside: RelatedRows) -> str | None:
    """A gap between groups that narrowed while the measure itself got worse for all of them together."""
    if not row.metric.endswith(GAP) or row.better != "lower":
        return None
    pooled = beside.rows.get((row.metric.removesuffix(GAP), "all"))
    if pooled is None or pooled.verdict != "worse":
        return None
    return f"narrower while all groups together got worse: {pooled.dense:.3g} to {pooled.value:.3g}"


TRAPS: tuple[Callable[[Contrast, RelatedRows], str | None], ...] = (
    _unknown_everywhere,
    _guessing,
    _levelled_down,
    _even_but_worse,
)


# ---- looking beside a row ---------------------------------------------------------------------------


def _moved(row: Contrast) -> float:
    return row.difference or 0.0


def _less_able(row: Contrast) -> bool:
    return row.verdict == "worse" or _moved(row) < -FALL


def _is_harder(side: Contrast) -> bool:
    before, after = side.dense or 0.0, side.value or 0.0
    return side.verdict == "worse" or (before > DEARER * after if side.better == "higher" else after > DEARER * before)


def _rates(row: Contrast) -> str:
    return f"{row.dense:.0%} to {row.value:.0%}"


def _words(metric: str) -> str:
    return metric.replace("_", " ")
