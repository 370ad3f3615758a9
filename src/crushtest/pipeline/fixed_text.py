"""One text that every arm scores before its tasks: engines that run a model alike agree on it.

An engine that misreads a model's files (another rope base, scales left out) answers as fluently as ever. On a text of
known tokens it is found out within seconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from crushtest.errors import EngineError, ModelChanged
from crushtest.records import Choices, ReadChoice, Unanswered
from crushtest.registry import ENGINES
from crushtest.study import manifest
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder

if TYPE_CHECKING:
    from crushtest.engines.base import Engine

SECTION = "fixed_text"
"""The section of the manifest with what each arm gave the text."""

TEXT = Choices(
    context="The ferry leaves the old harbour at seven, when the fishermen are already on their way home.",
    options=(
        " In summer it is full of children with buckets and nets, and somebody always brings a dog. The captain counts "
        "his passengers twice, once for the company and once for himself, because years ago a boy was left behind on "
        "the island. He had been asleep in a rowing boat. Nobody missed him until supper, and he never told anyone how "
        "he had spent the afternoon.",
    ),
)
"""Scored as one long option: whatever gives options their log-likelihood can give it, the start token counts little."""


def record_fixed_text(folder: StudyFolder, arm: Arm, engine: Engine, *, answered: bool) -> bool:
    """Score the text with an arm's engine and write it down. Returns False if there is nothing to score.

    Repeats are left out, and engines that run no model or answer no choices. The score of an arm that has `answered`
    anything stays; an arm without answers may be measured anew, on another model.
    """
    if arm.repeat or arm.draw or not arm.has_model or "choices" not in ENGINES.get(arm.engine).about.answers:
        return False
    if answered and "nats" in manifest.read(folder.manifest).get(SECTION, {}).get(arm.name, {}):
        return False
    manifest.update(folder.manifest, SECTION, arm.name, score_fixed_text(engine))
    return True


def score_fixed_text(engine: Engine) -> dict[str, Any]:
    """Return log-likelihood in nats, tokens, bytes and digest of the text; a `reason` if the engine cannot score it.

    A log-likelihood that is not finite is None, with the reason.
    """
    try:
        [(_, answer)] = engine.choices([TEXT])
    except ModelChanged:
        raise
    except EngineError as error:
        return {"reason": str(error)}
    if isinstance(answer, ReadChoice | Unanswered):
        return {"reason": answer.reason or "the engine reads letters from replies"}
    [nats], [tokens], [size] = answer.logprobs, answer.tokens, answer.bytes
    text = {"tokens": tokens, "bytes": size, "token_digest": answer.token_digest}
    if not math.isfinite(nats):
        return {"nats": None, **text, "reason": f"a log-likelihood of {nats}"}
    return {"nats": nats, **text}
