"""What a contrast compares: the weights, or the way a model is run."""

from __future__ import annotations

from collections.abc import Mapping

RUNNING = (
    "engine",
    "scoring",
    "kv",
    "dtype",
    "device",
    "chat_template_sha256",
    "start_token",
    "library_sha256",
    "program",
    "context_tokens",
    "address",
    "thinking",
)
"""The entries of an engine's description that say how a model is run, not which model."""


def compares(
    before: Mapping[str, object],
    after: Mapping[str, object],
    *,
    other_weights: bool,
    converted: bool = False,
    unstated: bool = False,
    recalibrated: bool = False,
) -> str:
    """Return what differs between an arm and the one that it is compared with.

    `compression effect`, `calibration effect`, `deployment delta`, `compression and deployment`,
    `conversion and deployment`, `deployment, weights unknown`, or `replicate`.

    before, after   what the engines say of themselves (`Engine.describe`, kept in the manifest)
    other_weights   whether one of the two was compressed otherwise, or is another model
    converted       whether both are uncompressed files, each for an engine of its own: the second may be converted from
                    the first, which rounds weights at most to the file's type

    unstated        whether one is behind an address and says nothing that tells its weights from the other's
    recalibrated    whether the calibration text is all that tells how their weights were made

    An entry that only one of the engines has counts as a difference: an engine that does not say how it ran may have
    run differently.
    """
    if converted:
        return "conversion and deployment"
    if unstated:
        return "deployment, weights unknown"
    elsewhere = any(before.get(entry) != after.get(entry) for entry in RUNNING)
    if recalibrated and not elsewhere:
        return "calibration effect"
    if other_weights or recalibrated:
        return "compression and deployment" if elsewhere else "compression effect"
    return "deployment delta" if elsewhere else "replicate"
