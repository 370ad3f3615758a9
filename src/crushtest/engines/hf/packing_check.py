"""Decide if a model can be run in packs, from its configuration and by a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crushtest.engines.encoding import encode
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.engines.packing import Line
from crushtest.errors import EngineError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from crushtest.engines.hf.likelihood import PackedLogLikelihood, PaddedLogLikelihood
    from crushtest.engines.likelihood import LogLikelihood
    from crushtest.models.load import LoadedModel

# Layers whose outputs depend on nothing but the ancestors' keys and values, at most within a window.
ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
# Rotary embeddings that change with the length of the text.
LENGTH_DEPENDENT = {"dynamic", "longrope"}
TEXT = "Nine people were waiting at the station when the last train of the evening came in, half an hour late."
# Largest difference of a log-likelihood, in nats, that rounding explains.
TOLERANCE = {"float32": 2e-3, "bfloat16": 0.5, "float16": 0.1}


def pack_limit(config: PreTrainedConfig) -> int | None:
    """Return how many tokens packed attention is exact for: sliding windows and some rotary embeddings limit it."""
    text = config.get_text_config()
    limits = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    rope = getattr(text, "rope_parameters", None) or {}
    kinds = {rope.get("rope_type"), *(v.get("rope_type") for v in rope.values() if isinstance(v, dict))}
    if kinds & LENGTH_DEPENDENT:
        limits.append(rope.get("original_max_position_embeddings") or text.max_position_embeddings)
    return min((int(limit) for limit in limits if limit), default=None)


def why_not_packed(model: LoadedModel, packed: PackedLogLikelihood, padded: PaddedLogLikelihood) -> str | None:
    """Return None if packs give what padded batches give on a few lines of text; else why they are not used.

    What keeps the model from running at all is raised: it fails in padded batches, or there is no memory left.
    """
    import torch

    layers = set(getattr(model.network.config.get_text_config(), "layer_types", None) or ()) - ATTENTION_LAYERS
    if layers:
        return f"it has layers of type {', '.join(sorted(layers))}"
    lines = _trial_lines(model)
    expected = _scores(padded, lines)  # outside the trial: a model that fails in padded batches does not run at all
    try:
        difference = np.abs(_scores(packed, lines) - expected).max()
    except torch.OutOfMemoryError:
        raise  # a RuntimeError that says nothing about attention
    except (EngineError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        # Networks that pass no options on to their attention, or that give it tensors of other shapes (RuntimeError).
        return f"packed attention does not run ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    allowed = TOLERANCE.get(model.facts["dtype"], 0.5)
    return None if difference <= allowed else f"packed scores differ by {difference:.2g} nats on a trial"


def _trial_lines(model: LoadedModel) -> list[Line]:
    """Return a few lines that share prefixes of several lengths, long enough for more than one chunk."""
    tokenizer = HfTokenizer(model.tokenizer)
    tokens = [tokenizer.start, *encode(tokenizer, [TEXT])[0]]
    ends = sorted({len(tokens) // 3, len(tokens) // 2, len(tokens) - 1})
    return [Line(tokens, 1), *(Line([*tokens[:end], *reversed(tokens[: len(tokens) // 2])], end) for end in ends)]


def _scores(likelihood: LogLikelihood, lines: list[Line]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    total = np.zeros(len(lines))
    plan = likelihood.plan(lines)
    for index, part in enumerate(plan):
        np.add.at(total, part.lines, likelihood.run(plan, index))
    return total
