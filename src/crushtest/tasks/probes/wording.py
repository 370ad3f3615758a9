"""The files that the probes are written in."""

from __future__ import annotations

from importlib.resources import files
from typing import Any


def read_wording(name: str) -> Any:
    """Return the content of a probe's file, in its order."""
    import yaml

    # The files are our own, so nothing of `files.strict_yaml` is needed. PyYAML in Python takes ten times as long.
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return yaml.load(files("crushtest.tasks.probes").joinpath(name).read_text("utf-8"), Loader=loader)
