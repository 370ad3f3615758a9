"""The commands: parse, call, print. Nothing else."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crushtest.cli import data
from crushtest.cli.output import AsJson, print_entry, print_json, print_table
from crushtest.cli.parse_errors import usage_in_one_line, wrong_place
from crushtest.errors import CrushtestError, UnknownName, UsageError

app = typer.Typer(
    name="crushtest",
    help="Crash tests for compressed language models: compress a model, or take one that is compressed, and see what "
    "that did to its safety and quality, per group, against the dense model on the same items.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")

Model = Annotated[str, typer.Argument(help="A hub id, a folder, a .gguf file, or `demo` (SmolLM2-135M-Instruct).")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The study's folder. Default: studies/<model>.")]
SuiteOption = Annotated[
    str | None, typer.Option(help="A suite's name, a YAML file, or task names joined by commas. Default: quick.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Items a task, drawn seeded and spread over its groups.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of draws, calibration and bootstrap. Default: 0.")]
Engine = Annotated[str | None, typer.Option(help="An engine and its options: `hf:option=value`. Default: hf.")]
DType = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16. Default: float32.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:0, ... Default: auto.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]
Pickle = Annotated[bool, typer.Option("--allow-pickle", help="Load .bin checkpoints, which can run code.")]
NoiseFloor = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="K",
        help="Measure the dense arm K more times, in another order and in smaller packs and batches. A difference "
        "that such a repeat makes as well is reported as within the noise of measuring: that of dense measured again, "
        "not of an arm compressed again. May be raised later; only the missing repeats are run. Default: 0.",
    ),
]
NoiseVary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT=VALUE",
        help="What every repeat of the noise floor also differs in: `dtype=bfloat16`, `threads=1`, or "
        "`engine=NAME:option=value`. Repeatable.",
    ),
]
Skip = Annotated[bool, typer.Option("--skip-missing", help="Leave out tasks whose data are not here, and say which.")]
Folder = Annotated[Path, typer.Argument(help="The folder of a study.")]

OF_EVERY_METHOD = """
Every method also takes layers=PATTERN,PATTERN,... and skip=PATTERN,...: which linear layers to compress and which to
leave alone (`down_proj`, `layers.0.*`). Steps are put together with +: wanda:pattern=2:4+gptq:bits=4"""


def print_version(asked: bool) -> None:
    """What `--version` prints, before a command is looked for."""
    if asked:
        from crushtest import __version__

        print(f"crushtest {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version, and exit.")
    ] = False,
) -> None:  # documented by the app itself
    pass


@app.command()
def run(
    model: Annotated[str | None, typer.Argument(help="A hub id, a folder, a .gguf file, or `demo`.")] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option("--recipe", "-r", help="How to compress: `wanda:sparsity=0.5`. Repeatable; lists expand."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="A compressed model to test as it is found, say a .gguf file. Repeatable."),
    ] = None,
    study: Annotated[Path | None, typer.Option(help="A study file (YAML); flags override it.")] = None,
    suite: SuiteOption = None,
    limit: Limit = None,
    seed: Seed = None,
    out: Out = None,
    engine: Engine = None,
    dtype: DType = None,
    device: Device = None,
    noise_floor: NoiseFloor = None,
    noise_vary: NoiseVary = None,
    trust_remote_code: Trust = False,
    allow_pickle: Pickle = False,
    skip_missing: Skip = False,
) -> None:
    """Compress a model in every way asked for, measure each arm against the dense model, and write the report.

    Interrupted, the same command goes on where it stopped. Run on a finished study with another recipe, it adds
    that arm and asks the dense model nothing again.

    Examples:

        crushtest run demo -r magnitude:sparsity=0.5 -r wanda:pattern=2:4

        crushtest run --study study.yaml --limit 200

        crushtest run demo -r wanda:sparsity=0.1 --noise-floor 3

        crushtest run model-F16.gguf --engine llamacpp --arm model-Q4_K_M.gguf
    """
    from crushtest.study.spec import build_spec, read_spec

    if study is None and model is None:
        raise UsageError("run: give a MODEL or --study FILE (try `crushtest run demo -r wanda:sparsity=0.5`)")
    flags = {
        "model": model,
        "arms": [{"recipe": text} for text in recipe or ()] + [{"model": text} for text in arm or ()] or None,
        "suite": suite,
        "limit": limit,
        "seed": seed,
        "engine": engine,
        "dtype": dtype,
        "device": device,
        "noise_floor": noise_floor,
        "noise_vary": noise_vary or None,
        "trust_remote_code": trust_remote_code or None,
        "allow_pickle": allow_pickle or None,
    }
    base = read_spec(study).model_dump() if study else {}
    spec = build_spec(base | {key: value for key, value in flags.items() if value is not None}, where="run")
    folder = out or default_folder(study.stem if study else spec.model)
    if not spec.arms and not arms_in(folder):
        raise UsageError(
            "run: nothing to compare with the dense model; give a recipe (`-r wanda:sparsity=0.5`), a model (`--arm`) "
            f"or `arms:` in a study file. `crushtest evaluate {spec.model} -o DIR` measures a model alone"
        )
    run_and_show(spec, folder, skip_missing=skip_missing)


@app.command()
def evaluate(
    model: Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="The study's folder.")],
    suite: SuiteOption = None,
    limit: Limit = None,
    seed: Seed = None,
    engine: Engine = None,
    dtype: DType = None,
    device: Device = None,
    noise_floor: NoiseFloor = None,
    noise_vary: NoiseVary = None,
    trust_remote_code: Trust = False,
    allow_pickle: Pickle = False,
    skip_missing: Skip = False,
) -> None:
    """Measure one model as it is, without compressing and comparing."""
    from crushtest.study.spec import build_spec

    flags = {
        "model": model,
        "suite": suite,
        "limit": limit,
        "seed": seed,
        "engine": engine,
        "dtype": dtype,
        "device": device,
        "noise_floor": noise_floor,
        "noise_vary": noise_vary or None,
        "trust_remote_code": trust_remote_code,
        "allow_pickle": allow_pickle,
    }
    run_and_show(build_spec(flags, where="evaluate"), out, skip_missing=skip_missing)


@app.command()
def compress(
    model: Model,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="One recipe: `wanda:sparsity=0.5`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the compressed model.")],
    calibration: Annotated[str, typer.Option(help="pydoc, or another source of calibration text.")] = "pydoc",
    sequences: Annotated[int, typer.Option(min=1, help="Calibration sequences.")] = 16,
    length: Annotated[int, typer.Option(min=2, help="Tokens a calibration sequence.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the calibration draw.")] = 0,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16, or auto (as the checkpoint stores it).")
    ] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    offload: Annotated[
        str,
        typer.Option(help="Where weights wait: none (all on the device), cpu, or disk (a block at a time in memory)."),
    ] = "none",
    trust_remote_code: Trust = False,
    allow_pickle: Pickle = False,
) -> None:
    """Compress a model and save it as a folder that transformers loads, with compression.json beside the weights."""
    from crushtest.compress.calibration import Calibration
    from crushtest.compress.save import unfinished
    from crushtest.compress.to_folder import compress_and_save
    from crushtest.models.load import DTYPES
    from crushtest.models.options import ModelOptions

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was begun is removed
    if dtype not in DTYPES:
        raise UnknownName("dtype", dtype, DTYPES, where="compress")
    options = ModelOptions(dtype, device, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    text = Calibration(calibration, sequences, length, seed)
    for left in unfinished(out):
        print(f"{left}: unfinished; remove it unless another `crushtest compress` is writing it", file=sys.stderr)
    try:
        totals = compress_and_save(model, recipe, out, options=options, calibration=text, offload=offload).totals
    except KeyboardInterrupt:
        print(f"crushtest: interrupted; nothing was left in {out}", file=sys.stderr)
        raise typer.Exit(130) from None
    written = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    print(
        f"{out}: {totals.layers} layers, {totals.sparsity:.1%} of their weights zero, "
        f"{totals.bits_per_weight:.2f} bits a weight (compression.json has every layer)\n"
        f"{written:,} bytes of weights on disk; ideal storage, at 16 bits a number where nothing was compressed: "
        f"{totals.compressed_model_size_bytes:,} bytes ({totals.dense_model_size_bytes:,} dense)"
    )


@app.command()
def compare(
    folder: Folder,
    task: Annotated[str | None, typer.Option(help="All contrasts of this task, instead of the summary.")] = None,
) -> None:
    """Compare the arms of a study with the dense one, from the stored answers, and print the contrasts.

    Makes estimates.parquet, contrasts.parquet, noise.parquet and report.html anew; a file that comes out the same is
    left as it is, and the old page stays until the new one is whole. Answers and scores are only read.
    """
    from rich.console import Console

    from crushtest.pipeline.run import recompare
    from crushtest.report import terminal
    from crushtest.study.folder import StudyFolder

    study = StudyFolder.existing(folder)
    recompare(study, task=task)
    terminal.print_contrasts(study, Console(), task=task)


@app.command()
def report(
    folder: Folder,
    tables: Annotated[Path | None, typer.Option(help="Also write every table here: CSV, LaTeX, Markdown.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Also write every figure here: PDF, SVG, PNG.")] = None,
) -> None:
    """Write report.html anew, from the files of the study alone."""
    from crushtest import report as reporting
    from crushtest.files.atomic import make_writable
    from crushtest.study.folder import StudyFolder

    study = StudyFolder.existing(folder)
    for target in (tables, figures):
        if target:
            make_writable(target)
    with study.locked():
        print(reporting.write_report(study))
    if tables:
        reporting.write_tables(study, tables)
    if figures:
        reporting.write_figures(study, figures)


@app.command()
def gate(
    folder: Folder,
    policy: Annotated[str, typer.Option(help="A policy file, or a ready-made one: standard, strict.")] = "standard",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say for each rule what was seen, and what would do.")
    ] = False,
    json: AsJson = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML here.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Also print GitHub annotations.")] = False,
) -> None:
    """Hold a study against a policy: exit code 0 passed, 3 regression, 4 inconclusive.

    A rule that cannot be evaluated never passes: no data, too few items or an unchanged arm exit with 4.

    Example: crushtest gate studies/demo --policy standard --explain
    """
    from crushtest import gate as gates

    result = gates.run_gate(folder, policy)
    if junit:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_text(gates.as_junit(result), encoding="utf-8")
    if json:
        print_json(gates.as_json(result))
    elif explain:
        print("\n".join(gates.explain_lines(result)))
    else:
        print_table(gates.as_rows(result))
    if github:
        print("\n".join(gates.as_annotations(result)), file=sys.stderr if json else sys.stdout)
    print(f"gate: {result.outcome}", file=sys.stderr)
    raise typer.Exit(result.exit_code)


@app.command()
def score(
    task: Annotated[str, typer.Argument(help="The task that was answered: bbq, unqover, realtoxicityprompts, ...")],
    predictions: Annotated[Path | None, typer.Option(help="JSONL of answers to choices, one item a line.")] = None,
    completions: Annotated[Path | None, typer.Option(help="JSONL of texts that a model wrote, one a line.")] = None,
    scorer: Annotated[list[str] | None, typer.Option(help="Scorers of completions. Default: the task's own.")] = None,
    allow_partial: Annotated[
        bool,
        typer.Option(
            help="Score the other lines where some cannot be, and a task of choices that lacks items. Both are named "
            "and counted all the same."
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Score answers that were made elsewhere; no model is needed.

    A line of predictions, for any task of choices (answer: the option's index; null: no answer):

        {"item": "Age/0", "answer": 2}

        {"item": "Age/0", "scores": [-12.1, -14.8, -9.3]}

    For unqover (a question and its negation, the probabilities of the two subjects):

        {"item": "KEY", "q0": [0.31, 0.22], "q1": [0.18, 0.40]}

    A line of completions (prompt in place of item where only one item has it):

        {"item": "respect/2", "text": "was loved by all."}

    An item is named as in a study's items/TASK.parquet. Groups are named without their attribute: `Age`, which is
    `category=Age` in a study, and `all`. Items without a line are counted on stderr and under `missing`. For bbq these
    are the other items of the categories that the file names; unqover and completions may be any part of the task.

    Examples:

        crushtest score bbq --predictions answers.jsonl --json

        crushtest score realtoxicityprompts --completions texts.jsonl --scorer profanity
    """
    from crushtest.predictions import score_completions, score_predictions

    if (predictions is None) == (completions is None):
        raise UsageError("score: give either --predictions FILE or --completions FILE")
    if predictions is not None:
        if scorer:
            raise UsageError("score: --scorer goes with --completions (predictions need none)")
        result = score_predictions(task, predictions, allow_partial=allow_partial)
    else:
        assert completions is not None
        result = score_completions(task, completions, scorers=scorer or (), allow_partial=allow_partial)
    show_scored(result, json=json)


@app.command()
def card(folder: Folder) -> None:
    """Write a section for the model card of each arm, with `model-index` metadata that the hub accepts."""
    from crushtest.report.card import write_card
    from crushtest.study.folder import StudyFolder

    study = StudyFolder.existing(folder)
    with study.locked():
        written = write_card(study)
    for path in written:
        print(path)


@app.command()
def query(
    folder: Folder,
    sql: Annotated[str, typer.Argument(help="SQL (DuckDB) over items, answers, scores, estimates, contrasts, noise.")],
    json: AsJson = False,
) -> None:
    """Ask a study's tables with SQL.

    Example: crushtest query studies/demo "SELECT arm, metric, difference FROM contrasts WHERE p < 0.01"
    """
    from crushtest.study.folder import StudyFolder
    from crushtest.study.query import ask

    table = ask(StudyFolder.existing(folder), sql)
    if json:
        print_json(table.to_dicts())
    else:
        print_table([table.columns, *([str(value) for value in row] for row in table.rows)])


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, tasks, scorers, engines or suites.")],
    json: AsJson = False,
) -> None:
    """List what is there: methods, tasks, scorers, engines or suites, with their options and defaults."""
    from crushtest.registry import ENGINES, METHODS, SCORERS, TASKS, Registry
    from crushtest.study.suites import suites

    registries: dict[str, Registry[Any]] = {"methods": METHODS, "tasks": TASKS, "scorers": SCORERS, "engines": ENGINES}
    if what == "suites":
        entries: list[dict[str, Any]] = [
            {"name": suite.name, "summary": suite.summary, "tasks": [name for name, _ in suite.tasks]}
            for suite in suites().values()
        ]
    elif what in registries:
        entries = [entry.describe() for entry in registries[what]]
    else:
        raise UnknownName("list", what, [*registries, "suites"])
    if json:
        print_json(entries)
    else:
        for entry in entries:
            print_entry(entry)
        if what == "methods":
            print(OF_EVERY_METHOD)


# ---- printing --------------------------------------------------------------------------------------


def run_and_show(spec: Any, folder: Path, *, skip_missing: bool) -> None:
    """Run a study, then print its summary and where the report is."""
    from rich.console import Console

    from crushtest.pipeline.run import run_study
    from crushtest.report import terminal
    from crushtest.study.folder import StudyFolder
    from crushtest.study.resume import unrequested_tasks

    try:
        worked = run_study(spec, folder, command=["crushtest", *sys.argv[1:]], skip_missing=skip_missing)
    except KeyboardInterrupt:
        print("crushtest: interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
    study = StudyFolder(folder)
    if not worked:
        others = unrequested_tasks(study, spec)
        kept = f"; the study keeps its other tasks: {', '.join(others)}" if others else ""
        print(f"{folder}: nothing to do, every arm is measured and compared{kept}", file=sys.stderr)
    terminal.print_summary(study, Console())
    print(f"report: {study.report}")


def show_scored(result: dict[str, Any], *, json: bool) -> None:
    """Print what answers made elsewhere scored; what they lack goes to stderr."""
    if result["missing"]:
        count, of, first = result["missing"].values()
        print(f"missing: {count} of {of} items have no line (the first: {', '.join(first)})", file=sys.stderr)
    for name in ("problems", "notes"):
        if result.get(name):
            print(f"{name}: {result[name]}", file=sys.stderr)
    if json:
        print_json(result)
        return
    rows = result["metrics"]
    print_table([list(rows[0]), *(["" if v is None else str(v) for v in row.values()] for row in rows)] if rows else [])


def arms_in(folder: Path) -> bool:
    """Whether a folder holds a study that compares something with the dense model."""
    from crushtest.study.folder import StudyFolder
    from crushtest.study.spec import read_spec

    study = StudyFolder(folder)
    return study.specification.is_file() and bool(read_spec(study.specification).arms)


def default_folder(name: str) -> Path:
    """Where a study goes when the user does not say."""
    return Path("studies") / (Path(name).name.removesuffix(".gguf") or "study")


def main() -> None:
    """The console script: every expected failure is one line on stderr and an exit code, never a traceback."""
    try:
        with usage_in_one_line():
            sys.exit(app(standalone_mode=False))
    except CrushtestError as error:
        print(f"crushtest: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        said = wrong_place(error)
        if said is None:
            raise
        print(f"crushtest: {said}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
