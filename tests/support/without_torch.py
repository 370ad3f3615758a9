"""Commands where nothing that runs models is installed, one after the other in one process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from crushtest.cli.unexpected import COME_WITH_THEM, RUNS_MODELS

NOT_FOUND = f"""
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def lacking(name, path=None, target=None):
    return None if name in {(*RUNS_MODELS,)!r} else find(name, path, target)
PathFinder.find_spec = lacking
"""
BARRED = f"import sys; sys.modules.update(dict.fromkeys({(*RUNS_MODELS, *COME_WITH_THEM)!r}))"
COMMANDS = """
import json
sys.path.insert(0, sys.argv[1])
from support.in_process import crushtest
ended = [crushtest(*arguments) for arguments in json.loads(sys.argv[2])]
print(json.dumps([(each.returncode, each.stdout, each.stderr) for each in ended]))
"""


def without_torch(
    folder: Path, *commands: Sequence[str], lacking: str = NOT_FOUND
) -> list[subprocess.CompletedProcess[str]]:
    """Return how commands end and what they print, where `lacking` keeps torch from being imported."""
    tests = str(Path(__file__).parents[1])
    process = [sys.executable, "-c", f"{lacking}\n{COMMANDS}", tests, json.dumps(commands)]
    done = subprocess.run(process, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout)
    return [subprocess.CompletedProcess(given, *each) for given, each in zip(commands, ended, strict=True)]
