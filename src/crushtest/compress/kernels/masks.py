"""Which weights go: the pruning masks (True where a weight is set to zero) that scores lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.compress.kernels.parameters import NM, parse_pattern
from crushtest.errors import CompressionError

if TYPE_CHECKING:
    from torch import Tensor

RANKED = 8
"""Groups up to this size are ranked by comparing every pair, larger ones by selection, which is faster there."""


def row_mask(scores: Tensor, sparsity: float, pattern: str) -> Tensor:
    """Mark the lowest scores [rows, columns] of each row (`floor(sparsity * columns)`), or of each group of n:m.

    With a pattern n:m the pattern alone decides, and `sparsity` is not looked at. Of equal scores the first goes.
    """
    structure = parse_pattern(pattern)
    if structure:
        return group_mask(scores, structure)
    return _lowest(scores, int(scores.shape[1] * sparsity))


def layer_mask(scores: Tensor, sparsity: float) -> Tensor:
    """Mark all scores up to rank `floor(sparsity * size)` of the whole matrix; equal scores go together.

    This is the rule of the authors' code: at sparsity s it prunes floor(s * size) + 1 weights, none at 0 and all at 1
    (one threshold for the whole model may lie above a whole layer).
    """
    import torch

    if sparsity == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    flat = scores.reshape(1, -1)
    rank = int(flat.shape[1] * sparsity)
    if rank >= flat.shape[1]:
        return torch.ones_like(scores, dtype=torch.bool)
    return scores <= _kth_smallest(flat, rank)[0, 0]


def group_mask(scores: Tensor, structure: NM) -> Tensor:
    """Mark all but the n highest of every m consecutive scores of a row; of equal scores the first goes."""
    import torch

    n, m = structure
    need_whole_groups(scores.shape[1], structure)
    if m > RANKED:
        return _lowest(scores.reshape(-1, m), m - n).reshape(scores.shape)
    places = [scores[:, place::m] for place in range(m)]
    mask = torch.empty_like(scores, dtype=torch.bool)
    for place, own in enumerate(places):
        # Rank among the group's m scores, by comparison: several times faster than selecting from tiny groups.
        rank = torch.zeros_like(own, dtype=torch.uint8)
        for other, theirs in enumerate(places):
            if other != place:
                rank += (theirs <= own) if other < place else (theirs < own)
        mask[:, place::m] = rank < m - n
    return mask


def need_whole_groups(columns: int, structure: NM) -> None:
    """Raise CompressionError unless rows of so many columns divide into groups of m."""
    n, m = structure
    if columns % m:
        raise CompressionError(f"pattern {n}:{m} needs a number of input features divisible by {m} (got {columns})")


def _lowest(scores: Tensor, count: int) -> Tensor:
    """Mark the `count` lowest scores of each row; of equal scores the first."""
    import torch

    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = _kth_smallest(scores, count - 1)
    mask = scores <= threshold
    if bool((mask.sum(dim=1) > count).any()):
        below, equal = scores < threshold, scores == threshold
        room = count - below.sum(dim=1, keepdim=True)
        mask = below | (equal & (equal.cumsum(dim=1) <= room))
    return mask


def _kth_smallest(scores: Tensor, index: int) -> Tensor:
    """Return [rows, 1], the value at place `index` (from 0) of each row in ascending order."""
    import numpy as np
    import torch

    if scores.device.type == "cpu":
        # numpy's vectorised selection takes a tenth of the time of torch's sort.
        values = scores.detach().float().numpy()
        return torch.from_numpy(np.partition(values, index, axis=1)[:, index : index + 1])
    return torch.kthvalue(scores.float(), index + 1, dim=1, keepdim=True).values
