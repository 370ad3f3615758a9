"""The column loop that SparseGPT and GPTQ share: change a column, feed its error to those after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

STRIP = 32  # columns that are corrected one by one; the further ones of a block wait for one matrix product


class ColumnStep(Protocol):
    """Chooses the new values of a column."""

    def start_block(self, start: int, block: Tensor) -> None:
        """Look at a block [columns, rows] that begins at column `start`, before any of it is changed."""
        ...

    def __call__(self, index: int, ahead: Tensor) -> Tensor:
        """Return the new value [rows] of column `index`; `ahead` [columns, rows] starts with its value now."""
        ...


def feed_errors_forward(
    columns: Tensor, upper: Tensor, step: ColumnStep, *, block_size: int, strip: int = STRIP
) -> None:
    """Replace every column by what `step` makes of it, in place, and correct the columns after it.

    columns  [in_features, out_features] float32: the transposed weight, so that a column lies together in memory
    upper    [in_features, in_features]: U of `InputGram.inverse_factor`

    strip    the columns corrected one by one: a step sees all corrections of those ahead in its own strip

    A change of column j by e moves each later column k by -e * U_jk / U_jj. The columns after a block are corrected
    when the block is done; until then `columns` itself shows them as they were.
    """
    for start in range(0, len(columns), block_size):
        stop = min(start + block_size, len(columns))
        block = columns[start:stop].clone()
        step.start_block(start, block)
        errors = _block(block, upper[start:stop, start:stop], step, start, strip)
        columns[start:stop] = block
        columns[stop:].addmm_(upper[start:stop, stop:].T, errors, alpha=-1)


def _block(block: Tensor, upper: Tensor, step: ColumnStep, start: int, strip: int) -> Tensor:
    """Change a block in place; return the errors [columns, rows], each divided by its U_jj.

    The order of the corrections differs from the plain loop, their sum does not: a column gets those from its own
    strip one by one, and those from earlier strips in one product each.
    """
    import torch

    errors = torch.empty_like(block)
    diagonal = upper.diagonal().tolist()
    for first in range(0, len(block), strip):
        end = min(first + strip, len(block))
        for index in range(first, end):
            old = block[index]
            new = step(start + index, block[index:])
            torch.sub(old, new, out=errors[index]).div_(diagonal[index])
            block[index] = new
            block[index + 1 : end].addr_(upper[index, index + 1 : end], errors[index], alpha=-1)
        block[end:].addmm_(upper[first:end, end:].T, errors[first:end], alpha=-1)
    return errors
