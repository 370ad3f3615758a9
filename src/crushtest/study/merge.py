"""What a study becomes when its folder holds one already: arms, tasks and repeats are added, nothing else changes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pydantic import BaseModel

from crushtest.errors import StoreError, UnknownName, UsageError
from crushtest.printing import quoted
from crushtest.records import DENSE
from crushtest.registry import scorer_identity
from crushtest.study.arms import check_against, leads_to
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import plan_tasks
from crushtest.study.repeats import VARY
from crushtest.study.spec import ArmSpec, NoiseFloorSpec, StudySpec, expand, read_stored_spec
from crushtest.study.suites import resolve

MERGED = ("arms", "suite", "noise_floor", "limit", "stop_early", "beside")
"""The keys of a study file that may differ from those of the study in the folder, within limits."""


def merge_with_existing(spec: StudySpec, folder: StudyFolder) -> StudySpec:
    """Return the folder's study with this one's arms, tasks and repeats added.

    That is `spec` itself if the folder holds no study, or one that has measured nothing yet. Limits and a noise floor
    only grow: what has been measured is kept. Raises StoreError if the two disagree about anything else.
    """
    if not folder.specification.exists():
        if not folder.is_fresh():
            raise StoreError(f"{folder.root} is not empty and not a study; choose another --out")
        return spec
    if not folder.has_measured():
        return spec
    stored = read_stored_spec(folder.specification)
    spec = with_stored_stops(folder, as_stored(spec, stored), stored)
    for key in StudySpec.model_fields:
        if key not in MERGED and getattr(stored, key) != getattr(spec, key):
            before, now = (in_words(key, getattr(one, key)) for one in (stored, spec))
            raise StoreError(
                f"{folder.root} holds a study with {before}, this one has {now}; use another --out, or the same {key}"
            )
    refuse_other_arms(folder, stored, spec)
    refuse_other_options(folder, stored, spec)
    requested = resolve(spec.suite)
    names = {name for name, _ in requested}
    tasks = [
        {name: options} for name, options in (*requested, *(t for t in resolve(stored.suite) if t[0] not in names))
    ]
    return spec.model_copy(
        update={
            "arms": merge_arms(stored.arms, spec.arms),
            "suite": tasks,
            "noise_floor": merge_noise_floors(spec, stored, folder),
            "beside": tuple(dict.fromkeys((*stored.beside, *spec.beside))),
        }
    )


def as_stored(spec: StudySpec, stored: StudySpec) -> StudySpec:
    """Return the study with models that the stored one has by another path written as there: `m` for `./m`."""
    texts = [model for model in (stored.model, *(arm.model for arm in stored.arms)) if model is not None]
    places = {os.path.realpath(text): text for text in texts if os.path.exists(text)}

    def written(model: str) -> str:
        return places.get(os.path.realpath(model), model) if os.path.exists(model) else model

    arms = tuple(
        arm if arm.model is None else arm.model_copy(update={"model": written(arm.model)}) for arm in spec.arms
    )
    return spec.model_copy(update={"model": written(spec.model), "arms": arms})


def with_stored_stops(folder: StudyFolder, spec: StudySpec, stored: StudySpec) -> StudySpec:
    """Return the study with the stored one's rule of stopping; what is to be finished stays so.

    Raises StoreError for another rule: what was asked so far depends on it.
    """
    before, now = stored.stop_early, spec.stop_early or stored.stop_early
    if now is None:
        return spec
    now = now.model_copy(update={"finish": now.finish or bool(before and before.finish)})
    if before is None or now.model_copy(update={"finish": before.finish}) != before:
        raise StoreError(
            f"{folder.root} holds a study with {in_words('stop_early', before)}, this one has "
            f"{in_words('stop_early', now)}; use another --out, or the same stop_early"
        )
    return spec.model_copy(update={"stop_early": now})


def refuse_other_arms(folder: StudyFolder, stored: StudySpec, spec: StudySpec) -> None:
    """Raise StoreError if an arm has the name of another one that the folder holds: their answers would be mixed."""
    before = {arm.title: arm for listed in stored.arms for arm in expand(listed)}
    for arm in (one for listed in spec.arms for one in expand(listed)):
        old = before.get(arm.title, arm)
        for key in ("model", "recipe", "engine", "training", "calibration"):
            if getattr(old, key) != getattr(arm, key):
                raise StoreError(
                    f"{folder.root} holds an arm {quoted(arm.title)} with {in_words(key, getattr(old, key))}, this one "
                    f"has {in_words(key, getattr(arm, key))}; give it another name, or use another --out"
                )


def in_words(key: str, value: object) -> str:
    """Return a setting as a study file has it: `limit=40`, `calibration={source: pydoc, sequences: 16}`."""
    if isinstance(value, BaseModel):
        return f"{key}={{{', '.join(f'{name}: {part}' for name, part in value.model_dump().items())}}}"
    return f"{key}={value!r}"


def merge_arms(kept: Sequence[ArmSpec], added: Sequence[ArmSpec]) -> tuple[ArmSpec, ...]:
    """Return the arms of a study and those added to it; an arm of both is compared with what either asks for.

    An added arm that asks for dense alone (`against: []`) takes the others back. What the later one accepts, if it
    says so, stands. Replicates only grow.
    """
    asked: dict[ArmSpec, tuple[tuple[str, ...], str | None, int]] = {}
    for arm in (one for listed in (*kept, *added) for one in expand(listed)):
        alike = arm.model_copy(update={"against": (), "accept": None, "replicates": 1})
        against, accept, replicates = asked.get(alike, ((), None, 1))
        alone = "against" in arm.model_fields_set and arm.against == (DENSE,)
        asked[alike] = (
            arm.against if alone else tuple(dict.fromkeys((*against, *arm.against))),
            arm.accept or accept,
            max(arm.replicates, replicates),
        )
    return tuple(
        arm.model_copy(update={"against": against, "accept": accept, "replicates": replicates})
        for arm, (against, accept, replicates) in asked.items()
    )


def compared_also(spec: StudySpec, against: str, arm: str | None = None) -> StudySpec:
    """Return the study with one arm, or every other one, compared with `against` as well.

    Arms that `against` is itself compared with are left out, unless named: the contrast would be its mirror image.
    `none` takes back what was asked before, unless an arm has that name.
    Raises UnknownName, or UsageError for what `check_against` refuses.
    """
    arms = [one for listed in spec.arms for one in expand(listed)]
    compared = {DENSE: (), **{one.title: one.against for one in arms}}
    if against == NO_OTHER and against not in compared:
        return compared_with_dense_alone(spec, arm)
    for given in (against, *([arm] if arm is not None else [])):
        if given not in compared:
            raise UnknownName("arm", given, compared, where="compare")
    if DENSE in (arm, against):
        raise UsageError("compare: every arm is compared with dense already; name two other arms")
    if arm is not None and arm != against and arm in leads_to(compared, against):
        raise UsageError(
            f"compare: arm {quoted(against)} is compared with {quoted(arm)} already, itself or by way of others, and "
            f"this would go in a circle; ask for it the other way round (--arms {quoted(against)} {quoted(arm)})"
        )
    left_out = {against, *leads_to(compared, against)}
    chosen = {one.title for one in arms} - left_out if arm is None else {arm}
    if not chosen:
        raise UsageError(f"compare: the study has no other arm to compare with {against!r}")
    wanted = [one.model_copy(update={"against": (against,)}) for one in arms if one.title in chosen]
    merged = merge_arms(arms, wanted)
    check_against({DENSE: (), **{one.title: one.against for one in merged}})
    return spec.model_copy(update={"arms": merged})


NO_OTHER = "none"
"""In the place of an arm's name: compare with dense alone."""


def compared_with_dense_alone(spec: StudySpec, arm: str | None = None) -> StudySpec:
    """Return the study with one arm, or every arm, compared with dense and no other. UnknownName for an unknown arm."""
    arms = [one for listed in spec.arms for one in expand(listed)]
    if arm is not None and arm not in (titles := [one.title for one in arms]):
        raise UnknownName("arm", arm, titles, where="compare")
    alone = {"against": (DENSE,)}
    return spec.model_copy(
        update={"arms": tuple(one.model_copy(update=alone) if arm in (None, one.title) else one for one in arms)}
    )


def accepted(spec: StudySpec, why: str, arm: str | None) -> StudySpec:
    """Return the study with an arm compared although its engine disagrees with another's, for a reason in words.

    Raises UsageError if no arm is named, UnknownName for one that is not there.
    """
    arms = [one for listed in spec.arms for one in expand(listed)]
    if arm is None:
        raise UsageError("compare: --accept is about one arm; name it with --arm")
    if not why.strip():
        raise UsageError("compare: --accept takes the reason in words (got none)")
    if arm not in (titles := [one.title for one in arms]):
        raise UnknownName("arm", arm, titles, where="compare")
    return spec.model_copy(
        update={"arms": tuple(one.model_copy(update={"accept": why}) if one.title == arm else one for one in arms)}
    )


def unrequested_tasks(folder: StudyFolder, spec: StudySpec) -> list[str]:
    """Return the tasks of the study in a folder that `spec` does not name."""
    named = {name for name, _ in resolve(spec.suite)}
    return [name for name, _ in resolve(read_stored_spec(folder.specification).suite) if name not in named]


def refuse_other_options(folder: StudyFolder, stored: StudySpec, spec: StudySpec) -> None:
    """Raise StoreError if a task that the folder holds is asked with other options: its answers would be mixed.

    Scorers may be added: they read what has been answered. Limits may grow (`grow.py`).
    """
    before = {planned.name: planned.settings for planned in plan_tasks(stored)}
    for planned in plan_tasks(spec):
        had = before.get(planned.name, planned.settings)
        for option in {**had, **planned.settings}.keys() - {"limit"}:
            old, new = had.get(option), planned.settings.get(option)
            if old != new and not (option == "scorers" and _identities(old) <= _identities(new)):
                raise StoreError(
                    f"{folder.root} holds task {planned.name!r} with {option}={old!r}, this one has {option}={new!r}; "
                    f"use another --out, or the same {option}"
                )


def _identities(scorers: Sequence[str] | None) -> set[str]:
    return set(map(scorer_identity, scorers or ()))


def merge_noise_floors(spec: StudySpec, stored: StudySpec, folder: StudyFolder) -> NoiseFloorSpec:
    """Return the larger of two noise floors, for the arms of both.

    A floor that names no arms leaves them as they are. Raises StoreError if its repeats would run in another way than
    those that the folder holds.
    """
    old, new = stored.noise_floor, spec.noise_floor
    vary = new.vary if old.repeats == 0 or new.vary else old.vary
    if old.repeats and vary != old.vary:
        raise StoreError(
            f"{folder.root} holds repeats with {VARY}={list(old.vary)!r}, this study has {VARY}={list(vary)!r}; "
            f"use another --out, or the same {VARY}"
        )
    named = "arms" in new.model_fields_set
    arms = (*old.arms, *(new.arms if named else ())) if old.repeats else new.arms
    return NoiseFloorSpec(repeats=max(new.repeats, old.repeats), vary=vary, arms=arms)
