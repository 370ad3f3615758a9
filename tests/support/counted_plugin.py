"""What makes `counted_engine` a plug-in of other processes; a test that imported it would have it in its own."""

from __future__ import annotations

from pathlib import Path

from support.ray_cluster import SETTINGS

FILE, SETTING = "answers.txt", "COUNTED_ANSWERS"
HURRY = ".hurry"
"""The ending of a file beside the answers that lets every engine go on without delay."""
METADATA = "Metadata-Version: 2.1\nName: counted-engine\nVersion: 1.0\n"
ENTRY_POINTS = "[crushtest.engines]\ncounted = support.counted_engine\n"


def install(site: Path) -> dict[str, str]:
    """Write what pip would, so that crushtest finds the engine; return the environment in which it does."""
    metadata = site / "counted_engine-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(METADATA)
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return {SETTING: str(site / FILE), "PYTHONPATH": f"{site}:{SETTINGS['PYTHONPATH']}"}
