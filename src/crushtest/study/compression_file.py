"""compression.json of an arm: what its recipe asked and achieved, layer by layer. Written and read here alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from crushtest.errors import StoreError
from crushtest.files.parquet import RESTORE
from crushtest.files.sealed import read_sealed_json, write_sealed_json
from crushtest.registry import explain

Number = int | float | None


class Layer(TypedDict):
    """What every reader relies on of a layer; more may stand there."""

    name: str
    shape: list[int]
    bits_per_weight: float
    changed: NotRequired[int]
    sparsity: NotRequired[Number]
    asked_sparsity: NotRequired[Number]
    output_error: NotRequired[Number]


class Step(TypedDict):
    """What every reader relies on of a step."""

    method: str
    options: dict[str, Any]
    seconds: NotRequired[Number]


class Compression(TypedDict):
    """What every reader relies on of the whole."""

    arm: NotRequired[str]
    layers: NotRequired[list[Layer]]
    steps: NotRequired[list[Step]]
    untouched: NotRequired[list[dict[str, Any]]]
    calibration: NotRequired[dict[str, Any]]
    totals: NotRequired[dict[str, int | float]]
    peak_memory_bytes: NotRequired[dict[str, int]]
    seconds: NotRequired[Number]


COMPRESSION = TypeAdapter(Compression)


def write_compression(path: Path, arm: str, record: dict[str, Any]) -> None:
    """Write the record of an arm's compression, with the arm's name and a seal."""
    write_sealed_json(path, {"arm": arm, **record})


def read_compression(path: Path, arm: str) -> dict[str, Any] | None:
    """Return the record of an arm's compression; None if it has none. Raises StoreError for a damaged one."""
    if not os.path.lexists(path):
        return None
    content = read_sealed_json(path, remedy=RESTORE)
    try:
        COMPRESSION.validate_python(content)
    except ValidationError as error:
        raise StoreError(f"{path} cannot be used ({explain(error)}); {RESTORE}") from None
    if content.get("arm", arm) != arm:
        raise StoreError(f"{path} is of another arm ({content['arm']!r}) than its place says ({arm!r}); {RESTORE}")
    return content
