"""What a study will do: the study file and the flags, checked whole before a weight is loaded."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crushtest.compress.recipes import Recipe, parse_recipes
from crushtest.errors import UnknownName, UsageError
from crushtest.records import DENSE, Item
from crushtest.registry import ENGINES, SCORERS, TASKS, Dimension, explain, reject_unknown
from crushtest.study.suites import resolve
from crushtest.tasks.base import Task
from crushtest.tasks.sampling import spread

Training = Literal["before", "after"]


class Checked(BaseModel):
    """A part of a study file: no key that is not in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ArmSpec(Checked):
    """One arm: a recipe on the study's model, or another model as found, or a recipe on another model.

    training   whether that model was trained (fine-tuned) `before` it was compressed or `after`; None: neither, or not
               known. Nothing is trained here: it is said of models that are brought along
    """

    name: str | None = Field(default=None, min_length=1)
    recipe: str | None = Field(default=None, min_length=1)
    model: str | None = Field(default=None, min_length=1)
    engine: str | None = Field(default=None, min_length=1)
    training: Training | None = None


class CalibrationSpec(Checked):
    """The text that data-aware methods see: `sequences` pieces of `length` tokens of a source."""

    source: str = "pydoc"
    sequences: int = Field(default=16, ge=1)
    length: int = Field(default=512, ge=2)


class StudySpec(Checked):
    """A study file, every default visible. `engine` is an engine's name with options: `hf:pack_tokens=1024`.

    noise_floor   how often the dense arm is measured again, to see how far its numbers move by that alone
    noise_vary    what else those repeats differ in, besides order and packing: `dtype=bfloat16`, `threads=1`,
                  `engine=NAME`
    correction    how p is adjusted over the rows of a task and arm
    """

    model: str
    arms: tuple[ArmSpec, ...] = ()
    suite: str | list[Any] = "quick"
    limit: int | None = Field(default=None, ge=1)
    calibration: CalibrationSpec = CalibrationSpec()
    engine: str = "hf"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "auto"
    seed: int = Field(default=0, ge=0)
    noise_floor: int = Field(default=0, ge=0)
    noise_vary: tuple[str, ...] = ()
    correction: Literal["benjamini-hochberg", "holm"] = "benjamini-hochberg"
    trust_remote_code: bool = False
    allow_pickle: bool = False


DTYPES = get_args(StudySpec.model_fields["dtype"].annotation)


@dataclass(frozen=True)
class Arm:
    """One variant under test. `recipe` is None for a model that is tested as found.

    dtype     in which it is loaded; None for the study's own
    repeat    which repeat of a noise floor it is; 0 for the arm itself
    threads   on how many a repeat runs; None for as many as the arm itself
    training  whether it was trained before or after it was compressed; None where nobody said
    """

    name: str
    model: str
    recipe: Recipe | None
    engine: str
    engine_options: dict[str, Any]
    dtype: str | None = None
    repeat: int = 0
    threads: int | None = None
    training: Training | None = None

    @property
    def title(self) -> str:
        """The name, and which repeat."""
        return f"{self.name}, repeat {self.repeat}" if self.repeat else self.name


@dataclass(frozen=True)
class PlannedTask:
    """A task with its options bound; its items are read or built when drawn."""

    name: str
    dimension: Dimension
    options: dict[str, Any]
    task: Task
    limit: int | None
    seed: int

    @property
    def settings(self) -> dict[str, Any]:
        """The options, and the study's own draw beside them where it draws: what a study file says of the task."""
        return self.options if self.limit is None else {**self.options, "limit": self.limit}

    def draw(self) -> list[Item]:
        """The items to ask: all, or `limit` of them. Raises DataError where the data are not to be had."""
        items = self.task.items()
        if not items:
            raise UsageError(f"task {self.name!r}: its options leave no item")
        return list(items) if self.limit is None else spread(items, self.limit, self.seed)


@dataclass(frozen=True)
class Plan:
    """Everything a study will do. The dense arm comes first."""

    spec: StudySpec
    arms: tuple[Arm, ...]
    tasks: tuple[PlannedTask, ...]


def read_spec(path: Path) -> StudySpec:
    """The study file at `path`. Raises UsageError, in one line, for anything wrong in it."""
    if path.is_dir():
        raise UsageError(f"study file {str(path)!r} is a folder; name the YAML file itself")
    if not path.is_file():
        raise UsageError(f"study file {str(path)!r}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"study file {str(path)!r} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        raise UsageError(f"study file {str(path)!r} is empty; it must hold `key: value` lines, such as `model: demo`")
    if not isinstance(content, dict):
        got = "a list" if isinstance(content, list) else "a text" if isinstance(content, str) else "a single value"
        raise UsageError(f"study file {str(path)!r} must hold `key: value` lines, such as `model: demo` (got {got})")
    return build_spec(content, where=f"study file {str(path)!r}")


def build_spec(content: dict[str, Any], *, where: str) -> StudySpec:
    """A StudySpec from plain values; an arm that is only a text is a recipe."""
    arms = content.get("arms") or []
    if not isinstance(arms, list | tuple):
        raise UsageError(f"{where}: arms must be a list (got {arms!r})")
    content = {**content, "arms": [{"recipe": arm} if isinstance(arm, str) else arm for arm in arms]}
    reject_unknown(content, StudySpec, where)
    reject_unknown(content.get("calibration") or {}, CalibrationSpec, f"{where}: calibration")
    for arm in content["arms"]:
        reject_unknown(arm, ArmSpec, f"{where}: arms")
    try:
        return StudySpec(**{key: value for key, value in content.items() if value is not None})
    except ValidationError as error:
        raise UsageError(f"{where}: {explain(error)}") from None


def make_plan(spec: StudySpec) -> Plan:
    """The arms and tasks of a study, names and options checked. Neither models nor data are touched."""
    return Plan(spec, make_arms(spec), plan_tasks(spec))


def plan_tasks(spec: StudySpec) -> tuple[PlannedTask, ...]:
    """The tasks of a study, names and options checked."""
    return tuple(_plan_task(spec, name, options) for name, options in resolve(spec.suite))


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


def check_names(spec: StudySpec) -> None:
    """Raise UsageError for an arm's own name that looks like a path or cannot be printed."""
    for name in (arm.name for arm in spec.arms if arm.name is not None):
        wrong = next((char for char in name if char in "/\\" or unicodedata.category(char)[0] == "C"), None)
        if wrong is not None or name in (".", ".."):
            raise UsageError(
                f"arm {name!r}: a name holds no path separator and no control character"
                + (f" (got {wrong!r})" if wrong is not None else "")
            )


def one_by_one(arm: ArmSpec) -> list[ArmSpec]:
    """An arm whose recipe is a list as an arm for each recipe; one with a name of its own as it is."""
    if arm.name is not None or arm.recipe is None:
        return [arm]
    return [arm.model_copy(update={"recipe": recipe.text}) for recipe in parse_recipes(arm.recipe)]


def parse_engine(text: str) -> tuple[str, dict[str, Any]]:
    """An engine and its options, from `name` or `name:option=value,option=value`."""
    name, given = ENGINES.split(text)
    return name, ENGINES.get(name).bind(given)


def _arm(spec: StudySpec, name: str, given: ArmSpec, recipe: Recipe | None) -> Arm:
    engine, options = parse_engine(given.engine or spec.engine)
    if recipe is not None and engine != "hf":
        raise UsageError(f"arm {name!r}: recipes run in engine 'hf' only (got {engine!r})")
    dtype = own_dtype(spec, f"arm {name!r}", given.engine) if engine == "hf" else None
    return Arm(name, given.model or spec.model, recipe, engine, options, dtype, training=given.training)


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


def _plan_task(spec: StudySpec, name: str, options: dict[str, Any]) -> PlannedTask:
    entry = TASKS.get(name)
    given = {"limit": spec.limit, **options}
    limit = None
    if "limit" not in entry.options:  # the draw is the study's, unless the task has its own
        limit = given.pop("limit")
    elif given["limit"] is None:
        del given["limit"]
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise UsageError(f"task {name!r}: limit must be a whole number of at least 1 (got {limit!r})")
    if "seed" in entry.options:
        given.setdefault("seed", spec.seed)
    bound = entry.bind(given)
    task = entry.function(**bound)
    for scorer in task.scorers:
        SCORERS.get(scorer.partition(":")[0], where=f"task {name!r}")
    return PlannedTask(name, entry.about["dimension"], bound, task, limit, spec.seed)
