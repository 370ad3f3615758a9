"""Changed answers, and which way they went: two arms can have the same rate and differ in a fifth of their answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from crushtest.report.arm_view import ArmView
from crushtest.report.formats import show_p
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.results import Contrast
from crushtest.stats.noise import flips_within_noise
from crushtest.stats.verdicts import WITHIN_NOISE


def changed_text(contrast: Contrast) -> str:
    """Return `3 (2 gained, 0 lost, 1 as before; repeats up to 9%)`: changed answers, and which way the outcome went.

    Repeats are named if the changes are within their noise. Where the row's p is one over clusters, McNemar's over
    single items stands here: `p item by item 0.039`.
    """
    total, up, down = contrast.flips.total, contrast.flips.up, contrast.flips.down
    if total is None:
        return ""
    details = [] if up is None or down is None else [f"{up} gained, {down} lost, {total - up - down} as before"]
    details += [f"p item by item {show_p(contrast.flips.p)}"] if has_other_p(contrast) else []
    details += [f"repeats up to {contrast.noise_flip_share:.0%}"] if flips_within_noise(contrast) else []
    return f"{total} ({'; '.join(details)})" if details else str(total)


def has_other_p(contrast: Contrast) -> bool:
    """Return whether McNemar's p over single items is another than the row's own, which is over clusters."""
    return bool(contrast.flips.p is not None and contrast.flips.total and contrast.clusters < contrast.n)


def changed_answers(contrast: Contrast, task: TaskView) -> str:
    """Return `12 of 60 answers changed (20%): 5 for the better, 7 for the worse`; empty for measures without flips.

    A completion counts as changed if its outcome changed, not if its text did.
    """
    flips = contrast.flips.total
    if flips is None or not contrast.n:
        return ""
    subject = "completions changed their outcome" if task.planned.task.kind == "prompts" else "answers changed"
    text = f"{flips:,} of {contrast.n:,} {subject} ({flips / contrast.n:.0%})"
    directions = _directions(contrast)
    text = f"{text}: {directions}" if directions else text
    if has_other_p(contrast):
        p = show_p(contrast.flips.p)
        text += f" (McNemar's exact p item by item {p}; the verdict's is over {contrast.clusters} clusters)"
    if flips_within_noise(contrast):
        text += f" ({WITHIN_NOISE}: repeats changed up to {contrast.noise_flip_share:.0%})"
    return text


def _directions(contrast: Contrast) -> str:
    total, up, down = contrast.flips.total, contrast.flips.up, contrast.flips.down
    if not total or up is None or down is None:
        return ""
    rest = total - up - down
    as_before = f", {rest} {'counts' if rest == 1 else 'count'} as before" if rest else ""
    if contrast.better not in ("lower", "higher"):
        gained, lost = (f"{up} now count{'s' * (up == 1)}", f"{down} no longer do{'es' * (down == 1)}")
        return f"{gained} in the measure, {lost}{as_before}"
    better, worse = (up, down) if contrast.better == "higher" else (down, up)
    return f"{better} for the better, {worse} for the worse{as_before}"


class Changed(NamedTuple):
    """An arm's changed answers in the overview: the largest share over its headlines, and each headline in words."""

    share: float | None
    text: str
    detail: tuple[str, ...]


def most_changed(study: StudyView, arm: ArmView) -> Changed:
    """Return an arm's changed answers in the headlines that count answers."""
    heads = Counter(task.name for task in study.headed)
    shares = {
        f"{_headline_text(task, heads)}: {flips:,} of {row.n:,}{_repeats_as_many(row)}": flips / row.n
        for task in study.headed
        for group in study.headline_groups(task)
        if (row := study.contrast(arm.name, task.name, task.headline.name, group))
        and (flips := row.flips.total) is not None
        and row.n
    }
    if not shares:
        return Changed(None, "not counted", ())
    return Changed(max(shares.values()), f"{max(shares.values()):.0%}", tuple(shares))


def _headline_text(task: TaskView, heads: Mapping[str, int]) -> str:
    return f"{task.name}, {task.label(task.headline.name).text}" if heads[task.name] > 1 else task.name


def _repeats_as_many(row: Contrast) -> str:
    return f", repeats up to {row.noise_flip_share:.0%}" if flips_within_noise(row) else ""
