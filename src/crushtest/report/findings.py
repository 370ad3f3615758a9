"""What a study says of each arm, in sentences that quote their intervals and never say more than the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crushtest.metrics import WORST, about_people
from crushtest.records import Contrast
from crushtest.report.answers import changed_answers
from crushtest.report.bounds import interval_text
from crushtest.report.chance import no_evidence_of_bias
from crushtest.report.claims import UNTESTED, is_tested
from crushtest.report.formats import MINUS, show_bytes, show_difference, show_p, show_value, unit_of_difference
from crushtest.report.headlines import as_ratio, unfit_notes
from crushtest.report.shading import CLEAR, Tone, clear_alone, importance, is_clear, said
from crushtest.report.shading import depth as depth_of
from crushtest.report.status import status
from crushtest.report.study_view import ArmView, StudyView, TaskView
from crushtest.report.untested import untested
from crushtest.report.wording import ALL, counted, group_text, listed
from crushtest.stats.verdicts import ALPHA, SPURIOUS_IMPROVEMENT, WORSE

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

    depth      of the headline that got worse most, as in `shading`; 0 where none did
    also       measures besides the headlines that got clearly worse, corrected over all arms and measures shown
    untested   per task, the comparisons without a test
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
    lost: tuple[str, ...]
    untested: tuple[str, ...]
    unfit: tuple[str, ...]


def verdicts(study: StudyView) -> tuple[ArmVerdict, ...]:
    """One verdict per arm that is compared with dense, in the study's order."""
    return tuple(_verdict(study, arm) for arm in study.others)


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


def sentence(task: TaskView, contrast: Contrast) -> str:
    """`rose from 21.30 to 34.05 (+12.75; 95% interval +11.90 to +13.60)`, with the chance level where there is one."""
    assert contrast.difference is not None
    unit = task.unit(contrast.metric)
    verb = "moved" if contrast.better == "zero" else "rose" if contrast.difference > 0 else "fell"
    before, after = show_value(contrast.dense, unit), show_value(contrast.value, unit)
    return f"{verb} from {before} to {after} ({_difference(task, contrast)})"


def _difference(task: TaskView, contrast: Contrast) -> str:
    unit = task.unit(contrast.metric)
    parts = [
        f"{show_difference(contrast.difference, unit)}{unit_of_difference(unit)}",
        f"95% interval {interval_text(contrast, unit)}",
    ]
    if not is_clear(contrast) and contrast.low is not None and contrast.low * (contrast.high or 0.0) > 0:
        parts.append(f"p {show_p(contrast.p)}")  # says why an interval that excludes 0 is not enough
    if contrast.metric in task.chance and contrast.group == ALL:  # a group may have other numbers of options
        parts.append(f"chance {show_value(task.chance[contrast.metric], unit)}")
    return "; ".join(parts)


def _held(study: StudyView, task: TaskView, contrast: Contrast) -> str:
    """`moved by less than 3.4 points (+1.2 points; 95% interval ...); 12 of 60 answers changed (20%): ...`."""
    unit = task.unit(contrast.metric)
    if clear_alone(contrast):
        words = f"is clear on its own, but not after correction for {counted(study.comparisons, 'comparison')}"
    else:
        words = said(contrast, unit)
        words = f"moved by {words}" if words.startswith("less than") else words
    answers = changed_answers(contrast, task)
    return f"{words} ({_difference(task, contrast)}){f'; {answers}' if answers else ''}"


def _verdict(study: StudyView, arm: ArmView) -> ArmVerdict:
    tasks = [task for task in study.tasks if (arm.name, task.name) in study.compared]
    found = [_finding(study, arm, task, group) for task in tasks for group in study.headline_groups(task)]
    findings = [finding for finding in found if finding is not None]
    groups, groups_summary = _groups(study, arm, tasks)
    worse = tuple(finding for finding in findings if finding.tone == "worse")
    better = tuple(finding for finding in findings if finding.tone in ("better", "changed"))
    held = tuple(finding for finding in findings if finding.tone == "noise")
    missing = tuple(task.name for task in study.tasks if task not in tasks)
    also = tuple(_also(study, arm))
    lost = tuple(_lost(study, arm, tasks))
    tone, words = status(study, arm, worse, better, missing, lost)
    return ArmVerdict(
        arm=arm,
        tone=tone,
        depth=max((finding.depth for finding in worse), default=0),
        status=words,
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
        lost=lost,
        untested=tuple(f"{task.name}: {text}" for task in tasks if (text := untested(study, task, (arm,)).text)),
        unfit=tuple(unfit_notes(study)),
    )


def _finding(study: StudyView, arm: ArmView, task: TaskView, group: str) -> Finding | None:
    """The headline contrast of one task; None where it was not tested."""
    contrast = study.contrast(arm.name, task.name, task.headline.name, group)
    if contrast is None or contrast.verdict in UNTESTED:
        return None
    unit = task.headline.unit
    tone: Tone = CLEAR[contrast.verdict] if is_clear(contrast) else "noise"
    text = sentence(task, contrast) if tone != "noise" else _held(study, task, contrast)
    text += as_ratio(study, contrast)
    doubt = no_evidence_of_bias(study, task)
    if doubt:
        text += f". Caution: {doubt}"
    if contrast.verdict == SPURIOUS_IMPROVEMENT:
        text += f". Spurious improvement: {contrast.caution}"
    elif tone == "better" and contrast.caution:
        text += f". Caution: {contrast.caution}"  # good news is where a caution is overlooked
    return Finding(_subject(study, task, group), text, tone, depth_of(contrast, unit), anchor(task), contrast)


def _subject(study: StudyView, task: TaskView, group: str = ALL) -> str:
    """The headline's label; with the task's name where two tasks share it, and the group where it is not all items."""
    text = task.label(task.headline.name).text
    shared = [other for other in study.tasks if other.label(other.headline.name).text == text]
    which = [task.name] if len(shared) > 1 else []
    which += [group_text(group)] if group != ALL else []
    return f"{text} ({', '.join(which)})" if which else text


def anchor(task: TaskView) -> str:
    """The id of a task's detail on the page."""
    return f"task-{task.number}"


def _also(study: StudyView, arm: ArmView) -> Iterator[Finding]:
    """Other measures over all items that got clearly worse."""
    for task, contrast in study.pooled(arm):
        if contrast.metric != task.headline.name and contrast.verdict == WORSE and is_clear(contrast):
            unit = task.unit(contrast.metric)
            text = f"{show_difference(contrast.difference, unit)}{unit_of_difference(unit)}"
            subject = task.label(contrast.metric).text + (
                "" if contrast.group == ALL else f" ({group_text(contrast.group)})"
            )
            yield Finding(subject, text, "worse", depth_of(contrast, unit), anchor(task), contrast)


def _cautions(study: StudyView, arm: ArmView, tasks: list[TaskView], findings: list[Finding]) -> Iterator[str]:
    """What to know of the headlines, and which other pooled metrics moved the better way without an improvement."""
    yield from (f"{finding.subject}: {finding.contrast.caution}" for finding in findings if finding.contrast.caution)
    for task in tasks:
        for metric in study.metrics_of(task):
            row = study.contrast(arm.name, task.name, metric)
            if row and metric != task.headline.name and row.verdict == SPURIOUS_IMPROVEMENT:
                yield f"{task.label(metric).text}, {SPURIOUS_IMPROVEMENT}: {row.caution}"


def _groups(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> tuple[tuple[Finding, ...], str]:
    """The groups that a headline got clearly worse for, the most affected first, and how many were looked at."""
    found: list[tuple[tuple[int, float], Finding]] = []
    looked = 0
    for task in tasks:
        pooled = study.contrast(arm.name, task.name, task.headline.name)
        for group in filter(about_people, study.rows_of.get((task.name, task.headline.name), [])):
            contrast = study.contrast(arm.name, task.name, task.headline.name, group)
            if contrast is None or not is_tested(contrast) or (pooled and contrast.n == pooled.n):
                continue  # a group that holds every item is no group
            looked += 1
            if contrast.verdict == WORSE and is_clear(contrast):
                unit = task.headline.unit
                subject = group_text(group)
                text = f"{_subject(study, task)} {sentence(task, contrast)}"
                finding = Finding(subject, text, "worse", depth_of(contrast, unit), anchor(task), contrast)
                found.append((importance(contrast, unit), finding))
    found.sort(key=lambda pair: pair[0], reverse=True)
    summary = (
        f"{len(found)} of {counted(looked, 'group comparison')} clearly worse; p is corrected per measure, over its "
        "attributes and over the groups of each."
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
    told = not contrast.metric.endswith(WORST) and is_tested(contrast)
    return unit == "rate" and contrast.mde is None and varies and told


def _lost(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> Iterator[str]:
    """Headlines that dense has a value of and the arm has not: every answer was "unknown", say."""
    for task in tasks:
        for group in study.headline_groups(task):
            contrast = study.contrast(arm.name, task.name, task.headline.name, group)
            if contrast is not None and contrast.dense is not None and contrast.value is None and contrast.n:
                yield _subject(study, task, group)


def _undefined(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> Iterator[str]:
    for task in tasks:
        for group in study.headline_groups(task):
            contrast = study.contrast(arm.name, task.name, task.headline.name, group)
            if contrast is None or contrast.verdict in UNTESTED:
                reason = (contrast.reason or said(contrast, "")) if contrast else "reported by group only"
                yield f"{_subject(study, task, group)}: {reason}"
