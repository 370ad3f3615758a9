"""What a study becomes when its folder holds one already: arms, tasks and repeats are added, nothing else changes."""

from __future__ import annotations

from crushtest.errors import StoreError
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import plan_tasks
from crushtest.study.repeats import VARY
from crushtest.study.spec import NoiseFloorSpec, StudySpec, expand, read_spec
from crushtest.study.suites import resolve


def merge_with_existing(spec: StudySpec, folder: StudyFolder) -> StudySpec:
    """Return the folder's study with this one's arms, tasks and repeats added; `spec` itself if the folder holds none.

    A noise floor only grows: what has been measured is kept. Raises StoreError if the two disagree about anything
    else.
    """
    if not folder.specification.exists():
        if not folder.is_fresh():
            raise StoreError(f"{folder.root} is not empty and not a study; choose another --out")
        return spec
    stored = read_spec(folder.specification)
    for key in StudySpec.model_fields:
        if key not in ("arms", "suite", "noise_floor") and getattr(stored, key) != getattr(spec, key):
            raise StoreError(
                f"{folder.root} holds a study with {key}={getattr(stored, key)!r}, this one has "
                f"{key}={getattr(spec, key)!r}; use another --out, or the same {key}"
            )
    refuse_other_options(folder, stored, spec)
    requested = resolve(spec.suite)
    names = {name for name, _ in requested}
    tasks = [
        {name: options} for name, options in (*requested, *(t for t in resolve(stored.suite) if t[0] not in names))
    ]
    stored_arms = [arm for entry in stored.arms for arm in expand(entry)]
    arms = (*stored.arms, *(arm for entry in spec.arms for arm in expand(entry) if arm not in stored_arms))
    return spec.model_copy(
        update={"arms": arms, "suite": tasks, "noise_floor": merge_noise_floors(spec, stored, folder)}
    )


def unrequested_tasks(folder: StudyFolder, spec: StudySpec) -> list[str]:
    """Return the tasks of the study in a folder that `spec` does not name."""
    named = {name for name, _ in resolve(spec.suite)}
    return [name for name, _ in resolve(read_spec(folder.specification).suite) if name not in named]


def refuse_other_options(folder: StudyFolder, stored: StudySpec, spec: StudySpec) -> None:
    """Raise StoreError if a task that the folder holds is asked with other options: its answers would be mixed.

    Scorers may be added: they read what has been answered.
    """
    before = {planned.name: planned.settings for planned in plan_tasks(stored)}
    for planned in plan_tasks(spec):
        had = before.get(planned.name, planned.settings)
        for option in {**had, **planned.settings}:
            old, new = had.get(option), planned.settings.get(option)
            if old != new and not (option == "scorers" and set(old or ()) <= set(new or ())):
                raise StoreError(
                    f"{folder.root} holds task {planned.name!r} with {option}={old!r}, this one has {option}={new!r}; "
                    f"use another --out, or the same {option}"
                )


def merge_noise_floors(spec: StudySpec, stored: StudySpec, folder: StudyFolder) -> NoiseFloorSpec:
    """Return the larger of two noise floors. Raises StoreError if their repeats would differ in how they run."""
    old, new = stored.noise_floor, spec.noise_floor
    vary = new.vary if old.repeats == 0 or new.vary else old.vary
    if old.repeats and vary != old.vary:
        raise StoreError(
            f"{folder.root} holds repeats with {VARY}={list(old.vary)!r}, this study has {VARY}={list(vary)!r}; "
            f"use another --out, or the same {VARY}"
        )
    return NoiseFloorSpec(repeats=max(new.repeats, old.repeats), vary=vary)
