"""How a model is run, decided when it is loaded: the fastest way that gives what its own forward pass gives.

A few short lines are run alone, each in a forward pass without cache, mask or padding. Every faster way must give the
same within rounding. What depends on a line's length cannot show in short lines, so the configuration says up to which
length the faster ways hold, and longer lines are run alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from crushtest.engines.encoding import encode
from crushtest.engines.hf.decoding import PackedDecoder
from crushtest.engines.hf.generation import generate
from crushtest.engines.hf.likelihood import PackedLogLikelihood, PaddedLogLikelihood
from crushtest.engines.hf.limits import UNFIT, attention_variants, exact_until, size_within
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.engines.kv_size import ATTENTION_LAYERS
from crushtest.engines.likelihood import Floats, LogLikelihood
from crushtest.engines.packing import Line
from crushtest.errors import EngineError
from crushtest.models.devices import input_device

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

    from crushtest.models.load import LoadedModel

Scoring: TypeAlias = Literal["packs", "batches", "alone"]
Writing: TypeAlias = Literal["packs", "cached", "cached_by_length", "cached_alone", "anew"]
"""`NAMES` says what they are."""

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
# Largest difference of a log-likelihood, in nats, that rounding explains in any network.
TOLERANCE = {"float32": 2e-3, "bfloat16": 0.5, "float16": 0.1}
# How many times what rounding was seen to do in 16 bits a faster way may differ by.
NOISE = 3
# Nodes per pack of a second trial, few enough for trunks.
SMALL_PACK = 16
# A kind of attention that short lines do not show: within a few blocks a network puts full attention in its place.
READS_AHEAD = "block_sparse"
STEPS = 3
LIKELIEST = 8


@dataclass(frozen=True)
class Paths:
    """How a model is run.

    scoring, writing  the ways, for lines up to `limit`
    slow_scoring      why scoring takes no faster way; None if it takes the fastest
    slow_writing      why writing takes no faster way
    limit             tokens up to which these ways are exact; longer lines are run alone. None for any number
    plain_attention   True if the layers were seen to cap no scores and to have no sinks and no sliding window
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
    if any(getattr(module, "attention_type", None) == READS_AHEAD for module in network.modules()):
        raise EngineError(
            f"model {model.spec!r}: with attention_type {READS_AHEAD!r} what it predicts depends on later tokens "
            "in long texts, so it gives them no likelihood"
        )
    logits = _logits_alone(network, tokens)  # outside the trials: a model that fails here does not run at all
    # Of one length, so that rounding is the same, except where a network groups tokens by what they hold.
    cut = len(tokens) // 2
    others = [*tokens[:cut], *reversed(tokens[: len(tokens) - cut])]
    ahead = _furthest(_logits_alone(network, others)[:cut], logits[:cut])
    differs = ahead > TOLERANCE["float32"]
    # In 16 bits, or where layers round activations by what all tokens of a pass hold, other lines move a line as well.
    if differs and ahead > NOISE * _noise_of_company(network, tokens):
        raise EngineError(
            f"model {model.spec!r}: what it predicts depends on later tokens (by {ahead:.2g} nats in a trial), "
            "so it gives texts no likelihood"
        )
    if differs or network.dtype.itemsize < 4:  # as nothing is read ahead, what a line's length changes is rounding
        allowed = max(allowed, NOISE * _noise_of_length(network, tokens, logits))
    variants = attention_variants(network)
    limit = exact_until(network.config, variants)
    size = size if limit is None else size_within(size, limit)
    expected = _scores(PaddedLogLikelihood(network, size, lines=1), lines)

    def why_not(likelihood: LogLikelihood) -> str | None:
        return _why_not(lambda: float(np.abs(_scores(likelihood, lines) - expected).max()), allowed)

    packs = [PackedLogLikelihood(network, size), PackedLogLikelihood(network, SMALL_PACK)]
    unpacked = _other_layers(network.config) or next(filter(None, map(why_not, packs)), None)
    unpadded = why_not(PaddedLogLikelihood(network, size)) if unpacked else None
    writing, slow_writing = _find_writing(network, size, tokens, logits, allowed, unpacked)
    return Paths(
        scoring="packs" if unpacked is None else "batches" if unpadded is None else "alone",
        writing=writing,
        slow_scoring=f"padded batches: {unpadded}" if unpadded else unpacked,
        slow_writing=slow_writing,
        limit=limit,
        plain_attention=variants is not None and not any(one.written_out or one.window for one in variants),
    )


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
        return torch.tensor([lines[row][len(prompts[row]) + step] for row in rows], device=input_device(network))

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

    def by_length() -> Tensor:
        first, fourth, second, third = torch.cat([cached(rows) for rows in ([0, 3], [1], [2])])
        return torch.stack([first, second, third, fourth])

    ways: list[tuple[Writing, Callable[[], Tensor]]] = [
        ("cached", lambda: cached(range(len(prompts)))),
        ("cached_by_length", lambda: by_length()),
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
    ours, theirs = (some.to(expected.device).float().log_softmax(-1) for some in (logits, expected))
    likeliest = theirs.topk(min(LIKELIEST, theirs.shape[-1])).indices
    worst = (ours.gather(-1, likeliest) - theirs.gather(-1, likeliest)).abs().max()
    return float(worst.nan_to_num(float("inf")))


def _noise_of_company(network: PreTrainedModel, tokens: list[int]) -> float:
    """Return by how many nats rounding moves a line beside one line or another; zero if two lines do not run."""
    import torch

    companies = [tokens[::-1], *(tokens[cut:] + tokens[:cut] for cut in (len(tokens) // 2, len(tokens) // 4))]
    try:
        first, *others = (_first_logits(network, [tokens, company]) for company in companies)
    except torch.OutOfMemoryError:
        raise
    except UNFIT:
        return 0.0
    return max(_furthest(other, first) for other in others)


def _noise_of_length(network: PreTrainedModel, tokens: list[int], logits: Tensor) -> float:
    """Return by how many nats rounding moves tokens, and their sum, in lines of several lengths."""
    import torch

    nats = 0.0
    for cut in {len(tokens) * part // 4 for part in (1, 2, 3)} | {len(tokens) - 1}:
        shorter = _logits_alone(network, tokens[:cut])
        following = torch.tensor(tokens[1 : cut + 1], device=logits.device)
        ours, theirs = (
            float(torch.nn.functional.cross_entropy(some.float(), following, reduction="sum"))
            for some in (shorter, logits[:cut])
        )
        nats = max(nats, _furthest(shorter, logits[:cut]), abs(ours - theirs))
    return nats


def _logits_alone(network: PreTrainedModel, tokens: Sequence[int]) -> Tensor:
    return _first_logits(network, [tokens])


def _first_logits(network: PreTrainedModel, lines: Sequence[Sequence[int]]) -> Tensor:
    import torch

    with torch.inference_mode():
        logits: Tensor = network(input_ids=torch.tensor(lines, device=input_device(network)), use_cache=False).logits
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
