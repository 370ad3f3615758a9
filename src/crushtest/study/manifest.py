"""The manifest: what produced a result. Versions, machine, seeds, models, data."""

from __future__ import annotations

import hashlib
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
from crushtest.files.parquet import RESTORE
from crushtest.files.regular import read_bytes, sha256
from crushtest.files.sealed import read_sealed_json, write_sealed_json
from crushtest.models import threads
from crushtest.records import DENSE, Item

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "numpy",
    "scipy",
    "polars",
    # on which scorers and metrics that need no model are built
    "alt-profanity-check",
    "scikit-learn",
    "vaderSentiment",
    "rouge-score",
)

INVALID = "invalid"
"""Section of the manifest: arms whose answers are of no one model."""


FAILED_DRAWS = "failed_draws"
"""Section of the manifest: draws of arms whose compression failed, each with the reason."""

COMPARED_DRAWS = "compared_draws"
"""Section of the manifest: per task, the numbers of the draws that the results of its arms are made of."""

FILES = "files"
"""Section of the manifest: every file that the last comparison was made from or wrote, with sha256 and bytes."""

RANKINGS = "rankings"
"""Section of the manifest: how well the loss in language modelling ranks the arms by the loss in other headlines."""

REMEDY = "restore a copy or remove it. Without it the study resumes but loses the facts about the arms measured so far"
SECTIONS = (
    FILES,
    INVALID,
    "arms",
    "tasks",
    "scorers",
    "timing",
    "truncated",
    "fixed_text",
    "skipped",
    "repeats",
    "draws",
    FAILED_DRAWS,
    COMPARED_DRAWS,
    "noise_floor",
    "across_engines",
    RANKINGS,
)


def read(path: Path) -> dict[str, Any]:
    """Return the manifest at `path`, or an empty one if there is none yet. Raises StoreError if it is damaged."""
    if not os.path.lexists(path):
        return {}
    content = read_sealed_json(path, remedy=REMEDY)
    if not content:
        raise StoreError(f"{path} cannot be used (it is empty); {REMEDY}")
    for section in SECTIONS:
        entries = content.get(section, {})
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise StoreError(f"{path} cannot be used ({section!r} must hold objects by name); {REMEDY}")
    return content


def files(path: Path) -> dict[str, dict[str, Any]]:
    """Return the files of the last comparison, by path relative to the study; none if no manifest lists them."""
    listed: dict[str, dict[str, Any]] = read(path).get(FILES, {})
    return listed


def check_listed(path: Path, name: str) -> None:
    """Raise StoreError if a file of the study is not the one that the manifest at `path` lists, if it lists it."""
    facts, file = files(path).get(name), path.parent / name
    if facts is None:
        return
    if sha256(read_bytes(file, remedy=f"{path} lists it; {RESTORE}")) != facts.get("sha256"):
        raise StoreError(
            f"{file} is not the file that {path} lists; restore the one that was, or run "
            f"`crushtest compare {path.parent}` if it is right"
        )


def update(path: Path, section: str, key: str, facts: dict[str, Any]) -> None:
    """Set one entry of one section (`arms`, `tasks`, `scorers`) and keep the rest."""
    content = read(path)
    content.setdefault(section, {})[key] = facts
    write_sealed_json(path, content)


def forget(path: Path, arm: str) -> None:
    """Remove everything about an arm whose answers are gone, or about a repeat that was invalid."""
    content = read(path)
    for section in (INVALID, "arms", "timing", "truncated", "fixed_text"):
        content.get(section, {}).pop(arm, None)
    write_sealed_json(path, content)


def set_section(path: Path, section: str, entries: dict[str, dict[str, Any]]) -> None:
    """Make one section hold exactly these entries. Writes nothing if it already does."""
    content = read(path)
    if content.get(section, {}) != entries:
        content[section] = entries
        write_sealed_json(path, content)


def repeats_in(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return how each repeat ran, by arm and number. A manifest that names no arm there repeated dense."""
    noted = content.get("repeats", {})
    of_dense = {number: facts for number, facts in noted.items() if "engine" in facts}
    by_arm = {arm: facts for arm, facts in noted.items() if arm not in of_dense}
    return ({DENSE: of_dense} if of_dense else {}) | by_arm


def start(path: Path, *, command: Sequence[str], seed: int) -> None:
    """Record what is running, at first and whenever a run does new work."""
    content = read(path)
    content.setdefault("created", now())
    content.update(
        updated=now(),
        crushtest=crushtest.__version__,
        command=list(command),
        seed=seed,
        python=platform.python_version(),
        packages=packages(),
        machine=machine(),
    )
    write_sealed_json(path, content)


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def packages() -> dict[str, str]:
    """Return the versions of the packages that compute numbers."""
    return {name: installed for name in PACKAGES if (installed := _version(name))}


def machine() -> dict[str, Any]:
    """Describe this machine: processor, cores and memory, but no host name, user or path."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": threads.affinity(),
        **({"cpu_quota": quota} if (quota := threads.cpu_quota()) is not None else {}),
        "thread_waits": threads.waits(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def items_digest(items: Sequence[Item]) -> str:
    """Return the sha256 over ids and requests, in order. Studies with the same digest asked the same questions."""
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
    package = find_spec("torch")
    file = Path(package.origin).with_name("version.py") if package and package.origin else None
    if file is None or not file.exists():
        return None
    assignment = re.search(r"^__version__ = ['\"](.+)['\"]$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return assignment[1] if assignment else None


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
