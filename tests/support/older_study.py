"""Turns a study into one of an older version, whose files do not say what they were made from."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from crushtest.files.sealed import SEAL
from crushtest.study import manifest


def untie(root: Path) -> None:
    """Take labels, digests and seals out of every file of a study."""
    for path in root.rglob("*.parquet"):
        pl.read_parquet(path, glob=False).write_parquet(path)
    for path in (root / "manifest.json", *root.glob("arms/*/compression.json")):
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            for key in (SEAL, manifest.FILES):
                content.pop(key, None)
            path.write_text(json.dumps(content), encoding="utf-8")
    study = root / "study.yaml"
    lines = study.read_text(encoding="utf-8").splitlines(keepends=True)
    study.write_text("".join(line for line in lines if SEAL not in line), encoding="utf-8")
