"""An arm compared with another than dense, and the chain of both to dense: three effects that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crushtest.records import DENSE
from crushtest.report.arm_view import ArmView
from crushtest.report.findings import Finding, headline_finding, headline_subject
from crushtest.report.page.matrix import Cell, Column, Overview, headline_cell, overview
from crushtest.report.shading import verdict_text
from crushtest.report.stopped import stopped_arms
from crushtest.report.study_view import StudyView
from crushtest.report.wording import counted
from crushtest.stats.joint_claims import UNTESTED
from crushtest.study import manifest

EFFECTS = {
    "compression effect": "compression",
    "calibration effect": "calibration text",
    "deployment delta": "way of running",
    "conversion and deployment": "engine and conversion",
    "compression and deployment": "compression and way of running",
    "deployment, weights unknown": "way of running, and whatever the weights differ in",
    "replicate": "replicate",
}
"""`compares` of a contrast -> the name of its effect in a chain."""

WAYS = "engine, kernel, dtype, device, KV cache, thinking"
TEMPLATE = "chat_template_sha256"

DIFFERS = {
    "compression effect": "Run alike; the weights differ: the effect of compression.",
    "calibration effect": "Same recipe on another calibration text, run alike: the effect of the text and its sample.",
    "deployment delta": "Same weights, run differently ({ways}): a deployment delta.",
    "conversion and deployment": "Both uncompressed, in files of two engines: engine and conversion.",
    "compression and deployment": "Other weights, and run differently ({ways}).",
    "deployment, weights unknown": "One is behind an address: whether its weights differ is not known here.",
    "replicate": "Same weights, run in the same way: a replicate.",
}
"""`compares` of a contrast -> what differs, whichever the arms are; `ways` of running are put in by `in_words`."""

WHOLE = "what the user gets"


@dataclass(frozen=True)
class Step:
    """One effect of a chain: every headline of `after` against `before`."""

    effect: str
    before: str
    after: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Comparison:
    """An arm against another than dense.

    compares    what differs between the two, in words
    caution     how otherwise they read texts, in words; empty if nothing is known to differ
    findings    the headlines with their differences, intervals and verdicts
    undefined   the headlines that were not tested, with the reason
    columns     the headlines, as in the overview; a row of the chain each
    steps       the other arm against dense, this arm against the other, this arm against dense
    """

    against: str
    compares: str
    caution: str
    findings: tuple[Finding, ...]
    undefined: tuple[str, ...]
    columns: tuple[Column, ...]
    steps: tuple[Step, Step, Step]


def overviews(study: StudyView) -> tuple[Overview, ...]:
    """Return the overview against dense, then one against every other arm that any is compared with."""
    others = [arm.name for arm in study.others if study.elsewhere.get(arm.name)]
    return tuple(overview(study.against(name)) for name in (DENSE, *others))


def comparisons(study: StudyView, arm: ArmView) -> tuple[Comparison, ...]:
    """Return one comparison per arm besides dense that an arm is compared with, if both were measured."""
    names = [
        name for name in arm.plan.against if any(one == arm.name for one, _, _, _ in study.elsewhere.get(name, ()))
    ]
    return tuple(_comparison(study, arm, name) for name in names)


def _comparison(study: StudyView, arm: ArmView, against: str) -> Comparison:
    view = study.against(against)
    findings, undefined = [], []
    for task in study.headed:
        for group in study.headline_groups(task):
            finding = headline_finding(view, arm, task, group)
            row = view.contrast(arm.name, task.name, task.headline.name, group)
            if finding is not None:
                findings.append(finding)
            elif row is None or row.verdict in UNTESTED:
                why = (row.reason or verdict_text(row, "")) if row is not None else "not measured"
                undefined.append(f"{headline_subject(study, task, group)}: {why}")
    columns = overview(study).columns
    other = next(each for each in study.others if each.name == against)
    return Comparison(
        against=against,
        compares=in_words(study, DIFFERS.get(_compares(view, arm), ""), arm.name, against),
        caution=text_caution(study, arm.name, against),
        findings=tuple(findings),
        undefined=tuple(undefined),
        columns=columns,
        steps=(
            _step(study, EFFECTS.get(_compares(study, other), ""), other, columns),
            _step(view, EFFECTS.get(_compares(view, arm), ""), arm, columns),
            _step(study, WHOLE, arm, columns),
        ),
    )


def _step(view: StudyView, effect: str, arm: ArmView, columns: tuple[Column, ...]) -> Step:
    return Step(effect, view.baseline, arm.name, tuple(headline_cell(view, arm, column) for column in columns))


def _compares(view: StudyView, arm: ArmView) -> str:
    """Return what differs between an arm and the view's baseline: the same in all rows of a pair."""
    return next((row.compares or "" for row in view.contrasts.values() if row.arm == arm.name), "")


def in_words(study: StudyView, words: str, arm: str, against: str = DENSE) -> str:
    """Return what differs between two arms, with the ways of running that may, and chat templates if they do."""
    engines = [study.manifest.get("arms", {}).get(name, {}).get("engine", {}) for name in (arm, against)]
    templates = {engine[TEMPLATE] for engine in engines if TEMPLATE in engine}
    return words.replace("{ways}", f"{WAYS}, chat template" if len(templates) > 1 else WAYS)


def text_caution(study: StudyView, arm: str, against: str = DENSE) -> str:
    """Say how otherwise two arms read texts, from what the manifest holds; empty if nothing is known to differ."""
    checked = checks(study, arm, against)
    counts = checked.get("tokens", {}).values()
    differ, unknown = (sum(count.get(which, 0) for count in counts) for which in ("differ", "unknown"))
    # Older manifests count `differ` and `compared` alone.
    every = counted(sum(count.get("compared", sum(count.values())) for count in counts), "item")
    parts = []
    if "accepted" in checked:
        parts.append(f"{_apart(checked['fixed_text'])}; accepted because: {checked['accepted']}")
    if "vouched" in checked:
        parts.append(f"{_apart(checked['fixed_text'])}; compared because {checked['vouched']} agrees in these engines")
    if differ:
        parts.append(f"{differ} of {every} have other tokens: nothing per token compares")
    if unknown:
        parts.append(f"for {unknown} of {every} it is not known whether the tokens are the same")
    if checked.get("engines_differ") and checked["fixed_text"] is None:
        parts.append("the engines were not compared on a fixed text")
    for fact, words in FACTS.items():
        if checked.get(fact) is False:
            parts.append(words)
    arms = study.manifest.get("arms", {})
    messages = [arms.get(name, {}).get("engine", {}).get("asks") == "message" for name in (arm, against)]
    if messages[0] != messages[1]:
        name = arm if messages[0] else against
        parts.append(f"{name} answered in chat, as the reply to a user's message, where the other continued a text")
    return "; ".join(parts)


def _apart(text: dict[str, Any]) -> str:
    """Say how far two engines lie apart on the fixed text, from an entry beyond its bound."""
    if text["nats"] is None:
        return "an engine gives a fixed text no finite log-likelihood"
    return f"the engines differ by {text['nats']:+.3f} nats per {text['per']} of a fixed text, beyond {text['bound']}"


FACTS = {
    TEMPLATE: "their chat templates differ",
    "start_token": "texts start after another token",
    "sampling": "completions are drawn otherwise (sampling in the manifest)",
}
"""What two engines say of themselves -> words for a difference."""


def checks(study: StudyView, arm: str, against: str) -> dict[str, Any]:
    """Return what the manifest says was checked of a pair; nothing if its arms ran alike."""
    return dict(study.manifest.get("across_engines", {}).get(f"{arm} against {against}", {}))


def refusals(study: StudyView, arm: str | None = None) -> Iterator[str]:
    """Yield why pairs, or those of one arm, were not compared: a line each."""
    invalid = study.manifest.get(manifest.INVALID, {})
    early = stopped_arms(study)
    for after, before in study.plan.pairs:
        if arm not in (None, after):
            continue
        if why := checks(study, after, before).get("refused"):
            yield f"not compared: {why}"
        for each in (name for name in (after, before) if before != DENSE and name in early):
            yield f"{after} is not compared with {before} yet: {each} stopped early; `crushtest run` asks it the rest"
        for each in (name for name in (after, before) if name in invalid):
            why = invalid[each].get("reason", "not recorded")
            yield f"{after} is not compared with {before}: arm {each} is invalid ({why})"


def is_refused(study: StudyView, arm: str) -> bool:
    """Return whether an arm is not compared with dense, because their engines disagree."""
    return "refused" in checks(study, arm, DENSE)
