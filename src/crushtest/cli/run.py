"""The commands that measure models: run, evaluate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crushtest.cli.asked_study import asked_study, default_folder, found_arms, stored_study
from crushtest.cli.at_address import at_address
from crushtest.cli.cost import show_cost
from crushtest.cli.envelope import print_result
from crushtest.cli.machines import Machines, executor_of
from crushtest.cli.options import DryRun, Model, Selection, Setup, Skip, Threads, flattened, given
from crushtest.cli.output import AsJson, print_line
from crushtest.cli.results import say_if_untied
from crushtest.errors import UsageError

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
    if study is None and model is None and not (finish and out):
        raise UsageError("run: give a MODEL or --study FILE (try `crushtest run demo -r wanda:sparsity=0.5`)")
    folder = out or default_folder(study.stem if study else model or "")
    study = study or (stored_study(folder) if finish else None)
    flags = given(selection) | given(setup)
    flags |= {} if model is None else {"model": model}
    if recipe or arm:
        flags["arms"] = [{"recipe": text} for text in recipe or ()] + found_arms(arm or ())
    spec = asked_study(flags, study, folder, stop_early, finish=finish, replicates=replicates)
    measure("run", spec, folder, machines, threads, dry_run=dry_run, skip_missing=skip_missing, json=json, copy=copy)


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
    measure("evaluate", spec, out, machines, threads, dry_run=dry_run, skip_missing=skip_missing, json=json, copy=copy)


def measure(
    command: str,
    spec: StudySpec,
    folder: Path,
    machines: Machines,
    threads: int | None,
    *,
    dry_run: bool,
    skip_missing: bool,
    json: bool,
    copy: WorkingCopy | None,
) -> None:
    """Run a study, or show what it will cost."""
    measuring = executor_of(machines, threads)
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

    line = ["crushtest", *sys.argv[1:]]
    worked = run_study(spec, folder, command=line, skip_missing=skip_missing, executor=executor, copy=copy)
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
