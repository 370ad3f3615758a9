"""What a study says of each arm, in sentences that quote their intervals and never say more than the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crushtest.metrics import WORST, about_people
from crushtest.records import Contrast
from crushtest.report.formats import (
    MINUS,
    show_band,
    show_bytes,
    show_difference,
    show_interval,
    show_p,
    show_value,
    unit_of_difference,
)
from crushtest.report.gather import ArmView, StudyView, TaskView
from crushtest.report.headlines import as_ratio
from crushtest.report.shading import CLEAR, Tone, importance, is_clear
from crushtest.report.shading import depth as depth_of
from crushtest.report.words import ALL, counted, group_text, label, listed
from crushtest.stats.noise import WITHIN
from crushtest.stats.verdicts import ALPHA, NO_IMPROVEMENT

MOST_GROUPS = 3
DEPLOYMENT = {
    "deployment delta": "Runs otherwise than dense (engine, kernel, dtype, device): a deployment delta.",
    "compression and deployment": "Compressed, and runs otherwise than dense (engine, kernel, dtype or device).",
}
"""What `compares` of a contrast means for its reader; an effect of compression alone needs no words."""


@dataclass(frozen=True)
class Finding:
    """One contrast in words. `subject` is what changed, `text` how, with the interval; `anchor` leads to its detail."""

    subject: str
    text: str
    tone: Tone
    depth: int
    anchor: str
    contrast: Contrast


@dataclass(frozen=True)
class ArmVerdict:
    """Everything that the first page says of one arm. Lists may be empty; `missing` names what was not measured.

    depth   of its worst change for the worse, as in `shading`; 0 where there is none
    also    measures besides the headlines that got clearly worse, p corrected for looking at all of them
    """

    arm: ArmView
    tone: Tone
    depth: int
    status: str
    size: str
    compares: str
    worse: tuple[Finding, ...]
    better: tuple[Finding, ...]
    held: tuple[Finding, ...]
    also: tuple[Finding, ...]
    groups: tuple[Finding, ...]
    groups_summary: str
    uneven: str
    sure: str
    cautions: tuple[str, ...]
    missing: tuple[str, ...]
    undefined: tuple[str, ...]


def verdicts(study: StudyView) -> tuple[ArmVerdict, ...]:
    """One verdict per arm that is compared with dense, in the study's order."""
    return tuple(_verdict(study, arm) for arm in study.others)


def lead(found: tuple[ArmVerdict, ...]) -> str:
    """All arms in a sentence or two."""
    if not found:
        return "Only the dense model was measured; there is nothing to compare it with yet."
    many = counted(len(found), "variant")
    hurt = [verdict for verdict in found if verdict.depth]
    slight = [verdict for verdict in hurt if verdict.depth == 1]
    if not hurt:
        none = f"None of {many} got" if len(found) > 1 else "The variant did not get"
        parts = [f"{none} clearly worse in any measure, which does not prove that nothing did."]
    else:
        how = ", only slightly" if len(slight) == len(hurt) else f", {len(slight)} only slightly" if slight else ""
        some = f"{len(hurt)} of {many}" if len(found) > 1 else "The variant"
        parts = [f"{some} got clearly worse in at least one measure{how}."]
    steady = [verdict for verdict in found if not verdict.depth and not verdict.missing and not verdict.undefined]
    if hurt and steady:
        rest = counted(len(steady), "variant")
        parts.append(f"In {rest} no such change was seen, which does not prove that there is none.")
    partly = [verdict for verdict in found if verdict.missing]
    if partly:
        parts.append(f"{counted(len(partly), 'variant')} not fully measured.")
    return " ".join(parts)


def size_text(arm: ArmView) -> str:
    """Size of the whole model and of its compressed layers, both as compression.json has them, each named.

    `whole model 270 MB → 200 MB (−26%), its compressed layers −50%; ideal storage, 16 bits a dense weight`
    """
    before, after = (arm.totals.get(f"{which}_model_size_bytes") for which in ("dense", "compressed"))
    if not before or not after:
        return "size not recorded"
    whole = f"whole model {show_bytes(before)} → {show_bytes(after)} ({after / before - 1:+.0%})"
    layers = "" if arm.ratio is None else f", its compressed layers {-arm.ratio:+.0%}"
    return f"{whole}{layers}; ideal storage, 16 bits a dense weight".replace("-", MINUS)


def sentence(contrast: Contrast, unit: str) -> str:
    """`rose from 21.30 to 34.05 (+12.75; 95% interval +11.90 to +13.60)`."""
    assert contrast.difference is not None
    verb = "moved" if contrast.better == "zero" else "rose" if contrast.difference > 0 else "fell"
    before, after = show_value(contrast.dense, unit), show_value(contrast.value, unit)
    return f"{verb} from {before} to {after} ({_difference(contrast, unit)})"


def _difference(contrast: Contrast, unit: str) -> str:
    bounds = f"95% interval {show_interval(contrast.low, contrast.high, unit)}"
    if not is_clear(contrast) and contrast.low is not None and contrast.low * (contrast.high or 0.0) > 0:
        bounds += f"; p {show_p(contrast.p)}"  # says why an interval that excludes 0 is not enough
    if contrast.verdict == WITHIN:
        bounds += f"; {WITHIN}, {show_band(contrast.noise, unit)}"
    return f"{show_difference(contrast.difference, unit)}{unit_of_difference(unit)}; {bounds}"


def _verdict(study: StudyView, arm: ArmView) -> ArmVerdict:
    tasks = [task for task in study.tasks if (arm.name, task.name) in study.compared]
    found = [_finding(study, arm, task, group) for task in tasks for group in study.headline_groups(task)]
    findings = [finding for finding in found if finding is not None]
    groups, groups_summary = _groups(study, arm, tasks)
    worse = tuple(finding for finding in findings if finding.tone == "worse")
    better = tuple(finding for finding in findings if finding.tone in ("better", "changed"))
    held = tuple(finding for finding in findings if finding.tone == "noise")
    missing = tuple(task.name for task in study.tasks if task not in tasks)
    also = tuple(_also(study, arm, tasks))
    depth = max((finding.depth for finding in (*worse, *also)), default=0)
    tone, status = _status(study, arm, (*worse, *also), better, missing)
    return ArmVerdict(
        arm=arm,
        tone=tone,
        depth=depth,
        status=status,
        size=size_text(arm),
        compares=compares_text(study, arm),
        worse=worse,
        better=better,
        held=held,
        also=also,
        groups=groups,
        groups_summary=groups_summary,
        uneven=_uneven(study, arm, tasks),
        sure=_sure(study, tasks, held),
        cautions=tuple(_cautions(study, arm, tasks, findings)),
        missing=missing,
        undefined=tuple(_undefined(study, arm, tasks)),
    )


def _finding(study: StudyView, arm: ArmView, task: TaskView, group: str) -> Finding | None:
    """The headline contrast of one task; None where it, or its interval, is undefined."""
    contrast = study.contrast(arm.name, task.name, task.headline.name, group)
    if contrast is None or contrast.verdict == "undefined":
        return None
    unit = task.headline.unit
    tone: Tone = CLEAR[contrast.verdict] if is_clear(contrast) else "noise"
    text = sentence(contrast, unit) if tone != "noise" else _difference(contrast, unit)
    text += as_ratio(study, contrast)
    if contrast.verdict == NO_IMPROVEMENT:
        text += f". No improvement: {contrast.caution}"
    elif tone == "better" and contrast.caution:
        text += f". Caution: {contrast.caution}"  # good news is where a caution is overlooked
    elif contrast.caution and contrast.low == contrast.high:
        text += f". Caution: {contrast.caution}"  # an interval without width looks sure of itself
    return Finding(_subject(study, task, group), text, tone, depth_of(contrast, unit), anchor(task), contrast)


def _subject(study: StudyView, task: TaskView, group: str = ALL) -> str:
    """The headline's label; with the task's name where two tasks share it, and the group where it is not all items."""
    text = label(task.headline.name).text
    shared = [other for other in study.tasks if label(other.headline.name).text == text]
    which = [task.name] if len(shared) > 1 else []
    which += [group_text(group)] if group != ALL else []
    return f"{text} ({', '.join(which)})" if which else text


def anchor(task: TaskView) -> str:
    """The id of a task's detail on the page."""
    return f"task-{task.number}"


def _status(
    study: StudyView, arm: ArmView, worse: tuple[Finding, ...], better: tuple[Finding, ...], missing: tuple[str, ...]
) -> tuple[Tone, str]:
    places = {task.name: task.planned.dimension for task in study.tasks}
    hit = {places[finding.contrast.task] for finding in worse}
    measured = {places[task] for name, task in study.compared if name == arm.name}
    partly = " · not fully measured" if missing else ""
    if not measured:
        return "unmeasured", "not measured"
    if hit:
        how = "slightly " if max(finding.depth for finding in worse) == 1 else ""
        return "worse", f"{how}worse in {len(hit)} of {counted(len(measured), 'dimension')}{partly}"
    if any(finding.contrast.verdict == NO_IMPROVEMENT for finding in better):
        return "changed", f"changed, no improvement{partly}"
    if better:
        return "changed", f"changed, not for the worse{partly}"
    return "noise", f"no clear difference{partly}"


def _also(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> Iterator[Finding]:
    """Other pooled metrics that got clearly worse."""
    for task in tasks:
        for metric in study.metrics_of(task):
            contrast = study.contrast(arm.name, task.name, metric)
            if contrast and metric != task.headline.name and contrast.verdict == "worse" and _survives(contrast):
                unit = task.unit(metric)
                text = f"{show_difference(contrast.difference, unit)}{unit_of_difference(unit)}"
                yield Finding(label(metric).text, text, "worse", depth_of(contrast, unit), anchor(task), contrast)


def _cautions(study: StudyView, arm: ArmView, tasks: list[TaskView], findings: list[Finding]) -> Iterator[str]:
    """What to know of the headlines, and which other pooled metrics moved the better way without an improvement."""
    yield from (f"{finding.subject}: {finding.contrast.caution}" for finding in findings if finding.contrast.caution)
    for task in tasks:
        for metric in study.metrics_of(task):
            row = study.contrast(arm.name, task.name, metric)
            if row and metric != task.headline.name and row.verdict == NO_IMPROVEMENT:
                yield f"{label(metric).text}, no improvement: {row.caution}"


def _survives(contrast: Contrast) -> bool:
    """Whether it passes the correction for all the rows that were looked through."""
    return contrast.p_adjusted is None or contrast.p_adjusted <= ALPHA


def _groups(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> tuple[tuple[Finding, ...], str]:
    """The groups that a headline got clearly worse for, the most affected first, and how many were looked at."""
    found: list[tuple[tuple[int, float], Finding]] = []
    looked = 0
    for task in tasks:
        pooled = study.contrast(arm.name, task.name, task.headline.name)
        for group in filter(about_people, study.rows_of.get((task.name, task.headline.name), [])):
            contrast = study.contrast(arm.name, task.name, task.headline.name, group)
            if contrast is None or contrast.verdict == "undefined" or (pooled and contrast.n == pooled.n):
                continue  # a group that holds every item is no group
            looked += 1
            if contrast.verdict == "worse" and is_clear(contrast):
                unit = task.headline.unit
                subject = group_text(group)
                text = f"{_subject(study, task)} {sentence(contrast, unit)}"
                finding = Finding(subject, text, "worse", depth_of(contrast, unit), anchor(task), contrast)
                found.append((importance(contrast, unit), finding))
    found.sort(key=lambda pair: pair[0], reverse=True)
    summary = (
        f"{len(found)} of {counted(looked, 'group comparison')} clearly worse, corrected for looking at all of them."
        if looked
        else "No groups were compared."
    )
    return tuple(finding for _, finding in found[:MOST_GROUPS]), summary


def compares_text(study: StudyView, arm: ArmView) -> str:
    """What differs from dense besides the compressed weights, and how they were drawn; the empty text for neither."""
    rows = [
        study.contrast(arm.name, task.name, task.headline.name, group)
        for task in study.tasks
        for group in study.headline_groups(task)
    ]
    said = dict.fromkeys(row.compares for row in rows if row is not None and row.compares)
    differs = DEPLOYMENT.get(next(iter(said)), "") if len(said) == 1 else listed([str(text) for text in said])
    return f"{arm.draw.capitalize()}. {differs}".rstrip() if arm.draw else differs


def _uneven(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> str:
    """The attributes whose groups a headline did not change alike for; the empty text where there are none."""
    found = []
    for task in tasks:
        worst = f"{task.headline.name}_worst"
        for attribute in study.rows_of.get((task.name, worst), []):
            row = study.contrast(arm.name, task.name, worst, attribute)
            if row is not None and row.spread_p is not None and row.spread_p <= ALPHA:
                found.append(f"{group_text(attribute)} in {_subject(study, task)} (p {show_p(row.spread_p)})")
    return f"Groups did not fare alike by {listed(found)}." if found else ""


def _sure(study: StudyView, tasks: list[TaskView], held: tuple[Finding, ...]) -> str:
    """How many items, and what change they could have missed."""
    items = sum(task.items or 0 for task in tasks)
    units = {task.name: task.headline.unit for task in tasks}
    missed = [
        f"{show_value(finding.contrast.mde, units[finding.contrast.task]).rstrip('%')}"
        f"{unit_of_difference(units[finding.contrast.task])} in {finding.subject}"
        for finding in held
        if finding.contrast.mde is not None
    ]
    text = f"{counted(items, 'item')}, the same for dense and this variant."
    if missed:
        text += f" A change smaller than {listed(missed)} would often be missed."
    blind = [finding.subject for finding in held if none_detectable(finding.contrast, units[finding.contrast.task])]
    return f"{text} Any change in {listed(blind)} would often be missed: too few items." if blind else text


def none_detectable(contrast: Contrast, unit: str) -> bool:
    """Whether a rate would have to move further than it can to be noticed often. Not told of worst groups."""
    varies = contrast.low is not None and contrast.high is not None and contrast.low < contrast.high
    told = not contrast.metric.endswith(WORST)
    return unit == "rate" and contrast.mde is None and varies and told


def _undefined(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> Iterator[str]:
    for task in tasks:
        for group in study.headline_groups(task):
            contrast = study.contrast(arm.name, task.name, task.headline.name, group)
            if contrast is None or contrast.verdict == "undefined":
                reason = contrast.reason if contrast else "reported by group only"
                yield f"{_subject(study, task, group)}: {reason}"
