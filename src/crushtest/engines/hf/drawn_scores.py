"""Log-likelihoods of outcomes that a model draws from itself, to be differentiated.

The Fisher information F of the dense model is the mean of g g^T, where g is the gradient of the log-likelihood of an
outcome drawn from the model's own distribution. To second order KL(dense || dense + d) = d^T F d / 2, and its first
order vanishes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crushtest.engines.hf.block_divergence import MOST_TOKENS

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from crushtest.engines.packing import Line


class Drawn(NamedTuple):
    """The log-likelihood in nats of what was drawn for one item, and at how many places something was.

    weight  1 for a question; for a text the predicted tokens, as in `Divergence`
    """

    logprob: Tensor
    weight: int


def drawn_scores(
    network: PreTrainedModel, groups: Sequence[Sequence[Line]], *, over_options: bool, generator: torch.Generator
) -> Iterator[Drawn]:
    """Yield what is drawn for each item that has lines: an option of a question, or tokens of a text.

    groups      the lines of each item (`lines_of`), which are run together, in the model's own forward pass
    generator   on the CPU
    """
    for lines in groups:
        if lines:
            logprobs = _logprobs(network, lines)
            yield _option(logprobs, lines, generator) if over_options else _tokens(logprobs, lines, generator)


def _logprobs(network: PreTrainedModel, lines: Sequence[Line]) -> Tensor:
    """Return the next tokens' log-probabilities [lines, tokens, vocabulary]. Padding stands behind and is not seen."""
    import torch

    longest = max(len(line.tokens) for line in lines)
    ids = torch.tensor([[*line.tokens, *[0] * (longest - len(line.tokens))] for line in lines], device=network.device)
    logits: Tensor = network(input_ids=ids, use_cache=False).logits
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def _option(logprobs: Tensor, lines: Sequence[Line], generator: torch.Generator) -> Drawn:
    import torch

    totals = [
        logprobs[row, line.start - 1 : len(line.tokens) - 1]
        .gather(-1, torch.tensor(line.tokens[line.start :], device=logprobs.device)[:, None])
        .sum()
        for row, line in enumerate(lines)
    ]
    options = torch.stack(totals).log_softmax(0)
    chosen = torch.multinomial(options.detach().exp().cpu(), 1, generator=generator)
    return Drawn(options[int(chosen)], 1)


def _tokens(logprobs: Tensor, lines: Sequence[Line], generator: torch.Generator) -> Drawn:
    import torch

    rows = []
    for row, line in enumerate(lines):
        places = np.arange(line.start - 1, len(line.tokens) - 1)
        few = np.unique(np.linspace(0, len(places) - 1, min(len(places), MOST_TOKENS)).round().astype(np.int64))
        rows.append(logprobs[row, torch.from_numpy(places[few]).to(logprobs.device)])
    chosen = torch.cat(rows)
    drawn = torch.multinomial(chosen.detach().exp().cpu(), 1, generator=generator).to(chosen.device)
    return Drawn(chosen.gather(-1, drawn).sum(), len(chosen))
