"""Interrupted from the keyboard or by SIGTERM, a command unwinds: locks are let go, and a line says how to go on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import typer

from crushtest.cli.at_address import DRY_RUN
from crushtest.cli.output import print_line

BY_KEYBOARD, BY_SIGTERM = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""Exit codes, as a shell gives them."""
RESUMABLE = ("run", "evaluate", "search")
"""The commands that go on where they were interrupted."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, with which schedulers and `timeout` end a process."""


def unwind_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminated)


def saying_interrupted(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that is interrupted say so, wherever it was, and how to go on if it can."""

    @wraps(command)
    def call(**values: Any) -> None:
        try:
            command(**values)
        except KeyboardInterrupt as interrupt:
            resumes = command.__name__ in RESUMABLE and not values.get(DRY_RUN)
            leave(interrupt, "the same command resumes from here" if resumes else "")

    return call


def leave(interrupt: BaseException, what: str) -> NoReturn:
    """Say that a command was interrupted, and what it left; then exit."""
    print_line(f"crushtest: interrupted{'; ' if what else ''}{what}", file=sys.stderr)
    raise typer.Exit(BY_SIGTERM if isinstance(interrupt, Terminated) else BY_KEYBOARD) from None


def _terminated(*_: object) -> NoReturn:
    raise Terminated
