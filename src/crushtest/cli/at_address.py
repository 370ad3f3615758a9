"""Commands whose folder may be at an address: they get a folder of this machine, and what they write is uploaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

from crushtest.errors import UsageError
from crushtest.files.storage.address import is_address, parse_storage_address

COPY = "copy"
"""The parameter of a command that wants the working copy itself; no option of its users."""
DRY_RUN = "dry_run"
"""The option of a command that then writes nothing, here or at an address, where there need be nothing yet."""
TAKES = "takes_address"


def at_address(
    parameter: str, *, writes: bool, afresh: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command's folder be an address: the command gets a copy, which is uploaded at the end if it `writes`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shown = signature(command)

        @wraps(command)
        def call(**values: Any) -> None:
            place = values[parameter]
            if place is None or not is_address(place):
                command(**values)
                return
            from crushtest.pipeline.remote.opened import opened

            dry = values.get(DRY_RUN, False)
            with opened(place, writes=writes and not dry, afresh=afresh, or_none=dry) as study:
                more = {COPY: study.copy} if COPY in shown.parameters else {}
                command(**{**values, parameter: study.folder, **more})

        call.__annotations__ = {name: hint for name, hint in command.__annotations__.items() if name != COPY}
        hints = get_type_hints(call, include_extras=True)
        visible = [
            each.replace(annotation=hints[each.name]) for each in shown.parameters.values() if each.name in hints
        ]
        call.__signature__ = shown.replace(parameters=visible)  # type: ignore[attr-defined]
        setattr(call, TAKES, parameter)
        return call

    return decorate


def refusing_addresses(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command refuse addresses where it takes a path of this machine, instead of making a folder `s3:`.

    Raises UsageError then.
    """
    allowed = getattr(command, TAKES, None)

    @wraps(command)
    def call(**values: Any) -> None:
        for name, value in values.items():
            if isinstance(value, Path) and name != allowed and is_address(value):
                address = parse_storage_address(value)
                raise UsageError(f"{command.__name__}: {name} is a path of this machine here (got {address})")
        command(**values)

    return call
