"""What makes `noting_engine` a plug-in of other processes, and what it has noted.

A test that imported the engine would have it in its own process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from support.ray_cluster import SETTINGS

SETTING = "NOTED_ANSWERS"
HURRY = ".hurry"
"""The ending of a file beside the notes that lets every engine go on without delay."""
METADATA = "Metadata-Version: 2.1\nName: noting-engine\nVersion: 1.0\n"
ENTRY_POINTS = "[crushtest.engines]\nnoting = support.noting_engine\n"


class Noted(NamedTuple):
    """An answer that was computed: by whom, on which GPUs, to what, and when by the machine's clock."""

    process: int
    gpus: str
    request: str
    at_s: float


@dataclass(frozen=True)
class Notes:
    """The answers that engines of this plug-in have computed, in whichever process."""

    site: Path

    @property
    def file(self) -> Path:
        return self.site / "answers.txt"

    @property
    def hurry(self) -> Path:
        return self.site / f"answers.txt{HURRY}"

    def install(self) -> dict[str, str]:
        """Write what pip would, so that crushtest finds the engine; return the environment in which it does."""
        metadata = self.site / "noting_engine-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(METADATA)
        (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
        return {SETTING: str(self.file), "PYTHONPATH": f"{self.site}:{SETTINGS['PYTHONPATH']}"}

    def forget(self) -> None:
        """Begin anew."""
        self.file.write_text("")

    def count(self) -> int:
        """Return how many answers were computed."""
        return self.file.read_bytes().count(b"\n")

    def read(self) -> list[Noted]:
        """Return the answers in the order in which they were computed."""
        lines = (line.split() for line in self.file.read_text().splitlines())
        return [Noted(int(process), gpus, request, float(at_s)) for process, gpus, request, at_s in lines]


def asked_again(noted: Iterable[Noted]) -> Counter[int]:
    """Return by process how many of its answers another one, or the same, computed again later."""
    last: dict[str, Noted] = {}
    again: Counter[int] = Counter()
    for each in noted:
        if each.request in last:
            again[last[each.request].process] += 1
        last[each.request] = each
    return again
