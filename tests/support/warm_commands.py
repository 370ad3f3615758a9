"""Commands that begin as copies of one process, which has imported what they import: seconds that no test needs.

They can be killed like any other process, and what they load, send and write is their own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from crushtest.registry import ENGINES, METHODS, SCORERS, TASKS
from support.empty_page import leave_out_pages
from support.few_resamples import resample_less

IMPORTED = (
    "transformers.models.llama.modeling_llama",
    "crushtest.cli.app",
    "crushtest.cli.run",
    "crushtest.engines.hf.model",
    "crushtest.pipeline.run",
    "crushtest.pipeline.executors.on_ray.executor",
    "crushtest.report.terminal",
    "support.quantized_folders",
    "sklearn",
    "ray",
)


@dataclass
class Command:
    """A command that runs, with what subprocess.Popen would have of it."""

    starter: Starter
    pid: int
    said: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that ended it; None if it runs."""
        if self.returncode is None:
            self.returncode = self.starter.tell("poll", self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = 900) -> str:
        """Wait for its end; return what it has said on stderr."""
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                raise TimeoutError
            time.sleep(0.05)
        return self.said.read_text()

    def succeeded(self) -> str:
        """Wait until it has done what it is for; return what it has said on stderr."""
        said = self.wait()
        assert self.returncode == 0, said
        return said


@dataclass
class Starter:
    """The process that commands are copies of."""

    process: subprocess.Popen[str]
    folder: Path
    commands: list[Command] = field(default_factory=list)

    def tell(self, *what: Any) -> Any:
        """Give it an order, and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(what), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def start(self, *arguments: Any) -> Command:
        """Start crushtest."""
        return self._start("crushtest", *map(str, arguments))

    def run(self, *arguments: Any) -> str:
        """Run crushtest to its end; return what it said on stderr."""
        return self.start(*arguments).succeeded()

    def write_model(self, folder: Path) -> None:
        """Write the folder of a tiny model."""
        self._start("model", str(folder)).succeeded()

    def _start(self, *arguments: str) -> Command:
        said = self.folder / f"{len(self.commands)}.txt"
        pid = self.tell("start", str(said), *arguments)
        self.commands.append(Command(self, pid, said))
        return self.commands[-1]


@contextmanager
def warm_commands(enter: Sequence[str], settings: dict[str, str]) -> Iterator[Starter]:
    """Have a process ready in the network that `enter` leads to; end it, and its commands, with the block."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*enter, sys.executable, "-m", "support.warm_commands"],
            env=settings,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        starter = Starter(process, Path(folder))
        try:
            yield starter
        finally:
            for command in starter.commands:
                if command.poll() is None:
                    command.kill()
            process.communicate()


def become(said: str, arguments: Sequence[str]) -> NoReturn:
    """Do in this copy what a command does, and end it."""
    from crushtest.cli.app import main
    from support.quantized_folders import write_folder

    code: Any = 1
    try:
        for number, path in enumerate((os.devnull, os.devnull, said)):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        match arguments:
            case ["model", folder]:
                write_folder(Path(folder), None, {})
                code = 0
            case _:
                sys.argv = [*arguments]
                main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Start copies and say what became of them, as standard input asks."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in IMPORTED:
        importlib.import_module(name)
    for registry in (ENGINES, METHODS, SCORERS, TASKS):
        registry.names()
    with pytest.MonkeyPatch.context() as patch:
        resample_less(patch)
        leave_out_pages(patch)
        gc.freeze()
        for line in sys.stdin:
            answer: int | None
            match json.loads(line):
                case ["start", said, *arguments]:
                    answer = os.fork()
                    if not answer:
                        become(said, arguments)
                case ["poll", pid]:
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    answer = os.waitstatus_to_exitcode(status) if ended else None
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
