"""Screening: the candidates answer the search half, the largest first, and those that pass there are put in order."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from crushtest.pipeline.run import run_study
from crushtest.pipeline.search.judge import judge, size_in
from crushtest.pipeline.search.opening import Search
from crushtest.printing import printable
from crushtest.stats.fixed_sequence import Screened, front
from crushtest.study.searched import Candidate, Judged, SearchRecord, no_larger
from crushtest.study.spec import ArmSpec


def screen(search: Search, record: SearchRecord) -> SearchRecord:
    """Judge the candidates one after another; return the record with what was said of them, and with the order.

    What is predicted to be no better than a regression is left out. A search that was killed goes on with the next one.
    """
    tried = record.candidates or ()
    screened, left_out = {one.name: one for one in record.screened or ()}, dict(record.left_out)
    for candidate in by_size(tried):
        if candidate.name in screened or candidate.name in left_out:
            continue
        regressions = [one for one in tried if one.name in screened and is_foreseen(one, screened[one.name])]
        if (worse_than := no_better_than(candidate, regressions)) is not None:
            left_out[candidate.name] = worse_than
        else:
            line = f"screening: {candidate.name}, {len(screened) + 1} of at most {len(tried) - len(left_out)}"
            print(printable(line), file=sys.stderr)
            screened[candidate.name] = _judged(search, tried, [*screened, candidate.name])
        record = record.model_copy(update={"screened": tuple(screened.values()), "left_out": left_out})
        search.folder.write(record)
    order = order_of(list(screened.values()), search.request.target)
    record = record.model_copy(update={"order": tuple(order)})
    search.folder.write(record)
    return record


def by_size(tried: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates from the largest down; those of unknown size first."""
    return sorted(tried, key=lambda one: float("-inf") if one.size is None else -one.size)


def is_foreseen(candidate: Candidate, judged: Judged) -> bool:
    """Return whether a candidate is a regression, and its dimensions beyond a margin are those that are predicted."""
    beyond = {dimension for dimension, ratio in judged.ratios.items() if ratio > 1}
    return judged.outcome == "regression" and beyond <= (candidate.predicted or {}).keys()


def no_better_than(candidate: Candidate, regressions: Iterable[Candidate]) -> str | None:
    """Return the first regression that a candidate is predicted to be no better than, in any dimension; or None.

    A swapped mix is better than its own as measured, whatever is predicted of it, and gives None.
    """
    own = candidate.predicted
    if own is None or candidate.kind == "swapped":
        return None
    worse_than = (
        one.name
        for one in regressions
        if one.predicted is not None and all(own[dimension] >= there for dimension, there in one.predicted.items())
    )
    return next(worse_than, None)


def _judged(search: Search, tried: Sequence[Candidate], names: Sequence[str]) -> Judged:
    """Ask the last of these candidates the search half, in the study of them all; return what is said of it."""
    folder = search.folder
    of_name = {one.name: one for one in tried}
    run_study(search.request.study(folder, "search", arms_of([of_name[name] for name in names])), folder.screen.root)
    sizes = {names[-1]: size_in(folder.screen, names[-1], search.linear_bytes)}
    (found,) = judge(folder.screen, str(folder.policy), names[-1:], sizes)
    return found


def order_of(screened: Sequence[Judged], target: float | None) -> list[str]:
    """Return the names to verify, in order: of those within the budget as measured, the front from the largest down.

    With a target it is the one that harms least among those that are no larger. What is inconclusive stands before none
    that passed: it would end the verification.
    """
    within = [
        Screened(one.name, one.size, one.worst)
        for one in no_larger(screened, target)
        if one.outcome != "regression" and one.worst <= 1
    ]
    passed = {one.name for one in screened if one.outcome == "passed"}
    if target is None:
        names = [one.name for one in front(within)]
        return [name for place, name in enumerate(names) if name in passed or passed.isdisjoint(names[place:])]
    return [min(within, key=lambda one: (one.name not in passed, one.ratio, one.size)).name] if within else []


def arms_of(tried: Iterable[Candidate]) -> list[ArmSpec]:
    """Return candidates as the arms of a study."""
    return [ArmSpec(name=one.name, recipe=one.recipe) for one in tried]
