"""How a study was made, from the manifest and compression.json, for the page's notes and its section Method."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from crushtest.data import catalogue
from crushtest.registry import TASKS
from crushtest.report.arm_view import ArmView
from crushtest.report.formats import show_bytes, show_seconds
from crushtest.report.headlines import unfit_notes
from crushtest.report.probes import probe_note
from crushtest.report.room import room_notes
from crushtest.report.study_view import StudyView
from crushtest.report.task_view import TaskView
from crushtest.report.untrusted import name, visible
from crushtest.scorers.scorer_quality import LABELS, Rate, on_whole_sets, worst_named_group


def notes(study: StudyView) -> list[str]:
    """Return what a reader must know before relying on the page."""
    texts = probe_note(study)
    if study.dense_note:
        texts.append(
            f"The dense model here: {visible(study.dense_note)}. The cost of compression is measured against these "
            "weights, not against the published ones."
        )
    texts.append(
        "“Less than 3 points” is a bound with 95% confidence. It does not mean that nothing changed. “No clear "
        "difference” comes without such a bound: these items did not show a difference."
    )
    texts += map(visible, (*unfit_notes(study), *room_notes(study)))
    texts += shared_sources(study)
    if any(arm.totals for arm in study.arms):
        texts.append("Sizes are ideal storage, including the positions of the weights that pruning kept.")
    return texts


def shared_sources(study: StudyView) -> list[str]:
    """Return a note per task whose texts come from the source that calibration reads."""
    read = {(arm.compression or {}).get("calibration", {}).get("source") for arm in study.arms} - {None}
    return [
        f"Calibration and {name(task.name)} draw their texts from the same source ({name(source)}). That may favour "
        "variants that calibrate."
        for task in study.tasks
        if (source := TASKS.get(task.name).about.calibration) in read
    ]


def start_tokens(study: StudyView) -> list[str]:
    """Return the start tokens of the study's models, as text, each once."""
    engines = [arm.facts.get("engine", {}) for arm in study.arms]
    return list(dict.fromkeys(name(engine["start_token"]) for engine in engines if engine.get("start_token")))


def citations(task: TaskView) -> list[str]:
    """Return citations of the data sets that a task reads, with repository and revision; none for built-in items."""
    data_sets = (catalogue.data_set(name) for name in catalogue.read_by(task.name))
    return [f"{data.citation} ({data.repository} @ {data.revision[:10]})" for data in data_sets]


def interval_methods(study: StudyView) -> list[str]:
    """Return the methods of the study's intervals, each once, whatever number of groups it names."""
    methods = {contrast.intervals.method for contrast in study.contrasts.values() if contrast.intervals}
    return sorted({re.sub(r" over \d+ groups", " over groups", method) for method in methods})


def arm_facts(arm: ArmView) -> Iterator[tuple[str, str]]:
    """Yield an arm's facts: recipe, model, engine, compression, time and memory."""
    yield "model", arm.plan.model
    yield "recipe", arm.plan.recipe.text if arm.plan.recipe else "none, as found"
    if arm.method:
        yield "compressed by", arm.method
    if arm.plan.training:
        yield "trained", f"{arm.plan.training} compression, according to the study file"
    for section in ("model", "engine"):
        facts = arm.facts.get(section, {})
        yield from ((f"{section}: {key}", _plain(value)) for key, value in facts.items() if value is not None)
    if "prepared_in_s" in arm.facts:
        yield "loaded and compressed in", show_seconds(arm.facts["prepared_in_s"])
    for task, cost in arm.timing.items():
        memory = show_bytes(cost["peak_memory_bytes"]["process"])
        yield (
            f"timing, {task}",
            f"{cost['items']:,} items in {show_seconds(cost['seconds'])}; peak memory so far {memory}",
        )
    if not arm.totals:
        return
    if "sparsity" in arm.totals:  # headers of a model as found do not say
        yield "sparsity reached", f"{arm.totals['sparsity']:.2%} of {arm.totals.get('linear_weights', 0):,} weights"
    if "bits_per_weight" in arm.totals:
        yield "bits per weight", f"{arm.totals['bits_per_weight']:.3f}"
        yield "compressed layers", _before_after(arm, "dense_size_bytes", "compressed_size_bytes")
    yield "whole model", _before_after(arm, "dense_model_size_bytes", "compressed_model_size_bytes")
    if "weights_size_bytes" in arm.totals:
        yield "weight files", show_bytes(arm.totals["weights_size_bytes"])
    if arm.compression is None:
        return
    for left in arm.compression.get("untouched", []):
        yield "left alone", f"{left.get('modules')}: {left.get('reason')}"
    yield "calibration", _plain(arm.compression.get("calibration"))
    for number, step in enumerate(arm.compression.get("steps", []), start=1):
        yield f"step {number}, {step['method']}", f"{_plain(step['options'])}; took {show_seconds(step.get('seconds'))}"
    yield "compressed in", show_seconds(arm.compression.get("seconds"))
    for place, size in arm.compression.get("peak_memory_bytes", {}).items():
        yield f"peak memory, {place}", show_bytes(size)


def _before_after(arm: ArmView, before: str, after: str) -> str:
    return f"{show_bytes(arm.totals.get(before))} to {show_bytes(arm.totals.get(after))}"


def layers(arm: ArmView) -> Iterator[tuple[str, ...]]:
    """Yield, per compressed layer and step, the requested and the achieved compression."""
    for layer in (arm.compression or {}).get("layers", []):
        yield (
            layer["name"],
            " × ".join(map(str, layer["shape"])),
            _share(layer.get("asked_sparsity")),
            _share(layer.get("sparsity")),
            f"{layer['bits_per_weight']:.3f}",
            "none" if layer.get("output_error") is None else f"{layer['output_error']:.4f}",
        )


def _share(value: float | None) -> str:
    return "not requested" if value is None else f"{value:.2%}"


class QualityRow(NamedTuple):
    """A scorer's quality on one data set that people have labelled, as text."""

    scorer: str
    data: str
    texts: str
    auc: str
    found: str
    false_alarms: str


def scorer_quality(content: dict[str, Any]) -> Iterator[QualityRow]:
    """Yield the measured quality of the study's scorers; a scorer without measurements gets one row that says so."""
    for scorer in content.get("scorers", {}):
        rows = on_whole_sets(scorer)
        if not rows:
            yield QualityRow(scorer, "not measured on labelled text", "", "", "", "")
        for row in rows:
            positive, negative = LABELS[row.kind]
            texts = f"{row.harmful:,} {positive}, {row.harmless:,} {negative}"
            auc = f"{row.auc:.2f} ± {row.auc_half_width:.2f}"
            yield QualityRow(scorer, row.data, texts, auc, _rate(row.found), _rate(row.false_alarms))
        worst = worst_named_group(scorer)
        if worst is not None:
            data = f"HateCheck, harmless texts that only name a group: the worst, {worst[0]}"
            yield QualityRow(scorer, data, "", "", "", _rate(worst[1]))


def _rate(rate: Rate | None) -> str:
    return "" if rate is None else f"{rate.share:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def system_message(study: StudyView) -> str | None:
    """Return the study's system message before every request in chat, as it was sent; None without one."""
    return next((task.planned.system for task in study.tasks if task.planned.system is not None), None)


def run_facts(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield versions, seed and machine, from the manifest."""
    for key in ("crushtest", "python", "seed", "created", "updated"):
        if key in content:
            yield key, _plain(content[key])
    yield from ((package, version) for package, version in content.get("packages", {}).items())
    for key, value in content.get("machine", {}).items():
        yield (key.removesuffix("_bytes"), show_bytes(value)) if key.endswith("_bytes") else (key, _plain(value))


def _plain(value: Any) -> str:
    """Return a manifest's value on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "not recorded" if value is None else str(value)
