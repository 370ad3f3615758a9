"""What produced a result: versions, machine, seeds, models, data."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import crushtest
from crushtest.errors import StoreError
from crushtest.files.atomic import write_json
from crushtest.records import Item

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "numpy",
    "scipy",
    "polars",
    # what the scorers and metrics that need no model are made of
    "alt-profanity-check",
    "scikit-learn",
    "vaderSentiment",
    "rouge-score",
)

INVALID = "invalid"
"""Section of the manifest: arms whose answers are of no one model."""


def read(path: Path) -> dict[str, Any]:
    """The manifest at `path`, or an empty one if there is none yet. Raises StoreError for one that is damaged."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON or not UTF-8
        content = str(error)
    if not isinstance(content, dict):
        problem = content if isinstance(content, str) else "no object"
        raise StoreError(
            f"{path} cannot be read ({problem}); put a copy in its place, or remove it: the study goes on without "
            "what it said of the arms measured so far"
        )
    return content


def update(path: Path, section: str, key: str, facts: dict[str, Any]) -> None:
    """Set one entry of one section (`arms`, `tasks`, `scorers`) and keep the rest."""
    content = read(path)
    content.setdefault(section, {})[key] = facts
    write_json(path, content)


def set_section(path: Path, section: str, entries: dict[str, dict[str, Any]]) -> None:
    """Make one section hold these entries and no others; nothing is written where it does already."""
    content = read(path)
    if content.get(section, {}) != entries:
        content[section] = entries
        write_json(path, content)


def start(path: Path, *, command: Sequence[str], seed: int) -> None:
    """Record what is running now, the first time and whenever a run does new work."""
    content = read(path)
    content.setdefault("created", now())
    content.update(
        updated=now(),
        crushtest=crushtest.__version__,
        command=list(command),
        seed=seed,
        python=platform.python_version(),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        machine=machine(),
    )
    write_json(path, content)


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """Processor, cores and memory of this machine. No host name, no user, no path."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def items_digest(items: Sequence[Item]) -> str:
    """sha256 over ids and requests, in order: two studies with the same digest asked the same questions."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(repr((item.id, item.request, item.gold)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return _torch_build() or version(package) if package == "torch" else version(package)
    except PackageNotFoundError:
        return None


def _torch_build() -> str | None:
    """Return `torch.__version__`, read from torch's own file because importing torch takes seconds.

    Unlike the package's metadata it always names the build (`2.13.0+cpu`). None if the file cannot be found or read.
    """
    found = find_spec("torch")
    file = Path(found.origin).with_name("version.py") if found and found.origin else None
    if file is None or not file.exists():
        return None
    named = re.search(r"^__version__ = ['\"](.+)['\"]$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return named[1] if named else None


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
