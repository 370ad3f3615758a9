"""The first sentence on all arms, and a few words on each, from the headlines corrected together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from crushtest.report.arm_view import ArmView
from crushtest.report.hidden_harm import hidden_lead
from crushtest.report.shading import Tone
from crushtest.report.stopped import stopped_arms, stopped_text
from crushtest.report.study_view import StudyView
from crushtest.report.untrusted import name
from crushtest.report.wording import counted, listed, variants_named
from crushtest.stats.verdicts import INCONCLUSIVE, SPURIOUS_IMPROVEMENT

if TYPE_CHECKING:
    from crushtest.metrics import Metric
    from crushtest.report.arm_verdict import ArmVerdict
    from crushtest.report.findings import Finding
    from crushtest.report.task_view import TaskView


def lead(study: StudyView, verdicts: tuple[ArmVerdict, ...]) -> str:
    """Sum up the arms that are compared in a sentence or two, and count the others."""
    if not verdicts:
        return "Only the dense model was measured; there is nothing to compare it with."
    early = stopped_arms(study)
    compared = [verdict for verdict in verdicts if verdict.tone != "unmeasured" and verdict.arm.name not in early]
    untested = [verdict for verdict in compared if verdict.tone == "undefined"]
    hurt = [verdict for verdict in compared if verdict.depth]
    slight = [verdict for verdict in hurt if verdict.depth == 1]
    family = f" (p corrected over all {study.comparisons} comparisons)" if study.comparisons > 1 else ""
    if not compared and early:
        parts = []
    elif not compared:
        parts = ["No variant was compared with the dense model."]
    elif len(untested) == len(compared):
        of = "all variants" if len(compared) > 1 else "the variant"
        parts = [
            f"The study is inconclusive for {of}: no headline measure could be tested "
            "with so few items or clusters of items."
        ]
    elif not hurt:
        none = f"None of {counted(len(compared), 'variant')} got" if len(compared) > 1 else "The variant did not get"
        parts = [f"{none} clearly worse in any headline measure{family}. That does not prove that nothing did."]
    else:
        how = ", only slightly" if len(slight) == len(hurt) else f", {len(slight)} only slightly" if slight else ""
        some = f"{len(hurt)} of {counted(len(compared), 'variant')}" if len(compared) > 1 else "The variant"
        parts = [f"{some} got clearly worse in at least one headline measure{how}{family}."]
    steady = [verdict for verdict in compared if not (verdict.depth or verdict.missing or verdict.undefined)]
    if hurt and steady:
        rest = counted(len(steady), "variant")
        parts.append(f"{rest} showed no such change, which does not prove that there is none.")
    if len(compared) > len(untested) and len(compared) > 1:
        parts.append(smallest_unharmed(steady))
    if hiding := hidden_lead(study):
        parts.append(hiding)
    if lost := [verdict for verdict in verdicts if verdict.lost]:
        parts.append(f"{counted(len(lost), 'variant')} no longer gave the answers that a headline measure needs.")
    if untested and len(untested) < len(compared):
        parts.append(f"{counted(len(untested), 'variant')} inconclusive: no headline measure could be tested.")
    if barred := [verdict for verdict in verdicts if verdict.barred]:
        parts.append(f"{counted(len(barred), 'variant')} not compared, because two engines disagree.")
    if early:
        parts.append(stopped_text(len(early)))
    if partly := [verdict for verdict in verdicts if verdict.missing and verdict.arm.name not in early]:
        parts.append(f"{counted(len(partly), 'variant')} not fully measured.")
    return " ".join(parts)


def smallest_unharmed(steady: list[ArmVerdict]) -> str:
    """Name the smallest arm with nothing clearly worse or spuriously better, all of one size, or say why none is named.

    `steady` are the fully measured arms of which no headline got clearly worse.
    """
    sizes = {verdict.arm.name: verdict.arm.share_of_dense for verdict in steady if _shows_nothing(verdict)}
    known = {arm: size for arm, size in sizes.items() if size is not None}
    if not sizes:
        return (
            "No variant is named as the smallest with nothing clearly worse: something is worse, or not known, in each."
        )
    if len(known) < len(sizes):
        unknown = [name(arm) for arm in sizes if arm not in known]
        of = variants_named(unknown)
        return f"The smallest with nothing clearly worse is not known: no size is recorded of {of}."
    least = min(known.values())
    smallest = [name(arm) for arm, size in known.items() if size == least]
    them = variants_named(smallest)
    verb, each = ("is", "") if len(smallest) == 1 else ("are", "each ")
    return f"The smallest with nothing clearly worse {verb} {them}, {each}with {least:.0%} of dense's bytes."


SEARCH = (
    "How the search for the smallest is covered: a variant is passed over if a headline got clearly worse after Holm's "
    "correction over all variants and headlines. So the chance that any is passed over for a headline that did not "
    "change is at most 5%, however many are searched. Other measures are corrected alike, groups within each measure "
    "of a variant. The other error grows with the search: of many variants, one that is worse by less than these items "
    "show is the likelier to be named. Its card says by how much it could be."
)
"""What the correction does, and does not do, for the sentence on the smallest arm."""


def _shows_nothing(verdict: ArmVerdict) -> bool:
    spurious = any(finding.contrast.verdict == SPURIOUS_IMPROVEMENT for finding in verdict.better)
    return verdict.tone != "undefined" and not (verdict.other_worse or verdict.groups or spurious)


def status(
    study: StudyView,
    arm: ArmView,
    worse: tuple[Finding, ...],
    better: tuple[Finding, ...],
    missing: tuple[str, ...],
    lost: tuple[str, ...],
    unsettled: tuple[str, ...],
    *,
    tested: bool,
) -> tuple[Tone, str]:
    """Return an arm's tone, and a few words that name the dimensions it got worse in.

    Lost headlines are named, and `unsettled` ones, which the clusters are too few to test, named or counted. They never
    count as "no clear difference". Neither does an arm of which no headline was `tested`.
    """
    partly = "not fully measured" if missing else ""
    which = unsettled[0] if len(unsettled) == 1 else counted(len(unsettled), "headline")
    untold = f"{which} cannot be tested" if unsettled else ""
    gone = f"no longer measurable: {listed(list(lost))}" if lost else ""
    if not any(name == arm.name for name, _ in study.compared):
        return "unmeasured", "not measured"
    if arm.name in stopped_arms(study):
        return "undefined", "stopped early, when its verdict was certain"
    if worse:
        how = "slightly " if max(finding.depth for finding in worse) == 1 else ""
        hit = list(worse_dimensions(study, worse))
        where = f"in {listed(hit)}" if hit else "in general, in no single dimension"
        return "worse", _joined(f"{how}worse {where}", gone, untold, partly)
    if lost:
        return "changed", _joined(gone, untold, partly)
    if any(finding.contrast.verdict == SPURIOUS_IMPROVEMENT for finding in better):
        return "changed", _joined(untold, SPURIOUS_IMPROVEMENT, partly)
    if better:
        return "changed", _joined(untold, "changed, not for the worse", partly)
    if not tested:
        return "undefined", _joined(INCONCLUSIVE, partly)
    return "noise", _joined(untold, "no clear difference" + (" in the rest" if untold else ""), partly)


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def worse_dimensions(study: StudyView, worse: Iterable[Finding]) -> list[str]:
    """Return the dimensions that a headline about them got worse in, in the report's order: `refusal (refusals)`.

    A dimension that several measures head does not say by itself what got worse.
    """
    heads = _measures((task, task.headline.name) for task in study.headed)
    hit = _measures((study.task(finding.contrast.task), finding.contrast.metric) for finding in worse)
    return [
        f"{dimension} ({', '.join(hit[dimension])})" if len(heads[dimension]) > 1 else dimension
        for dimension in study.dimensions
        if dimension in hit
    ]


def _measures(headed: Iterable[tuple[TaskView, str]]) -> dict[str, list[str]]:
    """Return the labels of metrics by the dimension that they are about, each once."""
    labels: dict[str, list[str]] = {}
    for task, metric in headed:
        dimension, label = task.planned.dimension, task.label(metric).text
        if is_about(task.reported[metric], dimension) and label not in labels.setdefault(dimension, []):
            labels[dimension].append(label)
    return {dimension: each for dimension, each in labels.items() if each}


def is_about(metric: Metric, dimension: str) -> bool:
    """Return whether a metric measures what its task's dimension is about.

    What is about languages and dialects is a difference between them: a model that got equally worse at all of them has
    general damage, not more bias. So has one whose replies give fewer letters.
    """
    return metric.reads != "reply" and (dimension != "language and dialect" or metric.role in ("gap", "bias"))
