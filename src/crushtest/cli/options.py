"""Options and arguments that several commands take, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

Model = Annotated[
    str,
    typer.Argument(help="A hub id, a folder, a .gguf file, s3://bucket/model, or `demo` (SmolLM2-135M-Instruct)."),
]
Folder = Annotated[Path, typer.Argument(help="A study's folder.")]
Place = Annotated[Path, typer.Argument(help="A study's folder, or its address: s3://bucket/study.")]
Suite = Annotated[
    str | None, typer.Option(help="A suite's name, a YAML file, or task names joined by commas. Default: quick.")
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, help="Items per task, sampled and spread over its groups. May grow later: only the new ones are asked."
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of sampling, calibration and bootstrap. Default: 0.")]
Engine = Annotated[str | None, typer.Option(help="An engine with its options: `hf:option=value`. Default: hf.")]
DType = Annotated[
    str | None,
    typer.Option(
        help="float32, bfloat16, float16, or auto: the dense checkpoint's own. Default: auto on an accelerator, "
        "float32 on a CPU."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="auto, cpu, cuda, cuda:0, or several places to spread a model over, with limits: cuda:0,cuda:1 or "
        "cpu=8GB,disk. Default: auto."
    ),
]
NoiseFloor = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="K",
        help="Measure the dense arm K more times, in another order and in smaller packs and batches, and so every arm "
        "that has a noise of its own (--noise-arms). A difference no larger than what repeats of either side give is "
        "reported as within measurement noise. It is not the noise of compressing again. May be raised later; only the "
        "missing repeats are run. Default: 0.",
    ),
]
NoiseVary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT=VALUE",
        help="What every repeat of the noise floor also differs in: `dtype=bfloat16`, `threads=1`, or "
        "`engine=NAME:option=value`. Repeatable. Default: dtype=float32 with `--dtype auto` on a CPU, else nothing.",
    ),
]
NoiseArms = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ARM",
        help="Which arms the noise floor repeats besides dense: `all`, an arm's name (repeatable), `dense` for none, "
        "or `auto`: those in another engine, dtype or model file than dense. A quantized file in llama.cpp has "
        "dozens of times the noise of F16. Default: auto.",
    ),
]


def _use_threads(count: int | None) -> int | None:
    """Set the number of threads while the command line is read: before the command loads what computes."""
    from crushtest.models.threads import use_threads

    if count is not None:
        use_threads(count)
    return count


Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        callback=_use_threads,
        help="Threads to compute on. Default: OMP_NUM_THREADS, or as many as the process has processors: those of its "
        "affinity, or what its container's quota pays for.",
    ),
]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]
Pickle = Annotated[bool, typer.Option("--allow-pickle", help="Load .bin checkpoints, which can run code.")]
System = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="The system message before every request in chat. Default: the chat template's own, if it has one.",
    ),
]
Skip = Annotated[bool, typer.Option("--skip-missing", help="Skip tasks whose data are missing, and name them.")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what will be done and what it will cost. Write nothing.")]


@dataclass(frozen=True)
class Selection:
    """The options that say what to measure a model on."""

    suite: Suite = None
    limit: Limit = None
    seed: Seed = None


@dataclass(frozen=True)
class Running:
    """The options that say how models are loaded and run."""

    engine: Engine = None
    dtype: DType = None
    device: Device = None
    trust_remote_code: Trust = False
    allow_pickle: Pickle = False
    system: System = None


@dataclass(frozen=True)
class Setup(Running):
    """The options that say how models are loaded and run, and how often."""

    noise_floor: NoiseFloor = None
    noise_vary: NoiseVary = None
    noise_arms: NoiseArms = None


def given(options: Selection | Running) -> dict[str, Any]:
    """Return the options that the user set, by their keys in a study file."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    set_by_user = {
        key: value for key, value in values.items() if value is not None and value is not False and value != []
    }
    keys = {"noise_floor": "repeats", "noise_vary": "vary", "noise_arms": "arms"}
    noise = {key: set_by_user.pop(flag) for flag, key in keys.items() if flag in set_by_user}
    return set_by_user | ({"noise_floor": noise} if noise else {})


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """Make every field of the command's option records a parameter of its own, as typer expects them."""
    hints = get_type_hints(command, include_extras=True)
    records = {name: hints[name] for name in signature(command).parameters if is_dataclass(hints[name])}
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if name in records:
            parameters += signature(records[name], eval_str=True).parameters.values()
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @wraps(command)
    def call(**values: Any) -> None:
        for name, record in records.items():
            values[name] = record(**{field.name: values.pop(field.name) for field in fields(record)})
        command(**values)

    flat = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    call.__signature__ = Signature(flat)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return call
