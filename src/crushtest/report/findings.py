"""Single contrasts in words: what changed, how far it can have changed, and for which groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from crushtest.metrics import WORST, about_people
from crushtest.records import DENSE
from crushtest.report.answers import changed_answers
from crushtest.report.arm_view import ArmView
from crushtest.report.bounds import interval_text
from crushtest.report.chance import no_evidence_of_bias
from crushtest.report.corrected import difference_text
from crushtest.report.drift import drift_text
from crushtest.report.formats import show_clear_difference, show_difference, show_p, show_value, unit_of_difference
from crushtest.report.headlines import as_ratio
from crushtest.report.shading import CLEAR, Tone, clear_alone, importance, is_clear, is_doubtful, verdict_text
from crushtest.report.shading import depth as depth_of
from crushtest.report.stopped import look_text
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView, by_headline
from crushtest.report.wording import ALL, counted, group_text, listed, sentence_case
from crushtest.results import Contrast
from crushtest.stats.joint_claims import UNTESTED, is_tested
from crushtest.stats.verdicts import ALPHA, SPURIOUS_IMPROVEMENT, WORSE, excludes_zero

MOST_GROUPS = 3
OF_GROUPS = "p of groups is corrected per measure, over its attributes and over the groups of each."
"""What the counts of `worst_groups` are corrected over."""


@dataclass(frozen=True)
class Finding:
    """One contrast in words. `subject` is what changed, `text` how, with the interval; `anchor` leads to its detail.

    `doubt` is the part of the text that is about dense and its task, whichever arm is compared.
    """

    subject: str
    text: str
    tone: Tone
    depth: int
    anchor: str
    contrast: Contrast
    doubt: str = ""

    @property
    def brief(self) -> str:
        """The text without the doubt, which a page of many arms says once."""
        return self.text.replace(self.doubt, "") if self.doubt else self.text


def headline_finding(study: StudyView, arm: ArmView, task: TaskView, group: str) -> Finding | None:
    """Return a task's headline contrast in words; None if it was not tested."""
    contrast = study.contrast(arm.name, task.name, task.headline.name, group)
    if contrast is None or contrast.verdict in UNTESTED:
        return None
    tone = _tone(contrast)
    text = _unclear(study, task, contrast) if tone == "noise" else sentence(task, contrast)
    if contrast.look is not None:
        text += f", {look_text(contrast)}; no correction was made"
    text += as_ratio(study, contrast)
    if correction := study.correction(contrast):
        text += f". With people's labels: {difference_text(correction)}"
    reason = no_evidence_of_bias(study, task)
    doubt = f". Caution: {reason}" if reason else ""
    text += doubt
    if study.baseline == DENSE and (drift := drift_text(study, arm.name, task.name)):
        text += f". Caution: {drift}"
    if contrast.verdict == SPURIOUS_IMPROVEMENT:
        text += f". {sentence_case(SPURIOUS_IMPROVEMENT)}: {contrast.caution}"
    elif tone == "better" and contrast.caution:
        text += f". Caution: {contrast.caution}"  # cautions are overlooked most easily beside good news
    depth = depth_of(contrast, task.headline.unit)
    return Finding(headline_subject(study, task, group), text, tone, depth, anchor(task), contrast, doubt)


def _tone(contrast: Contrast) -> Tone:
    """Return the tone of a contrast in words; `undefined` where the arm stopped, and nothing was tested."""
    if contrast.look is not None:
        return "undefined"
    return CLEAR[contrast.verdict] if is_clear(contrast) else "noise"


def headline_subject(study: StudyView, task: TaskView, group: str = ALL) -> str:
    """Return the headline's label, with the task's name if two tasks share the label, and with its group."""
    text = task.label(task.headline.name).text
    shared = [other for other in study.headed if other.label(other.headline.name).text == text]
    details = [task.name] if len(shared) > 1 else []
    details += [group_text(group)] if group != ALL else []
    return f"{text} ({', '.join(details)})" if details else text


def anchor(task: TaskView) -> str:
    """Return the id of a task's detail on the page."""
    return f"task-{task.number}"


def sentence(task: TaskView, contrast: Contrast) -> str:
    """Return `rose from 21.30 to 34.05 (+12.75; 95% interval +11.90 to +13.60)`, with the chance level if known."""
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
    shifted = contrast.intervals is not None and excludes_zero(contrast.intervals.at95)
    if (
        shifted and contrast.look is None and not is_clear(contrast)
    ):  # says why an interval that excludes 0 is not enough
        parts.append(f"p {show_p(contrast.p.value if contrast.p else None)}")
    if contrast.metric in task.chance and contrast.group == ALL:  # a group may have other numbers of options
        parts.append(f"chance {show_value(task.chance[contrast.metric], unit)}")
    return "; ".join(parts)


def _unclear(study: StudyView, task: TaskView, contrast: Contrast) -> str:
    """Return `moved by less than 3.4 points (+1.2 points; 95% interval ...); 12 of 60 answers changed (20%): ...`."""
    if clear_alone(contrast):
        words = f"changed clearly on its own, but not after correction for {counted(study.comparisons, 'comparison')}"
    else:
        words = contrast.verdict if is_doubtful(contrast) else verdict_text(contrast, task.unit(contrast.metric))
        words = f"moved by {words}" if words.startswith("less than") else words
    answers = changed_answers(contrast, task)
    return f"{words} ({_difference(task, contrast)}){f'; {answers}' if answers else ''}"


def other_worse(study: StudyView, arm: ArmView) -> Iterator[Finding]:
    """Yield the measures over all items, besides the headlines, that got clearly worse."""
    headlines = {(task.name, task.headline.name) for task in study.headed}
    for task, contrast in study.pooled(arm):
        if (task.name, contrast.metric) not in headlines and contrast.verdict == WORSE and is_clear(contrast):
            unit = task.unit(contrast.metric)
            text = f"{show_clear_difference(contrast.difference, unit)}{unit_of_difference(unit)}"
            group = "" if contrast.group == ALL else f" ({group_text(contrast.group)})"
            subject = task.label(contrast.metric).text + group
            yield Finding(subject, text, "worse", depth_of(contrast, unit), anchor(task), contrast)


def worst_groups(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> tuple[tuple[Finding, ...], str]:
    """Return the groups of which a headline got clearly worse, most affected first, and a sentence that counts them."""
    findings: list[tuple[tuple[int, float], Finding]] = []
    compared = 0
    for task, contrast in _group_contrasts(study, arm, tasks):
        compared += 1
        if contrast.verdict == WORSE and is_clear(contrast):
            unit = task.headline.unit
            text = f"{headline_subject(study, task)} {sentence(task, contrast)}"
            depth = depth_of(contrast, unit)
            finding = Finding(group_text(contrast.group), text, "worse", depth, anchor(task), contrast)
            findings.append((importance(contrast, unit), finding))
    findings.sort(key=lambda pair: pair[0], reverse=True)
    if not compared:
        return (), "No groups were compared."
    summary = f"{len(findings)} of {counted(compared, 'group comparison')} over all headlines clearly worse."
    return tuple(finding for _, finding in findings[:MOST_GROUPS]), summary


def _group_contrasts(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> Iterator[tuple[TaskView, Contrast]]:
    """Yield the tested headline contrasts of groups of people, except groups that hold every item of their task."""
    for task in chain.from_iterable(map(by_headline, tasks)):
        pooled = study.contrast(arm.name, task.name, task.headline.name)
        for group in filter(about_people, study.rows_of.get((task.name, task.headline.name), [])):
            contrast = study.contrast(arm.name, task.name, task.headline.name, group)
            if contrast is not None and is_tested(contrast) and not (pooled and contrast.n == pooled.n):
                yield task, contrast


def uneven_groups(study: StudyView, arm: ArmView, tasks: list[TaskView]) -> str:
    """Name the attributes whose groups a headline changed unevenly; empty if there are none."""
    uneven = []
    for task in chain.from_iterable(map(by_headline, tasks)):
        worst = f"{task.headline.name}{WORST}"
        for attribute in study.rows_of.get((task.name, worst), []):
            row = study.contrast(arm.name, task.name, worst, attribute)
            if row is not None and row.spread is not None and row.spread.p <= ALPHA:
                subject = headline_subject(study, task)
                uneven.append(f"{group_text(attribute)} in {subject} (p {show_p(row.spread.p)})")
    return f"The change differs by {listed(uneven)}." if uneven else ""


def none_detectable(contrast: Contrast, unit: str) -> bool:
    """Return whether even the largest change a rate can make would often be missed. False for rows of worst groups."""
    varies = contrast.intervals is not None and contrast.intervals.at95.low < contrast.intervals.at95.high
    judged = not contrast.metric.endswith(WORST) and is_tested(contrast)
    return unit == "rate" and contrast.mde is None and varies and judged
