"""The command line: parse, call, print. Nothing else."""

from crushtest.cli.commands import main

__all__ = ["main"]
