"""What is wrong with what a user typed, in one line: what, where, what is allowed, the nearest match."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from crushtest.errors import UnknownName, UsageError
from crushtest.registry import explain

# Some versions of typer carry a copy of click and some need the package: this is the class in either.
WRONG_USAGE: type[Any] = typer.BadParameter.__bases__[0]


MAKE_ROOM = "make room or name a place with more; the same command goes on from what was written"
ANOTHER_PLACE = "name another place, one that can be written"
OF_THE_USER = {
    errno.ENOSPC: MAKE_ROOM,
    errno.EDQUOT: MAKE_ROOM,
    errno.EACCES: ANOTHER_PLACE,
    errno.EROFS: ANOTHER_PLACE,
    errno.ENOTDIR: "a part of this path is a file; name another place",
    errno.EISDIR: "this is a folder; name a file",
    errno.EEXIST: "something else is there; remove it, or name another place",
    errno.ENAMETOOLONG: "give a shorter name",
}
"""What is wrong with the place a user named, not with this program; and what to do."""


@contextmanager
def usage_in_one_line() -> Iterator[None]:
    """Turn the parser's complaints into UsageError. A group without a command shows its help, exit code 2."""
    try:
        yield
    except WRONG_USAGE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.ctx.get_help())
            sys.exit(2)
        raise explained(error) from None


def explained(error: Any) -> UsageError:
    """A complaint of the parser as an error of ours."""
    where = _command(error.ctx)
    missing_command = re.fullmatch(r"No such command '(.*?)'.*", error.message, re.DOTALL)
    if missing_command:
        return UnknownName("command", missing_command[1], error.ctx.command.commands, where=where)
    match type(error).__name__:
        case "NoSuchOption":
            return UnknownName("option", error.option_name, _options(error.ctx), where=where)
        case "MissingParameter":
            said = f"missing {error.param.param_type_name} {_name(error.param)} ({error.param.help})"
        case "BadParameter" if error.param is not None:
            said = f"{error.param.param_type_name} {_name(error.param)}{_wrong_value(error)}"
        case _:
            said = error.message.rstrip(".")
    help_of = " ".join(["crushtest", *where.split(), "--help"])
    return UsageError(f"{where}{': ' if where else ''}{said}; see `{help_of}`")


def _command(context: Any) -> str:
    """`data fetch`; the empty text for the program itself, and where the parser does not say."""
    names = []
    while context is not None and context.parent is not None:
        names.append(context.info_name)
        context = context.parent
    return " ".join(reversed(names))


def _options(context: Any) -> list[str]:
    """The long options of a command."""
    declared = [name for parameter in context.command.get_params(context) for name in parameter.opts]
    return [name for name in declared if name.startswith("--")]


def _name(parameter: Any) -> str:
    """`--recipe` or `MODEL`."""
    longest = max(parameter.opts, key=len)
    return str(longest if longest.startswith("-") else (parameter.metavar or parameter.name).upper())


def _wrong_value(error: Any) -> str:
    """What a value must be, in the words of a study file's errors; in typer's own where it does not use pydantic."""
    if hasattr(error.__cause__, "errors"):
        return f" {explain(error.__cause__)}"
    return f": {error.message.rstrip('.')}"


def wrong_place(error: OSError) -> str | None:
    """What is wrong with the file or folder that a user named, and what to do; None for an error that is ours."""
    if error.errno not in OF_THE_USER:
        return None
    return f"{error.filename or 'what this command writes'}: {error.strerror}; {OF_THE_USER[error.errno]}"
