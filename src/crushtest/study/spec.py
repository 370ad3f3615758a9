"""The study file: read it and check its keys, each on its own."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from crushtest.compress.recipes import parse_recipes
from crushtest.engines import DEFAULT_ENGINE
from crushtest.errors import StoreError, UsageError
from crushtest.files.regular import read_bytes
from crushtest.files.sealed import BLANK, CHANGED, SEAL, is_sealed, is_whole, sealed
from crushtest.files.strict_yaml import read_yaml
from crushtest.printing import quoted, unwritable
from crushtest.records import DENSE
from crushtest.registry import explain, reject_unknown
from crushtest.study.paths import study_paths

Training = Literal["before", "after"]
Correction = Literal["benjamini-hochberg", "holm"]
Half = Literal["search", "verify"]


class Checked(BaseModel):
    """A part of a study file, in which unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _with_dense(value: object) -> object:
    """Read one name as a list of one, and put dense first: every arm is compared with it."""
    names = [value] if isinstance(value, str) else value
    return tuple(dict.fromkeys((DENSE, *names))) if isinstance(names, list | tuple) else names


def _as_list(value: object) -> object:
    """Read one name as a list of one."""
    return (value,) if isinstance(value, str) else value


MOST_REPEATS, MOST_DRAWS = 100, 50
ALL_ARMS, AUTO = "all", "auto"
"""Words for several arms in `noise_floor.arms`."""


class CalibrationSpec(Checked):
    """The calibration text: `sequences` pieces of `length` tokens from a source, as it is or in the chat template.

    source      `pydoc` (built in), `c4`, `wikitext2`, a text file, or a `.jsonl` file with a document per line
    sequences   how many pieces
    length      tokens of a piece
    chat        whether the model's chat template is put around each conversation or text
    """

    source: str = "pydoc"
    sequences: int = Field(default=16, ge=1, le=1_000_000)
    length: int = Field(default=512, ge=2, le=1_000_000)
    chat: bool = False


class ArmSpec(Checked):
    """One arm: a recipe applied to the study's model, another model as found, or a recipe applied to another model.

    name       its name; None: its recipe, or its model
    recipe     how it is compressed. A text in place of these keys is a recipe as well
    model      its model, where that is not the study's
    engine     its engine, where that is not the study's
    training   whether that model was trained (fine-tuned) `before` or `after` compression; None if neither or unknown.
               It only describes the model: nothing is trained here
    against    the arms that it is compared with, by name: always dense, and those that the study file adds
    accept     why it is compared although its engine and another's disagree on the fixed text
    replicates  how many draws of it are measured: with other calibration text, or other seeds of sampled completions
    calibration  its own calibration text; None: the study's. What it leaves out is as in the study's
    """

    name: str | None = Field(default=None, min_length=1)
    recipe: str | None = Field(default=None, min_length=1)
    model: str | None = Field(default=None, min_length=1)
    engine: str | None = Field(default=None, min_length=1)
    training: Training | None = None
    against: Annotated[tuple[str, ...], BeforeValidator(_with_dense)] = (DENSE,)
    accept: str | None = Field(default=None, min_length=1)
    replicates: int = Field(default=1, ge=1, le=MOST_DRAWS)
    calibration: CalibrationSpec | None = None

    @property
    def title(self) -> str:
        """The name of the arm; that of its recipe or model if the study file gives none."""
        return self.name or self.recipe or self.model or ""


class NoiseFloorSpec(Checked):
    """How the measurement noise of the dense arm, and of others, is estimated.

    repeats   how often each of these arms is repeated
    vary      what the repeats differ in besides order and packing: `dtype=bfloat16`, `threads=1`, `engine=NAME`
    arms      which arms are repeated besides dense: their names, `all`, or `auto`: those whose noise may be another
    """

    repeats: int = Field(default=0, ge=0, le=MOST_REPEATS)
    vary: tuple[str, ...] = ()
    arms: Annotated[tuple[str, ...], BeforeValidator(_with_dense)] = (DENSE, AUTO)


class StopEarlySpec(Checked):
    """When an arm need not be asked every item, because the full run's verdict is certain.

    policy   a policy's file or name: a task is settled once all its rules are
    error    largest chance that the full run would say something else, for each arm
    bounds   `normal`, or `exact` for rates and bounded scores (by betting, which needs about half as many items again)
    finish   whether what was stopped goes on to the full run, in the same order
    """

    policy: str
    error: float = Field(default=0.05, gt=0, lt=0.5)
    bounds: Literal["normal", "exact"] = "normal"
    finish: bool = False


class StudySpec(Checked):
    """A study file, every default visible.

    model         the dense model: a hub id, a folder, a `.gguf` file, an address (`s3://` or of a server), or `demo`
    arms          what is compared with it
    suite         the name of a suite, a suite file, or a list of tasks, each with its options
    limit         items per task, drawn evenly over its groups; None: all
    calibration   the text that some methods look at
    engine        an engine's name with options: `hf:pack_tokens=1024`
    dtype         in which models are loaded; `auto`, the dense checkpoint's own, is the default on an accelerator
    device        `auto`, `cpu`, `cuda`, `cuda:0`, or places that are filled in order: `cuda:0,cuda:1`, `cpu=8GB,disk`
    seed          seed of item samples, calibration and bootstrap
    noise_floor   repeats of arms that show how far their numbers move by measurement alone; a number K in a study
                  file is short for `{repeats: K}`
    correction    how p is adjusted over the rows of a task and arm
    trust_remote_code   whether code that comes with a model is run
    allow_pickle  whether `.bin` checkpoints, which can run code, are loaded
    system        the system message before every request in chat; None: the chat template's own, if it has one
    beside        published results that the report draws beside the study's own: sources of `crushtest published`, or
                  paths of published.parquet. They judge nothing
    stop_early    arms are asked in random order and no further than a policy needs; the name of a policy is short for
                  `{policy: NAME}`. None: every arm is asked every item
    policy        the policy whose verdict heads the report: a file or a ready-made one. None: that of `stop_early`, if
                  there is one
    half          ask only half of the clusters: `search` to choose by, `verify` to test what was chosen. The same
                  suite, limit and seed give the same halves. None: all of them
    """

    model: str
    arms: tuple[ArmSpec, ...] = ()
    suite: str | list[Any] = "quick"
    limit: int | None = Field(default=None, ge=1)
    calibration: CalibrationSpec = CalibrationSpec()
    engine: str = DEFAULT_ENGINE
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    device: str = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)
    noise_floor: NoiseFloorSpec = NoiseFloorSpec()
    correction: Correction = "benjamini-hochberg"
    trust_remote_code: bool = False
    allow_pickle: bool = False
    system: str | None = None
    beside: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    stop_early: StopEarlySpec | None = None
    policy: str | None = None
    half: Half | None = None


DTYPES = tuple(name for name in get_args(StudySpec.model_fields["dtype"].annotation) if name != AUTO)


def read_spec(path: Path) -> StudySpec:
    """Read the study file at `path`. Relative paths in it are sought beside it first.

    Raises UsageError, in one line, for anything wrong in it.
    """
    return build_spec(study_paths(_read(path), path.parent), where=f"study file {str(path)!r}")


def _read(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise UsageError(f"study file {str(path)!r} is a folder; name the YAML file itself")
    if not path.is_file():
        raise UsageError(f"study file {str(path)!r}: no such file")
    content = read_yaml(path, f"study file {str(path)!r}")
    if content is None:
        raise UsageError(f"study file {str(path)!r} is empty; it must hold `key: value` lines, such as `model: demo`")
    if not isinstance(content, dict):
        got = "a list" if isinstance(content, list) else "a text" if isinstance(content, str) else "a single value"
        raise UsageError(f"study file {str(path)!r} must hold `key: value` lines, such as `model: demo` (got {got})")
    return content


WRITTEN = "# written by crushtest"
"""How the first line of a study.yaml with a seal begins."""


def read_stored_spec(path: Path) -> StudySpec:
    """Read the study.yaml of a study folder. A noise floor there that names no arms is older than them: dense alone.

    Its paths stand as they were when the study began. Raises UsageError as `read_spec` does, and StoreError if it is
    not the file that was written there.
    """
    content = read_bytes(path, remedy="restore it")
    if (is_sealed(content) or content.startswith(WRITTEN.encode())) and not is_whole(content):
        raise StoreError(
            f"{path} cannot be used ({CHANGED}); restore it, or remove its first line if it should be taken as it is"
        )
    spec = build_spec(_read(path), where=f"study file {str(path)!r}")
    floor = spec.noise_floor
    if not floor.repeats or "arms" in floor.model_fields_set:
        return spec
    return spec.model_copy(
        update={"noise_floor": NoiseFloorSpec(repeats=floor.repeats, vary=floor.vary, arms=(DENSE,))}
    )


def stored_text(resolved: dict[str, Any]) -> str:
    """Return the text of a study.yaml: its seal, and every setting."""
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    return sealed(f"{WRITTEN}; {SEAL}: {BLANK}\n{text}".encode()).decode()


def build_spec(content: dict[str, Any], *, where: str) -> StudySpec:
    """Build a StudySpec from plain values.

    An arm given as text is a recipe; a noise floor given as a number is its repeats. Raises UsageError, in one line,
    for anything wrong in them.
    """
    if "noise_vary" in content:
        raise UsageError(f"{where}: noise_vary is now part of noise_floor: `noise_floor: {{repeats: K, vary: [...]}}`")
    refuse_unwritable(content, where)
    arms = content.get("arms") or []
    if not isinstance(arms, list | tuple):
        raise UsageError(f"{where}: arms must be a list (got {quoted(arms)})")
    content = {**content, "arms": [{"recipe": arm} if isinstance(arm, str) else arm for arm in arms]}
    reject_unknown(content, StudySpec, where)
    if isinstance(content.get("noise_floor"), int):
        content["noise_floor"] = {"repeats": content["noise_floor"]}
    reject_unknown(content.get("noise_floor") or {}, NoiseFloorSpec, f"{where}: noise_floor")
    reject_unknown(content.get("calibration") or {}, CalibrationSpec, f"{where}: calibration")
    if isinstance(content.get("stop_early"), str):
        content["stop_early"] = {"policy": content["stop_early"]}
    reject_unknown(content.get("stop_early") or {}, StopEarlySpec, f"{where}: stop_early")
    for arm in content["arms"]:
        reject_unknown(arm, ArmSpec, f"{where}: arms")
        reject_unknown(arm.get("calibration") or {}, CalibrationSpec, f"{where}: arms: calibration")
    content["arms"] = [_with_calibration(arm, content.get("calibration")) for arm in content["arms"]]
    try:
        return StudySpec(**{key: value for key, value in content.items() if value is not None})
    except ValidationError as error:
        raise UsageError(f"{where}: {explain(error)}") from None


def _with_calibration(arm: dict[str, Any], of_study: Any) -> dict[str, Any]:
    """Return an arm whose calibration text is whole: what it leaves out is the study's. None if all of it is."""
    given = arm.get("calibration")
    if not isinstance(given, dict) or not isinstance(of_study or {}, dict):
        return arm
    defaults = CalibrationSpec().model_dump() | (of_study or {})
    whole = {**defaults, **given}
    return {**arm, "calibration": None if whole == defaults else whole}


def refuse_unwritable(value: object, where: str) -> None:
    """Raise UsageError for a text, anywhere in plain values, that no file can hold."""
    if isinstance(value, str) and unwritable(value):
        raise UsageError(f"{where}: {quoted(value)} holds a NUL or half a character")
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for part in value:
            refuse_unwritable(part, where)


def check_names(spec: StudySpec) -> None:
    """Raise UsageError if the name given to an arm looks like a path or cannot be printed."""
    for name in (arm.name for arm in spec.arms if arm.name is not None):
        wrong = next((char for char in name if char in "/\\" or unicodedata.category(char)[0] == "C"), None)
        if wrong is not None or name in (".", ".."):
            raise UsageError(
                f"arm {quoted(name)}: a name must not contain path separators or control characters"
                + (f" (got {wrong!r})" if wrong is not None else "")
            )


def expand(arm: ArmSpec) -> list[ArmSpec]:
    """Split an arm whose recipe is a list into an arm per recipe, each with a name of its own if the arm has one."""
    if arm.recipe is None:
        return [arm]
    recipes = [recipe.text for recipe in parse_recipes(arm.recipe)]
    if len(recipes) == 1:
        return [arm.model_copy(update={"recipe": recipes[0]})]
    names = [None if arm.name is None else f"{arm.name} {recipe}" for recipe in recipes]
    return [
        arm.model_copy(update={"name": name, "recipe": recipe}) for name, recipe in zip(names, recipes, strict=True)
    ]
