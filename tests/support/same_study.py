"""What two runs of one study have in common: every byte that is no clock and does not say how a process was started."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

CLOCKS = re.compile(r"(^|_)(s|seconds|created|updated|timing|peak_memory_bytes|command|thread_waits)$")
UNEQUAL = {".lock", "report.html"}
"""The report shows how long things took."""


def content_of(study: Path) -> dict[str, Any]:
    """Return a study's files: tables as bytes, records without clocks."""
    paths = [path for path in sorted(study.rglob("*")) if path.is_file() and path.name not in UNEQUAL]
    return {path.relative_to(study).as_posix(): _content(path) for path in paths}


def _content(path: Path) -> Any:
    return _timeless(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: each for key, each in value.items() if not CLOCKS.search(key) and key != "sha256_with_zeros_here"}
    # Digests and sizes of files that hold clocks themselves.
    return {key: _timeless(each) for key, each in kept.items() if not key.endswith("compression.json")}
