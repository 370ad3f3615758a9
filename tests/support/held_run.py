"""A run in a process of its own that never ends by itself, so that whoever kills it is never late."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HELD = """
import sys, threading
from crushtest.cli.app import main
from crushtest.engines.fake.engine import FakeEngine

answers, left = FakeEngine._answers, int(sys.argv[1])

def held(engine, *asked):
    global left
    for answer in answers(engine, *asked):
        yield answer
        left -= 1
        if not left:
            threading.Event().wait()

FakeEngine._answers = held
sys.argv = ["crushtest", "run", "--study", sys.argv[2], "--out", sys.argv[3]]
main()
"""


def held_run(study: Path, out: Path | str, *, answers: int, **environment: str) -> subprocess.Popen[bytes]:
    """Start a run of fake engines that writes so many answers, and then waits."""
    return subprocess.Popen(
        [sys.executable, "-c", HELD, str(answers), str(study), str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
