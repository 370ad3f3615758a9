"""The arms of a study, every one with its recipe parsed, its engine bound and its model options resolved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from crushtest.compress.recipes import Recipe, parse_recipes
from crushtest.engines import engine_for
from crushtest.errors import UnknownName, UsageError
from crushtest.models.options import ModelOptions
from crushtest.records import DENSE
from crushtest.registry import ENGINES
from crushtest.study.spec import DTYPES, ArmSpec, StudySpec, Training


@dataclass(frozen=True)
class Arm:
    """One variant under test. `recipe` is None for a model that is tested as found.

    model_options  how its model is loaded
    repeat         which repeat of a noise floor it is; 0 for the arm itself
    threads        on how many a repeat runs; None for as many as the arm itself
    training       whether it was trained before or after it was compressed; None where nobody said
    """

    name: str
    model: str
    recipe: Recipe | None
    engine: str
    engine_options: dict[str, Any]
    model_options: ModelOptions
    repeat: int = 0
    threads: int | None = None
    training: Training | None = None

    @property
    def in_process(self) -> bool:
        """True if the model is loaded here; other engines take its name."""
        return ENGINES.get(self.engine).about.in_process

    @property
    def title(self) -> str:
        """The name, and which repeat."""
        return f"{self.name}, repeat {self.repeat}" if self.repeat else self.name


def make_arms(spec: StudySpec) -> tuple[Arm, ...]:
    """The dense arm and the others, lists of recipes expanded."""
    arms = [_arm(spec, DENSE, ArmSpec(), None)]
    for given in spec.arms:
        if given.recipe is None and given.model is None:
            raise UsageError(f"arm {given.name or '?'!r}: it needs a recipe, a model or both")
        if given.training and given.model is None:
            raise UsageError(
                f"arm {given.name or given.recipe!r}: training is said of a model that was trained; name that model "
                f"with `model:` (got training: {given.training})"
            )
        if given.training == "after" and given.recipe is not None:
            raise UsageError(
                f"arm {given.name or given.recipe!r}: a recipe compresses what was trained, so training is `before` "
                "(got training: after)"
            )
        recipes: tuple[Recipe | None, ...] = parse_recipes(given.recipe) if given.recipe else (None,)
        for recipe in recipes:
            text = recipe.text if recipe else given.model or ""
            name = text if given.name is None else given.name if len(recipes) == 1 else f"{given.name} {text}"
            arms.append(_arm(spec, name, given, recipe))
    names = [arm.name for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two arms are called {name!r}; give one of them another name")
    return tuple(arms)


def parse_engine(text: str) -> tuple[str, dict[str, Any]]:
    """An engine and its options, from `name` or `name:option=value,option=value`."""
    name, given = ENGINES.split(text)
    return name, ENGINES.get(name).bind(given)


def _arm(spec: StudySpec, name: str, given: ArmSpec, recipe: Recipe | None) -> Arm:
    model = given.model or spec.model
    engine, options = parse_engine(given.engine or engine_for(model, spec.engine))
    about = ENGINES.get(engine).about
    if recipe is not None and not about.takes_recipes:
        able = " or ".join(repr(entry.name) for entry in ENGINES if entry.about.takes_recipes)
        raise UsageError(f"arm {name!r}: recipes run in engine {able} only (got {engine!r})")
    model_options = ModelOptions(
        spec.dtype, spec.device, trust_remote_code=spec.trust_remote_code, allow_pickle=spec.allow_pickle
    )
    if about.in_process and (dtype := own_dtype(spec, f"arm {name!r}", given.engine)):
        model_options = replace(model_options, dtype=dtype)
    return Arm(
        name=name,
        model=model,
        recipe=recipe,
        engine=engine,
        engine_options=options,
        model_options=model_options,
        training=given.training,
    )


def own_dtype(spec: StudySpec, where: str, engine: str | None) -> str | None:
    """The dtype that an arm's own engine names (`hf:dtype=bfloat16`), if it is not the study's.

    The study loads its models; whatever else an engine would load them with is said once, for all arms. Raises
    UsageError where it is not.
    """
    text = engine or spec.engine
    _, named = ENGINES.split(text)
    for key in ("dtype", "device", "trust_remote_code", "allow_pickle"):
        if key in named and (engine is None or key != "dtype"):
            raise UsageError(f"{where}: engine {text!r}: {key} is the study's own setting; write `{key}:` in the study")
    if "dtype" not in named:
        return None
    dtype = str(parse_engine(text)[1]["dtype"])
    if dtype not in DTYPES:
        raise UnknownName("dtype", dtype, DTYPES, where=where)
    return None if dtype == spec.dtype else dtype
