"""How well the loss in language modelling ranks a study's arms by the loss in its other headlines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from zlib import crc32

from crushtest.metrics import ALL
from crushtest.records import DENSE
from crushtest.results import Contrast
from crushtest.stats.stored_items import clusters_of, ids_of
from crushtest.study.headlines import headings
from crushtest.study.plan import PlannedTask

if TYPE_CHECKING:
    from crushtest.pipeline.measured import Arms
    from crushtest.stats.ranking import Losses

LANGUAGE = "language modelling"
"""The dimension whose measures rank the arms by all others."""

RANKS = 2
"""The stream of random numbers of these resamples, after those of the intervals and of the tests."""


def headline_losses(
    planned: PlannedTask,
    rows: Sequence[Contrast],
    arms: Arms,
    *,
    seed: int,
) -> Iterator[Losses]:
    """Yield the losses of every arm in a task's headlines over all items, if enough arms are compared with dense.

    There are none unless the study has a language modelling task and another, between which arms are ranked.

    rows   the task's contrasts with dense
    """
    from crushtest.stats.ranking import FEWEST_ARMS, losses

    compared = {row.arm for row in rows}
    names = [arm for arm in arms.names if arm in compared]
    is_language = {each.dimension == LANGUAGE for each in arms.plan.tasks}
    if len(names) < FEWEST_ARMS or len(is_language) < 2:
        return
    items = arms.asked.items
    identity = "\n".join(f"{item}\t{cluster}" for item, cluster in zip(ids_of(items), clusters_of(items), strict=True))
    drawn = (seed, RANKS, crc32(identity.encode("utf-8", "surrogatepass")))
    heads = {metric.name: metric for _, metric, row in headings([planned], rows) if row.group == ALL}
    for metric in heads.values():
        if metric.cell_of is None and metric.better != "neither":
            measured = ((arm, arms.measured(arm)) for arm in (DENSE, *names))
            yield losses(planned.name, metric.name, arms.asked, measured, seed=drawn)


def rankings(tasks: Iterable[PlannedTask], every: Sequence[Losses]) -> dict[str, dict[str, Any]]:
    """Return, for the manifest, how each measure of language modelling ranks the arms by each other headline."""
    from crushtest.stats.ranking import rank

    dimension = {planned.name: planned.dimension for planned in tasks}
    language = [each for each in every if dimension[each.task] == LANGUAGE]
    others = [each for each in every if dimension[each.task] != LANGUAGE]
    return {
        f"{other.metric} of {other.task} by {by.metric} of {by.task}": asdict(rank(by, other))
        for by in language
        for other in others
    }
