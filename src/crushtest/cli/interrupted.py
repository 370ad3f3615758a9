"""Interrupted from the keyboard or by SIGTERM, a command unwinds: locks are let go, and a line says how to go on."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import typer

from crushtest.cli.output import print_line

BY_KEYBOARD, BY_SIGTERM = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""Exit codes, as a shell gives them."""
RESUMES = "the same command resumes from here"


class Terminated(KeyboardInterrupt):
    """SIGTERM, with which schedulers and `timeout` end a process."""


def unwind_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminated)


def leave(interrupt: BaseException, what: str) -> NoReturn:
    """Say what an interrupted command left, and exit."""
    print_line(f"crushtest: interrupted; {what}", file=sys.stderr)
    raise typer.Exit(BY_SIGTERM if isinstance(interrupt, Terminated) else BY_KEYBOARD) from None


def _terminated(*_: object) -> NoReturn:
    raise Terminated
