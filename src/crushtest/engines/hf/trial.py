"""How a model is run, decided when it is loaded: the fastest way that gives what its own forward pass gives.

A few short lines are run alone, each in a forward pass without cache, mask or padding. Every faster way must give the
same within rounding. What depends on a line's length cannot show in short lines, so the configuration says up to which
length the faster ways hold, and longer lines are run alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from crushtest.engines.encoding import encode
from crushtest.engines.hf.decoding import PackedDecoder
from crushtest.engines.hf.generation import generate
from crushtest.engines.hf.likelihood import PackedLogLikelihood, PaddedLogLikelihood
from crushtest.engines.hf.own_attention import attending_around
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.engines.hf.variants import Variant, variant_of
from crushtest.engines.likelihood import Floats, LogLikelihood
from crushtest.engines.packing import Line
from crushtest.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

    from crushtest.engines.hf.own_attention import Attention
    from crushtest.models.load import LoadedModel

Scoring: TypeAlias = Literal["packs", "batches", "alone"]
"""Prefix-shared packs, padded batches, or every line in a forward pass of its own."""
Writing: TypeAlias = Literal["packs", "cached", "cached_by_length", "cached_alone", "anew"]
"""Packs and our own store; transformers' cache under padded batches, prompts of one length, or each prompt alone; or no
cache: every line is read anew for each token."""

# Layers whose outputs depend on nothing but the ancestors' keys and values, at most within a window.
ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
# Rotary embeddings that change with the length of the text.
LENGTH_DEPENDENT = {"dynamic", "longrope"}
# Settings that say from how many tokens on a layer leaves tokens out, besides a window that it hands to its attention.
SPARSE_BEYOND = ("attention_chunk_size", "index_topk", "keep_window_size")
# How the ways are called.
NAMES: dict[Scoring | Writing, str] = {
    "packs": "prefix-shared packs",
    "batches": "padded batches",
    "alone": "every line alone",
    "cached": "transformers' cache, padded batches",
    "cached_by_length": "transformers' cache, prompts of one length together",
    "cached_alone": "transformers' cache, every prompt alone",
    "anew": "no cache, every line read anew for each token",
}
TEXT = "Nine people were waiting at the station when the last train of the evening came in, half an hour late."
# Largest difference of a log-likelihood, in nats, that rounding explains.
TOLERANCE = {"float32": 2e-3, "bfloat16": 0.5, "float16": 0.1}
# Nodes per pack of a second trial, few enough for trunks.
SMALL_PACK = 16
STEPS = 3
LIKELIEST = 8
# What a network raises that cannot be run in one of the ways.
UNFIT = (EngineError, TypeError, ValueError, AttributeError, RuntimeError, LookupError)


@dataclass(frozen=True)
class Paths:
    """How a model is run.

    scoring, writing  the ways, for lines up to `limit`
    slow_scoring      why scoring takes no faster way; None if it takes the fastest
    slow_writing      why writing takes no faster way
    limit             tokens up to which these ways are exact; longer lines are run alone. None for any number
    plain_attention   True if no layer caps its scores, has sinks or a sliding window
    """

    scoring: Scoring
    writing: Writing
    slow_scoring: str | None
    slow_writing: str | None
    limit: int | None
    plain_attention: bool


def find_paths(model: LoadedModel, size: int) -> Paths:
    """Return how this model is run, with `size` tokens at once.

    EngineError if what it says after a token depends on later tokens: it has no likelihood of a text. What keeps it
    from running at all is raised as it is.
    """
    network, allowed = model.network, TOLERANCE.get(model.facts["dtype"], 0.5)
    lines = _trial_lines(model)
    tokens = list(lines[0].tokens)
    logits = _logits_alone(network, tokens)  # outside the trials: a model that fails here does not run at all
    cut = len(tokens) // 2
    ahead = _furthest(_logits_alone(network, tokens[:cut]), logits[:cut])
    if ahead > allowed:
        raise EngineError(
            f"model {model.spec!r}: what it predicts depends on later tokens (by {ahead:.2g} nats in a trial), "
            "so it gives texts no likelihood"
        )
    expected = _scores(PaddedLogLikelihood(network, size, lines=1), lines)

    def why_not(likelihood: LogLikelihood) -> str | None:
        return _why_not(lambda: float(np.abs(_scores(likelihood, lines) - expected).max()), allowed)

    packs = [PackedLogLikelihood(network, size), PackedLogLikelihood(network, SMALL_PACK)]
    unpacked = _other_layers(network.config) or next(filter(None, map(why_not, packs)), None)
    unpadded = why_not(PaddedLogLikelihood(network, size)) if unpacked else None
    writing, slow_writing = _find_writing(network, size, tokens, logits, allowed, unpacked)
    variants = attention_variants(network)
    return Paths(
        scoring="packs" if unpacked is None else "batches" if unpadded is None else "alone",
        writing=writing,
        slow_scoring=f"padded batches: {unpadded}" if unpadded else unpacked,
        slow_writing=slow_writing,
        limit=exact_until(network.config, variants),
        plain_attention=not any(variant.written_out or variant.window for variant in variants),
    )


def exact_until(config: PreTrainedConfig, variants: Sequence[Variant]) -> int | None:
    """Return up to how many tokens faster ways are exact: sparse attention and some rotary embeddings limit them.

    A sliding window limits them only if layers do not hand it to their attention, where packs see it.
    """
    text = config.get_text_config()
    limits = [getattr(text, name, None) for name in SPARSE_BEYOND]
    if not any(variant.window for variant in variants):
        limits.append(getattr(text, "sliding_window", None))
    rope = getattr(text, "rope_parameters", None) or {}
    per_kind = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    limits += [
        one.get("original_max_position_embeddings") or text.max_position_embeddings
        for one in per_kind
        if one.get("rope_type") in LENGTH_DEPENDENT
    ]
    return min((int(limit) for limit in limits if limit), default=None)


def attention_variants(network: PreTrainedModel) -> list[Variant]:
    """Return what the layers ask of their attention; nothing if they do not use transformers' interface for it."""
    import torch

    asked: list[Variant] = []

    def watching(attention: Attention) -> Attention:
        def watched(*args: Any, **options: Any) -> Any:
            asked.append(variant_of(options.get("scaling"), options))
            return attention(*args, **options)

        return watched

    try:
        with torch.inference_mode(), attending_around(network, watching):
            network(input_ids=torch.zeros(1, 2, dtype=torch.long, device=network.device), use_cache=False)
    except UNFIT:
        return []
    return asked


def _other_layers(config: PreTrainedConfig) -> str | None:
    layers = set(getattr(config.get_text_config(), "layer_types", None) or ()) - ATTENTION_LAYERS
    return f"it has layers of type {', '.join(sorted(layers))}" if layers else None


def _find_writing(
    network: PreTrainedModel, size: int, tokens: list[int], logits: Tensor, allowed: float, unpacked: str | None
) -> tuple[Writing, str | None]:
    """Return the fastest way to continue prefixes of the tokens as the logits of all tokens say, and why no faster."""
    import torch

    half = len(tokens) // 2
    lines = [tokens[:end] for end in (half + STEPS, half // 2 + STEPS, len(tokens))]
    lines.append(tokens[half : 2 * half + STEPS])  # as long as the first, and of other tokens
    lines[-1] += tokens[: len(lines[0]) - len(lines[-1])]
    prompts = [line[:-STEPS] for line in lines]
    expected = torch.stack(
        [
            (logits if line is not lines[-1] else _logits_alone(network, line))[len(line) - STEPS - 1 : len(line) - 1]
            for line in lines
        ]
    )

    def next_tokens(rows: Sequence[int], step: int) -> Tensor:
        return torch.tensor([lines[row][len(prompts[row]) + step] for row in rows], device=network.device)

    def packed() -> Tensor:
        decoder = PackedDecoder(network, size)
        steps = [decoder.prefill(prompts, STEPS)]
        steps += [decoder.step(next_tokens(range(len(prompts)), step)) for step in range(STEPS - 1)]
        return torch.stack(steps, dim=1)

    def cached(rows: Sequence[int]) -> Tensor:
        steps: list[Tensor] = []

        def follow(step: int, scores: Tensor) -> Tensor:
            steps.append(scores.clone())
            return next_tokens(rows, step)

        generate(network, [prompts[row] for row in rows], STEPS, set(), follow)
        return torch.stack(steps, dim=1)

    ways: list[tuple[Writing, Callable[[], Tensor]]] = [
        ("cached", lambda: cached(range(len(prompts)))),
        ("cached_by_length", lambda: torch.cat([cached(rows) for rows in ([0, 3], [1], [2])])[[0, 2, 3, 1]]),
        ("cached_alone", lambda: torch.cat([cached([row]) for row in range(len(prompts))])),
    ]
    if unpacked is None:
        ways.insert(0, ("packs", packed))
    slower = unpacked
    for writing, way in ways:
        reason = _why_not(lambda way=way: _furthest(way(), expected), allowed)  # type: ignore[misc]
        if reason is None:
            return writing, slower
        slower = f"{NAMES[writing]}: {reason}"
    return "anew", slower


def _why_not(difference: Callable[[], float], allowed: float) -> str | None:
    """Return None if a trial runs and differs by no more than is allowed, else why it does not."""
    import torch

    try:
        nats = difference()
    except torch.OutOfMemoryError:
        raise  # a RuntimeError that says nothing about the way
    except UNFIT as error:
        return f"does not run ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    return None if nats <= allowed else f"differs by {nats:.2g} nats on a trial"


def _furthest(logits: Tensor, expected: Tensor) -> float:
    """Return the largest difference, in nats, of the log-probabilities of the tokens that are likeliest."""
    ours, theirs = (some.float().log_softmax(-1) for some in (logits, expected))
    likeliest = theirs.topk(min(LIKELIEST, theirs.shape[-1])).indices
    worst = (ours.gather(-1, likeliest) - theirs.gather(-1, likeliest)).abs().max()
    return float(worst.nan_to_num(float("inf")))


def _logits_alone(network: PreTrainedModel, tokens: Sequence[int]) -> Tensor:
    import torch

    with torch.inference_mode():
        logits: Tensor = network(input_ids=torch.tensor([tokens], device=network.device), use_cache=False).logits
    return logits[0]


def _trial_lines(model: LoadedModel) -> list[Line]:
    """Return a few lines that share prefixes of several lengths, long enough for more than one chunk."""
    tokenizer = HfTokenizer(model.tokenizer)
    tokens = [tokenizer.start, *encode(tokenizer, [TEXT])[0]]
    ends = sorted({len(tokens) // 3, len(tokens) - 1})
    return [Line(tokens, 1), *(Line([*tokens[:end], *reversed(tokens[: len(tokens) // 2])], end) for end in ends)]


def _scores(likelihood: LogLikelihood, lines: list[Line]) -> Floats:
    total = np.zeros(len(lines))
    plan = likelihood.plan(lines)
    for index, part in enumerate(plan):
        np.add.at(total, part.lines, likelihood.run(plan, index))
    return total
