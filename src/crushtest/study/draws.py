"""The further draws of arms: the same recipe with other calibration text, or the same model with other sampling.

Draw 0 is the arm itself. Draw k calibrates on the text that the study's seed + k draws. If an arm does not calibrate,
draw k samples completions with each task's seed + k, and dense does the same, so that the two stay paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from crushtest.errors import UsageError
from crushtest.printing import quoted
from crushtest.study.arms import Arm
from crushtest.study.spec import StudySpec, expand


def draws_of(arms: Sequence[Arm], *, samples: bool) -> tuple[Arm, ...]:
    """Return the further draws of a study's arms, each arm's numbered from 1; dense's first, where it is sampled again.

    samples   whether any task samples completions

    Raises UsageError for an arm whose draws would all be the same.
    """
    for arm in arms:
        if arm.replicates > 1 and not arm.calibrates and not samples:
            raise UsageError(
                f"arm {quoted(arm.name)}: its {arm.replicates} replicates would be the same numbers, because it does "
                "not calibrate and no task samples completions; leave `replicates` out"
            )
    sampled = max((arm.replicates for arm in arms if not arm.calibrates), default=1)
    counts = [(arm, sampled if number == 0 else arm.replicates) for number, arm in enumerate(arms)]
    return tuple(replace(arm, draw=draw) for arm, count in counts for draw in range(1, count))


def paired_draws(
    arm: Arm, numbers: Sequence[int], other: Arm, other_numbers: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yield which draw of an arm is compared with which of another, given the numbers of the draws that are there.

    Draws of one number share their calibration text or their sampling seeds, so they are paired. An arm with one draw
    stands against all draws of one that calibrates. Draws that differ in what varies have nothing in common: those of
    sampled completions then count as one.
    """
    kinds = [_varied(arm, numbers), _varied(other, other_numbers)]
    if kinds[0] != kinds[1]:
        numbers = numbers if kinds[0] == CALIBRATION else (0,)
        other_numbers = other_numbers if kinds[1] == CALIBRATION else (0,)
    if len(numbers) == 1 or len(other_numbers) == 1:
        yield from ((one, two) for one in numbers for two in other_numbers)
        return
    yield from ((number, number) for number in numbers if number in other_numbers)


CALIBRATION, SAMPLING, NOTHING = "calibration", "sampling", "nothing"


def _varied(arm: Arm, numbers: Sequence[int]) -> str:
    """Return what an arm's draws vary."""
    if len(numbers) == 1:
        return NOTHING
    return CALIBRATION if arm.calibrates else SAMPLING


def with_replicates(spec: StudySpec, count: int) -> StudySpec:
    """Return the study with that many draws of each arm that calibrates. Raises UsageError if none does."""
    from crushtest.compress.recipes import parse_recipes

    arms = [arm for listed in spec.arms for arm in expand(listed)]
    calibrated = [arm.recipe is not None and any(r.calibrates for r in parse_recipes(arm.recipe)) for arm in arms]
    if not any(calibrated):
        raise UsageError(
            f"--replicates: no arm calibrates, so that its {count} draws would be the same; leave it out, or write "
            "`replicates:` at an arm whose tasks sample completions"
        )
    return spec.model_copy(
        update={
            "arms": tuple(
                arm.model_copy(update={"replicates": count}) if does else arm
                for arm, does in zip(arms, calibrated, strict=True)
            )
        }
    )
