"""Report usage errors in one line: what is wrong, where, what is allowed, and the nearest match."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from crushtest.errors import UnknownName, UsageError
from crushtest.files.cache import cache_folder

# Some versions of typer bundle click and others depend on it. This finds the class in both.
WRONG_USAGE: type[Any] = typer.BadParameter.__bases__[0]

MAKE_ROOM = "free some space or name another disk; the same command resumes from what was written"
ANOTHER_PLACE = "name a place that can be written to"
ADVICE = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EFBIG: "larger than files may be here (ulimit -f); the same command resumes from what was written",
    errno.EACCES: ANOTHER_PLACE,
    errno.EPERM: ANOTHER_PLACE,
    errno.EROFS: ANOTHER_PLACE,
    errno.ENOTDIR: "part of this path is a file; name another place",
    errno.EISDIR: "this is a folder; name a file",
    errno.EEXIST: "something else is there; remove it or name another place",
    errno.ENAMETOOLONG: "give a shorter name",
}
"""errno -> advice, for OS errors caused by a path that the user gave rather than by a bug."""


@contextmanager
def usage_in_one_line() -> Iterator[None]:
    """Turn the parser's errors into UsageError. A group without a command prints its help and exits with 2."""
    try:
        yield
    except WRONG_USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.ctx.get_help())
            sys.exit(2)
        raise explained(error) from None


def explained(error: Any) -> UsageError:
    """Return one of our errors for an error of the parser."""
    where = _command(error.ctx)
    missing_command = re.fullmatch(r"No such command '(.*?)'.*", error.message, re.DOTALL)
    if missing_command:
        return UnknownName("command", missing_command[1], error.ctx.command.commands, where=where)
    match type(error).__name__:
        case "NoSuchOption":
            declared = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]
            options = [name for name in declared if name.startswith("--")]
            return UnknownName("option", error.option_name, options, where=where)
        case "MissingParameter":
            problem = f"missing {error.param.param_type_name} {_name(error.param)} ({error.param.help})"
        case "BadParameter" if error.param is not None:
            problem = f"{error.param.param_type_name} {_name(error.param)}{_wrong_value(error)}"
        case _:
            problem = error.message.rstrip(".")
    help_of = " ".join(["crushtest", *where.split(), "--help"])
    return UsageError(f"{where}{': ' if where else ''}{problem}; see `{help_of}`")


def _command(context: Any) -> str:
    """Return the command's name, such as `data fetch`; empty for the program itself or if the parser does not say."""
    names = []
    while context is not None and context.parent is not None:
        names.append(context.info_name)
        context = context.parent
    return " ".join(reversed(names))


def _name(parameter: Any) -> str:
    """Return a parameter's name as typed: `--recipe` or `MODEL`."""
    longest = max(parameter.opts, key=len)
    return str(longest if longest.startswith("-") else (parameter.metavar or parameter.name).upper())


def _wrong_value(error: Any) -> str:
    """Say what a value must be, in the words of a study file's errors, or in typer's if it does not use pydantic."""
    if hasattr(error.__cause__, "errors"):
        from crushtest.registry import explain

        return f" {explain(error.__cause__)}"
    return f": {error.message.rstrip('.')}"


def wrong_place(error: OSError) -> str | None:
    """Return what is wrong with a path that the user named, and what to do; None if the error is a bug of ours."""
    if error.errno not in ADVICE:
        return None
    advice = ADVICE[error.errno]
    if advice == ANOTHER_PLACE and error.filename and Path(error.filename).is_relative_to(cache_folder()):
        advice = "this is the cache; CRUSHTEST_CACHE names another folder"
    return f"{error.filename or 'output'}: {error.strerror}; {advice}"
