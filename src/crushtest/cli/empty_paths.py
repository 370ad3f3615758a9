"""An empty path is refused: it would be the current folder, which nobody who leaves a variable unset means."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.models import ParameterInfo

from crushtest.errors import UsageError


def refusing_empty_paths(command: Callable[..., None]) -> Callable[..., None]:
    """Let the parser refuse an empty text for every path that a command takes, with a UsageError that names it."""
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in signature(command).parameters.items():
        for hint in (hints[name], parameter.annotation):  # two objects, where a decorator made a signature
            type_, *more = get_args(hint) or (hint,)
            if type_ is Path or Path in get_args(type_):
                for declared in (each for each in more if isinstance(each, ParameterInfo)):
                    declared.parser = _given(name)
    command.__annotations__ = hints  # what was only text is made anew whenever it is read, without the parser
    return command


def _given(name: str) -> Callable[[Any], Path]:
    def path(text: Any) -> Path:
        if text == "":
            raise UsageError(f"{name} is an empty path; the current folder is .")
        return Path(text)

    return path
