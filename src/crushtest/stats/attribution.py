"""What a contrast compares: the weights, or the way a model is run."""

from __future__ import annotations

from collections.abc import Mapping

RUNNING = ("engine", "scoring", "dtype", "device", "chat_template_sha256", "start_token", "address")
"""The entries of an engine's description that say how a model is run, not which model."""


def compares(dense: Mapping[str, object], arm: Mapping[str, object], *, other_weights: bool) -> str:
    """Return `compression effect`, `deployment delta`, `compression and deployment`, or `replicate`.

    dense, arm      what the engines say of themselves (`Engine.describe`, kept in the manifest)
    other_weights   whether the arm was compressed, or is another model

    An entry that only one of the engines has counts as a difference: an engine that does not say how it ran may have
    run differently.
    """
    elsewhere = any(dense.get(entry) != arm.get(entry) for entry in RUNNING)
    if other_weights:
        return "compression and deployment" if elsewhere else "compression effect"
    return "deployment delta" if elsewhere else "replicate"
