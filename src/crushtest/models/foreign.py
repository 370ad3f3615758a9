"""What other libraries make of other people's files: whatever they raise becomes one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crushtest.errors import CrushtestError, ModelError, first_error_line

PANIC = "PanicException"
"""What a library in Rust raises for a bug of its own; no subclass of Exception."""


@contextmanager
def reading(message: str, suspects: Callable[[], str] | None = None) -> Iterator[None]:
    """Turn whatever a library raises into a ModelError: the message, the file at fault, the library's first line.

    No list of exceptions is complete: a library raises what a file makes it run into.
    """
    try:
        yield
    except CrushtestError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        file = suspects() if suspects is not None else ""
        raise ModelError(f"{message}{f' ({file})' if file else ''}: {first_error_line(error)}") from error


def file_at_fault(folder: Path) -> str:
    """Return the first file of a model folder that cannot be read by itself; empty if each can."""
    from tokenizers import Tokenizer
    from transformers import AutoConfig, GenerationConfig

    def tokens(path: Path) -> None:
        Tokenizer.from_file(str(path))

    readers: dict[str, Callable[[Path], Any]] = {
        "config.json": lambda path: AutoConfig.from_pretrained(path.parent),
        "generation_config.json": lambda path: GenerationConfig.from_pretrained(path.parent),
        "tokenizer.json": tokens,
        "tokenizer_config.json": _json_object,
        "special_tokens_map.json": _json_object,
        "added_tokens.json": _json_object,
    }
    for name, read in readers.items():
        path = folder / name
        if not path.is_file():
            continue
        try:
            _json_object(path)
            read(path)
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != PANIC:
                raise
            return str(path)
    return ""


def _json_object(path: Path) -> None:
    if not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
        raise ValueError("no object")
