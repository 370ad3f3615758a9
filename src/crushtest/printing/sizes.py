"""Sizes in bytes, as people read them."""

from __future__ import annotations


def show_size(size: float) -> str:
    """Return a size in decimal units: 270 MB, 1.3 GB."""
    for name, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {name}"
    return f"{size:.0f} B"
