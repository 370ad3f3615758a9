"""The arms of a study, each with its recipe parsed, its engine bound and its model options resolved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crushtest.compress.recipes import MOST_ARMS, Recipe, parse_recipes
from crushtest.engines import engine_for
from crushtest.errors import UnknownName, UsageError
from crushtest.files.atomic import file_name
from crushtest.models.options import ModelOptions
from crushtest.printing import quoted
from crushtest.records import DENSE
from crushtest.registry import ENGINES
from crushtest.study.spec import DTYPES, ArmSpec, CalibrationSpec, StudySpec, Training

LONGEST_NAME = 220
"""Of an arm's folder: a file's name may have 255 bytes, and cards and temporary files add to it."""


@dataclass(frozen=True)
class Arm:
    """One variant under test. `recipe` is None for a model that is tested as found.

    model_options  how its model is loaded
    repeat         number of the repeat for the noise floor; 0 for the arm itself
    draw           number of the calibration draw, or of the draw of sampled completions; 0 for the arm itself
    replicates     how many draws the study file asks for, the arm itself among them
    threads        number of threads of a repeat; None for as many as the arm itself
    training       whether it was trained before or after compression; None if the study file does not say
    against        the arms that it is compared with, dense first; none for dense itself
    calibration    its own calibration text; None: the study's
    accept         why it is compared although its engine and another's disagree on the fixed text; None if it is not
    """

    name: str
    model: str
    recipe: Recipe | None
    engine: str
    engine_options: dict[str, Any]
    model_options: ModelOptions
    repeat: int = 0
    draw: int = 0
    replicates: int = 1
    threads: int | None = None
    training: Training | None = None
    against: tuple[str, ...] = ()
    calibration: CalibrationSpec | None = None
    accept: str | None = None

    @property
    def in_process(self) -> bool:
        """True if the model is loaded here; other engines take its name."""
        return ENGINES.get(self.engine).about.in_process

    @property
    def has_model(self) -> bool:
        """True if the engine runs a model, and does not make answers up."""
        return ENGINES.get(self.engine).about.has_model

    @property
    def title(self) -> str:
        """The name, with the number of the repeat or draw."""
        number = f", repeat {self.repeat}" if self.repeat else f", draw {self.draw}" if self.draw else ""
        return f"{self.name}{number}"

    @property
    def calibrates(self) -> bool:
        """True if its weights depend on the calibration text."""
        return self.recipe is not None and self.recipe.calibrates


def make_arms(spec: StudySpec) -> tuple[Arm, ...]:
    """Return the dense arm and the others, with lists of recipes expanded."""
    arms = [_arm(spec, DENSE, ArmSpec(), None)]
    for given in spec.arms:
        if given.recipe is None and given.model is None:
            raise UsageError(f"arm {given.name or '?'!r}: it needs a recipe, a model or both")
        if given.training and given.model is None:
            raise UsageError(
                f"arm {given.name or given.recipe!r}: training describes a model that was trained; name that model "
                f"with `model:` (got training: {given.training})"
            )
        if given.training == "after" and given.recipe is not None:
            raise UsageError(
                f"arm {given.name or given.recipe!r}: a recipe compresses what was trained, so training is `before` "
                "(got training: after)"
            )
        recipes: tuple[Recipe | None, ...] = parse_recipes(given.recipe) if given.recipe else (None,)
        if given.calibration is not None and not any(recipe is not None and recipe.calibrates for recipe in recipes):
            raise UsageError(f"arm {given.title!r}: its weights depend on no calibration text; leave `calibration` out")
        for recipe in recipes:
            text = recipe.text if recipe else given.model or ""
            name = text if given.name is None else given.name if len(recipes) == 1 else f"{given.name} {text}"
            if len(arms) > MOST_ARMS:
                raise UsageError(f"a study has at most {MOST_ARMS} arms; its lists of recipes expand into more")
            arms.append(_arm(spec, name, given, recipe))
    for name, count in Counter(arm.name for arm in arms).items():
        if len(file_name(name)) > LONGEST_NAME:
            raise UsageError(
                f"arm {quoted(name)}: too long to name a folder; name it in a study file: "
                "`arms: [{name: mix, recipe: ...}]`"
            )
        if count > 1:
            if name == DENSE:
                raise UsageError(f"{DENSE!r} is the model before compression; give the arm another name")
            raise UsageError(f"two arms are called {quoted(name)}; give one of them another name")
    check_against({arm.name: arm.against for arm in arms})
    return tuple(arms)


def check_against(against: Mapping[str, Sequence[str]]) -> None:
    """Raise UsageError for an arm that is compared with an unknown one or, directly or by way of others, with itself.

    A circle has no first arm that the others could be read against.
    """
    for arm, others in against.items():
        for other in others:
            if other not in against:
                raise UnknownName("arm", other, against, where=f"arm {arm!r}: against")
        if arm in others:
            raise UsageError(f"arm {arm!r}: against names the arm itself; name another arm or leave it out")
    for arm in against:
        if arm in leads_to(against, arm):
            raise UsageError(f"arm {arm!r}: against goes in a circle ({_circle(against, arm)}); drop one of them")


def leads_to(against: Mapping[str, Sequence[str]], arm: str) -> set[str]:
    """Return the arms that an arm is compared with, and those that these are compared with, and so on."""
    reached: set[str] = set()
    pending = list(against[arm])
    while pending:
        other = pending.pop()
        if other not in reached:
            reached.add(other)
            pending += against[other]
    return reached


def _circle(against: Mapping[str, Sequence[str]], arm: str) -> str:
    path = [arm]
    while len(path) == 1 or path[-1] != arm:
        path.append(next(other for other in against[path[-1]] if other == arm or arm in leads_to(against, other)))
    return " -> ".join(path)


def parse_engine(text: str) -> tuple[str, dict[str, Any]]:
    """Return the engine and its options from `name` or `name:option=value,option=value`."""
    name, given = ENGINES.split(text)
    return name, ENGINES.get(name).bind(given)


def _arm(spec: StudySpec, name: str, given: ArmSpec, recipe: Recipe | None) -> Arm:
    model = given.model or spec.model
    engine, options = parse_engine(given.engine or engine_for(model, spec.engine))
    traits = ENGINES.get(engine).about
    if recipe is not None and not traits.takes_recipes:
        able = " or ".join(repr(entry.name) for entry in ENGINES if entry.about.takes_recipes)
        raise UsageError(f"arm {name!r}: recipes run in engine {able} only (got {engine!r})")
    model_options = ModelOptions(
        spec.dtype, spec.device, trust_remote_code=spec.trust_remote_code, allow_pickle=spec.allow_pickle
    )
    if traits.in_process and (dtype := own_dtype(spec, f"arm {name!r}", given.engine)):
        model_options = replace(model_options, dtype=dtype)
    if not traits.in_process:
        options |= trust(spec, f"arm {name!r}", given.engine, options)
    return Arm(
        name=name,
        model=model,
        recipe=recipe,
        engine=engine,
        engine_options=options,
        model_options=model_options,
        training=given.training,
        against=() if name == DENSE else given.against,
        calibration=given.calibration,
        accept=given.accept,
        replicates=given.replicates,
    )


TRUST = ("trust_remote_code", "allow_pickle")


def trust(spec: StudySpec, where: str, engine: str | None, options: Mapping[str, Any]) -> dict[str, bool]:
    """Return what the study trusts a model's files with, for those options of an engine that loads its own models.

    It is given once for all arms. Raises UsageError for an engine that gives it.
    """
    text = engine or spec.engine
    _, given = ENGINES.split(text)
    for key in TRUST:
        if key in given:
            raise UsageError(f"{where}: engine {text!r}: {key} is the study's own setting; write `{key}:` in the study")
    return {key: bool(getattr(spec, key)) for key in TRUST if key in options}


def own_dtype(spec: StudySpec, where: str, engine: str | None) -> str | None:
    """Return the dtype that an arm's own engine names (`hf:dtype=bfloat16`), unless it is the study's.

    The study loads the models, so other settings for loading are given once for all arms. Raises UsageError for an
    engine that gives one.
    """
    text = engine or spec.engine
    _, options = ENGINES.split(text)
    for key in ("dtype", "device", "trust_remote_code", "allow_pickle"):
        if key in options and (engine is None or key != "dtype"):
            raise UsageError(f"{where}: engine {text!r}: {key} is the study's own setting; write `{key}:` in the study")
    if "dtype" not in options:
        return None
    dtype = str(parse_engine(text)[1]["dtype"])
    if dtype not in DTYPES:
        raise UnknownName("dtype", dtype, DTYPES, where=where)
    return None if dtype == spec.dtype else dtype
