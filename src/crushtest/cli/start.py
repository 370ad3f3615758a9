"""The commands for a first study: init writes a study file, schema describes such files to an editor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crushtest.cli.envelope import output_schema, print_result
from crushtest.cli.output import AsJson, print_json, print_line
from crushtest.errors import UnknownName, UsageError

RECIPE = "rtn:bits=4,group_size=64"
TEMPLATE = """\
# A study of crushtest: crushtest run --study {file}
# An editor that reads JSON Schemas completes and checks it: crushtest schema study > study.schema.json
# yaml-language-server: $schema=study.schema.json

# The dense model, with which every arm is compared: a hub id, a folder, a .gguf file, or demo.
model: {model}

# The arms: recipes (crushtest list methods), and compressed models as they are found.
arms:
{arms}

# What is measured: a suite (crushtest list suites), or a list of tasks (crushtest list tasks), each with its options:
#     suite:
#       - bbq: {{limit: 500}}
#       - wikitext2
suite: {suite}

# At most so many items per task. It may grow later: only the new items are asked.
{limit}

# The text that wanda, sparsegpt, gblm, gptq and awq look at.
calibration: {{source: pydoc, sequences: 16, length: 512}}

# Measure the dense model once more, so that the report shows what measurement alone moves.
# noise_floor: 1

seed: 0
"""


def init(
    file: Annotated[Path, typer.Argument(help="The study file to write.")] = Path("study.yaml"),
    model: Annotated[str | None, typer.Option(help="The dense model. Asked for on a terminal. Default: demo.")] = None,
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", "-r", help=f"How to compress. Repeatable. Default: {RECIPE}.")
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(metavar="[NAME=]MODEL", help="A compressed model as it is found. Repeatable.")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="What is measured. Default: quick.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Items per task. Default: all.")] = None,
    json: AsJson = False,
) -> None:
    """Write a study file with comments to start from. On a terminal it asks for what no flag says.

    Examples:

        crushtest init

        crushtest init ship.yaml --model path/model --arm w4=path/model-AWQ
    """
    from crushtest.cli.asked_study import found_arms
    from crushtest.study.arms import make_arms
    from crushtest.study.spec import build_spec
    from crushtest.study.suites import resolve

    if file.exists():
        raise UsageError(f"init: {file} is there already; name another file")
    ask = sys.stdin.isatty() and sys.stdout.isatty() and not json
    if model is None:
        model = typer.prompt("The dense model (hub id, folder, .gguf file)", default="demo") if ask else "demo"
    if not recipe and not arm:
        given = typer.prompt("A recipe, or a compressed model's folder or id", default=RECIPE) if ask else RECIPE
        recipe, arm = ([], [given]) if _is_model(given) else ([given], [])
    if suite is None:
        suite = typer.prompt("A suite (crushtest list suites)", default="quick") if ask else "quick"
    arms: list[dict[str, Any]] = [{"recipe": text} for text in recipe or ()] + found_arms(arm or ())
    make_arms(build_spec({"model": model, "arms": arms, "suite": suite}, where="init"))
    resolve(suite)
    text = TEMPLATE.format(
        file=file,
        model=_yaml(model),
        arms="\n".join(f"  - {_yaml(one.get('recipe', one))}" for one in arms),
        suite=_yaml(suite),
        limit=f"limit: {limit}" if limit else "# limit: 200",
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    if json:
        print_result("init", {"file": str(file)})
    else:
        print_line(f"{file}: written; crushtest run --study {file}")


def schema(what: Annotated[str, typer.Argument(help="study, suite, policy or output")]) -> None:
    """Print the JSON Schema of a study, suite or policy file, for editors, or of what commands print with --json.

    Example:

        crushtest schema study > study.schema.json
    """
    from crushtest.gate.policy import policy_schema
    from crushtest.study.schema import study_schema, suite_schema

    schemas = {"study": study_schema, "suite": suite_schema, "policy": policy_schema, "output": output_schema}
    if what not in schemas:
        raise UnknownName("schema", what, [*schemas])
    print_json(schemas[what]())


def _is_model(text: str) -> bool:
    """Return whether an answer is a model's place: a path that is here, or not the name of a method."""
    from crushtest.registry import METHODS

    return Path(text).exists() or text.partition(":")[0].partition("+")[0] not in METHODS.names()


def _yaml(value: Any) -> str:
    import yaml

    return (
        str(yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True))
        .removesuffix("...\n")
        .strip()
    )
