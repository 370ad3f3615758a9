"""The folder that keeps downloads and conversions between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder named by CRUSHTEST_CACHE, else `crushtest` in the user's cache (XDG_CACHE_HOME, ~/.cache).

    A user without a home, as containers have them, gets a folder beside the temporary files.
    """
    try:
        if named := os.environ.get("CRUSHTEST_CACHE"):
            return Path(named).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crushtest"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "crushtest"
