"""Make the pages of docs/reference/ from the code: commands, study files, what is registered, Python."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from typer.main import get_command

from column_pages import columns
from crushtest.cli.app import COMMANDS, app
from crushtest.gate.policy import policies, read_policy
from crushtest.registry import ENGINES, METHODS, SCORERS, Registry
from crushtest.study import spec
from crushtest.study.suites import suites
from docstrings import markdown, option_table, values

MODULES = ("crushtest", "crushtest.compress")
PARTS = (spec.StudySpec, spec.ArmSpec, spec.CalibrationSpec, spec.NoiseFloorSpec, spec.StopEarlySpec)
REGISTERED: Mapping[str, tuple[Registry[Any], str]] = {
    "methods": (
        METHODS,
        "A recipe names a method and its options: `wanda:sparsity=0.5`. Steps are joined with `+`, and a value with\n"
        "commas makes an arm of each. Every method also takes `layers=PATTERN,...` and `skip=PATTERN,...`, which\n"
        "choose linear layers. [Compression methods](../methods.md) says how each was built and measured.",
    ),
    "scorers": (
        SCORERS,
        "A scorer turns a completion into a number, or says why it has none.\n"
        "[What the scorers are worth](../scorers.md) measures each on labelled text.",
    ),
    "engines": (
        ENGINES,
        "An engine runs a model: `--engine NAME:option=value`, or `engine:` in a study file.\n"
        "[Engines](../engines.md) explains them.",
    ),
}
COMMANDS_PAGE = """# Commands

`crushtest COMMAND --help` prints the same. Exit codes: 0 done or passed, 1 failed, 2 wrong usage, 3 regression,
4 inconclusive, 70 a failure that nobody expected (its traceback is in a file), 141 the reader of stdout left.
"""
STUDY_PAGE = """# Study files

A study file is YAML. Unknown keys are errors, and so is a key given twice. `crushtest init` writes one with comments,
and `crushtest schema study` prints its JSON Schema, with which an editor completes and checks it.
"""
SUITES_PAGE = """# Suites and policies

A suite is a list of tasks with options; a policy is a list of rules for `crushtest gate`.
"""
PYTHON_PAGE = """# Python

These names are stable. Those of the compression kernels need the extra `hf`; importing `crushtest` loads no torch.
"""
DECLARED = {
    "source": "Source",
    "kind": "Kind",
    "measures": "Measures",
    "better": "Better",
    "runs": "Runs",
    "answers": "Answers",
    "needs_package": "Needs the package",
    "install": "Installed by",
}


def pages() -> dict[str, str]:
    """Return file name -> content, without the line that says that it is generated."""
    return {
        "cli.md": commands(),
        "study-file.md": study_file(),
        "columns.md": columns(),
        "python.md": python(),
        "suites.md": suites_and_policies(),
        **{f"{kind}.md": registered(kind) for kind in REGISTERED},
    }


# ---- commands


def commands() -> str:
    """The page of all commands, in the order of `--help`."""
    known: Any = get_command(app)
    parts = [COMMANDS_PAGE]
    named = {name: panel for panel, entries in COMMANDS.items() for name in entries}
    for name, command in known.commands.items():
        for title, each in _leaves(name, command):
            parts.append(_command(title, each, named.get(name, "")))
    return "\n".join(parts)


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for below, each in inner.items():
        yield f"{name} {below}", each


def _command(title: str, command: Any, panel: str) -> str:
    arguments = [_argument(p) for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([f"crushtest {title}", *arguments, "[OPTIONS]"])
    lines = [*map(_parameter, command.params)]
    about = f"*{panel}.* " if panel else ""
    return f"## {title}\n\n{about}Usage: `{usage}`\n\n{inspect.cleandoc(command.help or '')}\n\n{''.join(lines)}"


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = _argument(parameter)
    else:
        flag = getattr(parameter, "is_flag", False)
        value = "" if flag else f" {parameter.metavar or 'VALUE'}"
        name = ", ".join([*parameter.opts, *parameter.secondary_opts]) + value
    return f"- `{name}`: {' '.join((parameter.help or '').split())}\n"


# ---- study files


def study_file() -> str:
    """The page of a study file's keys, from the model that reads it."""
    parts = [STUDY_PAGE]
    for model in PARTS:
        title = "The file" if model is spec.StudySpec else f"`{_key_of(model)}`"
        parts += [f"## {title}\n", markdown(inspect.getdoc(model) or ""), _keys(model)]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _key_of(model: type[spec.Checked]) -> str:
    return {
        spec.ArmSpec: "arms",
        spec.CalibrationSpec: "calibration",
        spec.NoiseFloorSpec: "noise_floor",
        spec.StopEarlySpec: "stop_early",
    }[model]


def _keys(model: type[spec.Checked]) -> str:
    schema = model.model_json_schema()
    rows = [
        f"| `{key}` | {_value(about)} | {_default(key, about, schema)} |\n"
        for key, about in schema["properties"].items()
    ]
    return f"| key | values | default |\n| --- | --- | --- |\n{''.join(rows)}"


def _value(about: Mapping[str, Any]) -> str:
    """A key's schema in words; a part with a section of its own is below."""
    if "$ref" in about or "$ref" in about.get("items", {}):
        return "see below" if "$ref" in about else "list, see below"
    if "$ref" in str(about.get("anyOf")):
        return "none; or see below"
    return values(about)


def _default(key: str, about: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if key in schema.get("required", ()):
        return "required"
    value = about.get("default")
    return "see below" if isinstance(value, dict) or "$ref" in about else "none" if value is None else f"`{value}`"


# ---- what is registered


def registered(kind: str) -> str:
    """The page of the methods, scorers or engines that the package brings."""
    registry, words = REGISTERED[kind]
    entries = [_entry(entry.describe()) for entry in registry if entry.function.__module__.startswith("crushtest.")]
    return "\n".join([f"# {kind.capitalize()}\n\n{words}\n", *entries])


def _entry(about: Mapping[str, Any]) -> str:
    facts = [
        f"**{title}** {_fact(about[key])}"
        for key, title in DECLARED.items()
        if about.get(key) not in (None, False, [], ())
    ]
    options = option_table(about["options"])
    lines = "  \n".join(facts)
    return f"## {about['name']}\n\n{about['summary']}\n\n{lines}\n" + (f"\n{options}" if options else "")


def _fact(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


def suites_and_policies() -> str:
    """The page of the suites and policies that the package carries."""
    parts = [SUITES_PAGE]
    for suite in suites().values():
        facts = {"Detects": suite.detects, "Misses": suite.misses, "Takes": suite.takes}
        lines = "".join(f"**{title}** {text}  \n" for title, text in facts.items() if text)
        parts.append(f"## Suite {suite.name}\n\n{suite.summary}\n\n{lines}")
    for name in policies():
        policy = read_policy(name)
        rules = "".join(f"{number}. `{rule}`\n" for number, rule in enumerate(policy.rules, start=1))
        parts.append(f"## Policy {name}\n\n{policy.summary}\n\n{rules}")
    return "\n".join(parts)


# ---- Python


def python() -> str:
    """The page of what may be imported, with signatures and docstrings."""
    parts = [PYTHON_PAGE]
    for name in MODULES:
        module = import_module(name)
        parts.append(f"## {name}\n")
        for each in module.__all__:
            value = getattr(module, each)
            if not isinstance(value, str):
                about = markdown(inspect.getdoc(value) or "")
                parts.append(f"### {name}.{each}\n\n{_signature(value)}\n{about}{_members(value)}")
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _signature(value: Any) -> str:
    """The signature as it is written in the source, in a block of Python."""
    source = inspect.getsource(inspect.unwrap(value))
    [node] = ast.parse(textwrap.dedent(source)).body
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    if isinstance(node, ast.FunctionDef):
        returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"```python\ndef {node.name}({ast.unparse(node.args)}){returned}\n```\n"
    fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
    made = [part.args for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    taken = f"({', '.join(ast.unparse(arguments) for arguments in made).removeprefix('self, ')})" if made else ""
    return "```python\nclass " + "\n    ".join([f"{node.name}{taken}", *fields]) + "\n```\n"


def _members(value: Any) -> str:
    """The public properties of a class that has no fields, with their first lines."""
    if not inspect.isclass(value):
        return ""
    public = {n: v for n, v in vars(value).items() if isinstance(v, property) and not n.startswith("_")}
    return "".join(f"- `{name}`: {_first_line(each)}\n" for name, each in public.items())


def _first_line(value: Any) -> str:
    return re.split(r"\n\s*\n", inspect.getdoc(value) or "")[0].replace("\n", " ")
