"""Measurement noise on the page: how far repeats moved each measure of each arm, and how each repeat ran."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any, NamedTuple

from crushtest.records import DENSE
from crushtest.report.formats import show_band
from crushtest.report.study_view import StudyView
from crushtest.report.wording import ALL, counted, group_text
from crushtest.results import NoiseBand
from crushtest.study.manifest import repeats_in
from crushtest.study.plan import Plan


class BandText(NamedTuple):
    """One arm's largest move of a measure, and the most answers that a repeat changed; empty without flips."""

    width: str
    flips: str = ""


class NoiseRow(NamedTuple):
    """One measure's bands, in the order of `repeated_arms`."""

    task: str
    measure: str
    bands: tuple[BandText, ...]


def repeated_arms(study: StudyView) -> dict[str, str]:
    """Return the arms that were repeated, each with how often: `2 repeats`, or `up to 2` if tasks differ in it."""
    counts: dict[str, set[int]] = {}
    for band in study.bands:
        counts.setdefault(band.arm, set()).add(band.repeats)
    order = [arm.name for arm in study.arms if arm.name in counts]
    return {arm: f"{'up to ' if len(counts[arm]) > 1 else ''}{counted(max(counts[arm]), 'repeat')}" for arm in order}


def noise_rows(study: StudyView) -> Iterator[NoiseRow]:
    """Yield the bands of the measures that the page shows for a task, without those of single groups."""
    by_measure = {(band.task, band.metric, band.group, band.arm): band for band in study.bands}
    arms = repeated_arms(study)
    for task in study.tasks:
        identical = study.manifest.get("noise_floor", {}).get(task.name, {}).get("identical", ())
        for metric in study.metrics_of(task):
            for group in study.shown_groups(task, metric):
                bands = [by_measure.get((task.name, metric, group, arm)) for arm in arms]
                if any(bands):
                    measure, unit = task.label(metric).text, task.unit(metric)
                    measure = measure if group == ALL else f"{measure} ({group_text(group)})"
                    yield NoiseRow(
                        task.name,
                        measure,
                        tuple(
                            _text(band, unit, identical=arm in identical) for arm, band in zip(arms, bands, strict=True)
                        ),
                    )


def _text(band: NoiseBand | None, unit: str, *, identical: bool) -> BandText:
    if band is None:
        return BandText("not repeated")
    if identical:
        return BandText("nothing measured", "the repeat computed the same numbers")
    flips = "" if band.flips is None else f"{counted(band.flips, 'answer')} changed"
    return BandText(show_band(band.half_width, unit), flips)


def keeping_dtype(plan: Plan) -> set[str]:
    """Return the arms whose repeats run in the arm's own dtype, in a study whose repeats of dense vary it."""
    own = {arm.name: arm.model_options.dtype for arm in plan.arms}
    kept = {arm.name for arm in plan.repeats if arm.model_options.dtype == own[arm.name]}
    return set() if DENSE in kept else kept


def repeat_facts(content: dict[str, Any], unvaried: Container[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield how each repeat ran, from the manifest; `unvaried` are the arms of `keeping_dtype`."""
    for arm, repeats in repeats_in(content).items():
        for number, facts in repeats.items():
            engine = facts.get("engine", {})
            parts = [str(engine[key]) for key in ("engine", "dtype", "device", "scoring") if engine.get(key)]
            parts += [f"{key}={value}" for key, value in facts.get("options", {}).items()]
            parts += [f"threads={facts['threads']}"] if "threads" in facts else []
            parts += ["dtype not varied"] if arm in unvaried else []
            yield f"{arm}, repeat {number}", ", ".join(["items in another order", *parts])
