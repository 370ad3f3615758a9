"""The command line: parse, call, print. Nothing else."""

from crushtest.cli.app import main

__all__ = ["main"]
