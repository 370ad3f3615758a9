"""Try a model's chat template before any work, where it can neither fill the memory nor run for ever."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from crushtest.engines.encoding import in_chat
from crushtest.engines.token_model import Tokenizer
from crushtest.errors import EngineError, first_error_line

SPARE_BYTES = 2**29
"""Memory that a template may take."""
RENDERED = b"ok"
STATM = Path("/proc/self/statm")


def check_template(tokenizer: Tokenizer, where: str, *, seconds: float = 20.0, system: str | None = None) -> None:
    """Raise EngineError if a chat template does not render a message, within bounds of time, memory and length.

    `system` is the system message before it, which some templates refuse.

    It is rendered in a process of its own, where there are any: no sandbox keeps a template from asking for all
    memory, or from never ending.
    """
    if not tokenizer.has_template or not hasattr(os, "fork"):
        return
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        _try(tokenizer, sender, seconds, system)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], seconds)
        said = pipe.read() if ready else b""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if said != RENDERED:
        bounds = f"{seconds:g} s and {SPARE_BYTES:,} bytes"
        problem = said.decode("utf-8", "replace") or f"the model's chat template did not end within {bounds}"
        raise EngineError(f"{where}: {problem}")


def _try(tokenizer: Tokenizer, sender: int, seconds: float, system: str | None) -> None:
    """Render a message in this process, a fork; say into a pipe what came of it, and end."""
    import resource

    said = RENDERED
    try:
        if STATM.exists():
            used = int(STATM.read_text().split()[0]) * resource.getpagesize()
            _bound(resource.RLIMIT_AS, used + SPARE_BYTES)
        _bound(resource.RLIMIT_CPU, int(seconds) + 1)
        in_chat(tokenizer, "Hello.", system=system)
    except BaseException as error:
        said = first_error_line(error).encode()
    with suppress(OSError):
        os.write(sender, said)
    os._exit(0)


def _bound(kind: int, most: int) -> None:
    import resource

    resource.setrlimit(kind, (most, most))
