"""The commands that measure models: run, evaluate."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crushtest.cli.at_address import at_address
from crushtest.cli.cost import show_cost
from crushtest.cli.envelope import print_result
from crushtest.cli.machines import Machines, executor_of
from crushtest.cli.options import DryRun, Model, Selection, Setup, Skip, Threads, flattened, given
from crushtest.cli.output import AsJson, print_line
from crushtest.cli.results import say_if_untied
from crushtest.errors import UsageError
from crushtest.printing import quoted

if TYPE_CHECKING:
    from crushtest.pipeline.executors.executor import Executor
    from crushtest.pipeline.remote.working_copy import WorkingCopy
    from crushtest.study.spec import StudySpec

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The study's folder, or an address: s3://bucket/study. Default: studies/<model>."),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option("--recipe", "-r", help="How to compress: `wanda:sparsity=0.5`. Repeatable; lists expand."),
]
FoundArms = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]MODEL",
        help="A compressed model to test as it is found: a folder, a hub id, a .gguf file, s3://bucket/model. It is "
        "called NAME, or by the last part of its path or id. Repeatable.",
    ),
]
Replicates = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Compress each arm that calibrates N times, each time on other calibration text, and measure every draw. "
        "Intervals then speak of other draws as well. May be raised later; only the missing draws are run.",
    ),
]
StopEarly = Annotated[
    str | None,
    typer.Option(
        metavar="POLICY",
        help="Ask arms in random order, and no further than the rules of a policy need. A task stops when the verdict "
        "that the full run would give on each rule is certain (at most 5% error), an arm when one is a regression. "
        "Dense is asked everything.",
    ),
]
Finish = Annotated[
    bool,
    typer.Option(
        "--finish",
        help="Go on with what --stop-early stopped, in the same order, to the full run. With --out alone, the study in "
        "that folder is the one.",
    ),
]


@flattened
@at_address("out", writes=True)
def run(
    model: Annotated[
        str | None, typer.Argument(help="A hub id, a folder, a .gguf file, s3://bucket/model, or `demo`.")
    ] = None,
    recipe: Recipes = None,
    arm: FoundArms = None,
    study: Annotated[Path | None, typer.Option(help="A study file (YAML); flags override it.")] = None,
    *,
    selection: Selection,
    out: Out = None,
    setup: Setup,
    threads: Threads = None,
    skip_missing: Skip = False,
    replicates: Replicates = None,
    stop_early: StopEarly = None,
    finish: Finish = False,
    dry_run: DryRun = False,
    machines: Machines,
    json: AsJson = False,
    copy: WorkingCopy | None = None,
) -> None:
    """Compress a model in every way asked for, measure each arm against the dense model, and write the report.

    If it is interrupted, the same command resumes it. On a finished study another recipe adds an arm, which is asked
    the study's tasks, and the dense model is not run again.

    Examples:

        crushtest run demo -r magnitude:sparsity=0.5 -r wanda:pattern=2:4

        crushtest run --study study.yaml --limit 200

        crushtest run demo -r gptq:bits=4,group_size=64 --dry-run

        crushtest run demo -r wanda:sparsity=0.1 --noise-floor 3

        crushtest run demo -r gptq:bits=4,group_size=64 --replicates 3

        crushtest run path/model --arm 4bit=path/model-AWQ --arm path/model-FP8

        crushtest run model-F16.gguf --engine llamacpp --arm model-Q4_K_M.gguf
    """
    from crushtest.study.draws import with_replicates
    from crushtest.study.spec import build_spec, read_spec

    if study is None and model is None and not (finish and out):
        raise UsageError("run: give a MODEL or --study FILE (try `crushtest run demo -r wanda:sparsity=0.5`)")
    folder = out or default_folder(study.stem if study else model or "")
    study = study or (_stored(folder) if finish else None)
    flags = given(selection) | given(setup)
    flags |= {} if model is None else {"model": model}
    if recipe or arm:
        flags["arms"] = [{"recipe": text} for text in recipe or ()] + found_arms(arm or ())
    base = read_spec(study).model_dump(exclude_unset=True) if study else _stored_suite(folder)
    if stop_early is not None or finish:
        flags["stop_early"] = stopping(folder, base.get("stop_early"), stop_early, finish=finish)
    if "noise_floor" in flags:  # a flag overrides its own part of what the study file says
        flags["noise_floor"] = base.get("noise_floor", {}) | flags["noise_floor"]
    spec = build_spec(base | flags, where="run")
    if replicates is not None:
        spec = with_replicates(spec, replicates)
    if not spec.arms and not arms_in(folder):
        raise UsageError(
            "run: nothing to compare with the dense model; give a recipe (`-r wanda:sparsity=0.5`), a model (`--arm`) "
            f"or `arms:` in a study file. `crushtest evaluate {spec.model} -o DIR` measures a model alone"
        )
    measure("run", spec, folder, machines, dry_run=dry_run, skip_missing=skip_missing, json=json, copy=copy)


def _stored(folder: Path) -> Path | None:
    """Return the study file in a folder: what `--finish` finishes, with its tasks and no others."""
    from crushtest.study.folder import StudyFolder

    stored = StudyFolder(folder).specification
    return stored if stored.is_file() else None


def _stored_suite(folder: Path) -> dict[str, Any]:
    """Return the tasks of the study in a folder, which another arm is asked as well; empty if it has none."""
    from crushtest.study.spec import read_stored_spec

    stored = _stored(folder)
    return {} if stored is None else {"suite": read_stored_spec(stored).suite}


@flattened
@at_address("out", writes=True)
def evaluate(
    model: Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="The study's folder, or an address.")],
    *,
    selection: Selection,
    setup: Setup,
    threads: Threads = None,
    skip_missing: Skip = False,
    dry_run: DryRun = False,
    machines: Machines,
    json: AsJson = False,
    copy: WorkingCopy | None = None,
) -> None:
    """Measure one model as it is, without compressing or comparing it."""
    from crushtest.study.spec import build_spec

    flags = {"model": model} | given(selection) | given(setup)
    spec = build_spec(flags, where="evaluate")
    measure("evaluate", spec, out, machines, dry_run=dry_run, skip_missing=skip_missing, json=json, copy=copy)


def measure(
    command: str,
    spec: StudySpec,
    folder: Path,
    machines: Machines,
    *,
    dry_run: bool,
    skip_missing: bool,
    json: bool,
    copy: WorkingCopy | None,
) -> None:
    """Run a study, or show what it will cost."""
    measuring = executor_of(machines)
    if dry_run:
        show_cost(command, spec, folder, skip_missing=skip_missing, executor=measuring, json=json)
        return
    with measuring as executor:
        run_and_show(command, spec, folder, skip_missing=skip_missing, executor=executor, json=json, copy=copy)


def run_and_show(
    command: str,
    spec: StudySpec,
    folder: Path,
    *,
    skip_missing: bool,
    executor: Executor,
    json: bool,
    copy: WorkingCopy | None = None,
) -> None:
    """Run a study, then print its summary and the path of its report."""
    from rich.console import Console

    from crushtest.pipeline.run import run_study
    from crushtest.report import terminal
    from crushtest.study.folder import StudyFolder
    from crushtest.study.merge import unrequested_tasks

    try:
        line = ["crushtest", *sys.argv[1:]]
        worked = run_study(spec, folder, command=line, skip_missing=skip_missing, executor=executor, copy=copy)
    except KeyboardInterrupt:
        print("crushtest: interrupted; the same command resumes from here", file=sys.stderr)
        raise typer.Exit(130) from None
    study = StudyFolder(folder)
    warnings = []
    if not worked:
        others = unrequested_tasks(study, spec)
        rest = f"; the study keeps its other tasks: {', '.join(others)}" if others else ""
        warnings.append(f"{folder}: nothing to do, every arm is measured and compared{rest}")
        print_line(warnings[-1], file=sys.stderr)
    warnings.append(say_if_untied(study))
    if json:
        facts = {"study": str(folder), "report": str(study.report), "new": worked}
        print_result(command, facts, warnings=warnings)
        return
    terminal.print_summary(study, Console())
    print_line(f"report: {study.report}")


def found_arms(texts: Sequence[str]) -> list[dict[str, str]]:
    """Return the arms that `[NAME=]MODEL` texts stand for.

    A model without a name is called by the last part of its path or id, or in full if another arm is called that.
    """
    arms = [named_model(text) for text in texts]
    parts = [name or re.split(r"[/\\]", model.rstrip("/\\"))[-1] for name, model in arms]
    return [
        {"name": part, "model": model}
        if name or (part not in ("", ".", "..") and parts.count(part) == 1)
        else {"model": model}
        for (name, model), part in zip(arms, parts, strict=True)
    ]


def named_model(text: str) -> tuple[str, str]:
    """Split `NAME=MODEL` into its parts; the name is empty where the text is a model alone, such as `runs/lr=1e-4`."""
    name, separator, model = text.partition("=")
    if not separator or "/" in name or "\\" in name or Path(text).exists():
        return "", text
    if not name or not model:
        raise UsageError(f"run: --arm {quoted(text)} is not [NAME=]MODEL")
    return name, model


def stopping(folder: Path, given: dict[str, Any] | None, policy: str | None, *, finish: bool) -> dict[str, Any]:
    """Return when arms stop: what the study file says, with the flags over it, or what the folder's study says.

    Raises UsageError if a study is to be finished that has no rule of stopping.
    """
    from crushtest.study.folder import StudyFolder
    from crushtest.study.spec import read_stored_spec

    stored = StudyFolder(folder).specification
    if policy is None and given is None and stored.is_file() and (spec := read_stored_spec(stored).stop_early):
        given = spec.model_dump()
    if policy is None and given is None:
        raise UsageError(f"run: --finish is for a study with stop_early, and {folder} has none")
    return (given or {}) | ({} if policy is None else {"policy": policy}) | ({"finish": True} if finish else {})


def arms_in(folder: Path) -> bool:
    """Return True if the folder holds a study with an arm to compare with the dense model."""
    from crushtest.study.folder import StudyFolder
    from crushtest.study.spec import read_spec

    study = StudyFolder(folder)
    return study.specification.is_file() and bool(read_spec(study.specification).arms)


def default_folder(name: str) -> Path:
    """Return the folder of a study whose user named none."""
    return Path("studies") / (Path(name).name.removesuffix(".gguf") or "study")
