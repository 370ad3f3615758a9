"""What the calibration set says about one linear layer, built up batch by batch.

The scales are those of the methods' own code, so that masks agree with theirs exactly. Activations are
[tokens, in_features] (one sequence, or as many as `sequences` says) or [sequences, tokens, in_features]. Sums are kept
in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

from crushtest.errors import CompressionError
from crushtest.models.threads import on_threads

if TYPE_CHECKING:
    from torch import Tensor

_TILE = 192  # columns of a Gram tile: wide enough for the full matmul rate, narrow enough to skip what mirrors


class InputNorm:
    """Sum of squares of every input feature, over sequences."""

    def __init__(self) -> None:
        self.sequences = 0
        self._square_sum: Tensor | None = None

    def add(self, activations: Tensor, *, sequences: int = 1) -> None:
        """Take in one batch; raises CompressionError where it holds NaN or infinity."""
        rows = _rows(activations)
        square_sum = rows.square().sum(dim=0)
        need_finite(square_sum)
        self._square_sum = square_sum if self._square_sum is None else self._square_sum.add_(square_sum)
        self.sequences += _sequences(activations, sequences)

    @classmethod
    def from_activations(cls, activations: Tensor, sequences: int = 1) -> Self:
        """Return the statistic of activations that are all at hand."""
        statistic = cls()
        statistic.add(activations, sequences=_sequences(activations, sequences))
        return statistic

    @classmethod
    def pooled(cls, parts: Sequence[Self]) -> Self:
        """Return the statistic of several inputs' tokens together, which came from the same sequences."""
        statistic = cls()
        statistic._square_sum = _total([part._square_sum for part in parts])
        statistic.sequences = max(part.sequences for part in parts)
        return statistic

    @property
    def mean_square(self) -> Tensor:
        """Return [in_features], the sum over tokens of x^2, divided by the number of sequences."""
        return _seen(self._square_sum) / self.sequences

    @property
    def norm(self) -> Tensor:
        """Return [in_features], the square root of `mean_square`."""
        return self.mean_square.sqrt()


class InputSize:
    """Mean absolute value of every input feature, over tokens."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._tokens = 0

    def add(self, activations: Tensor, *, sequences: int = 1) -> None:
        """Take in one batch; raises CompressionError where it holds NaN or infinity. Sequences do not count."""
        rows = _rows(activations)
        total = rows.abs().sum(dim=0)
        need_finite(total)
        self._sum = total if self._sum is None else self._sum.add_(total)
        self._tokens += len(rows)

    @classmethod
    def pooled(cls, parts: Sequence[Self]) -> Self:
        """Return the statistic of several inputs' tokens together."""
        statistic = cls()
        statistic._sum = _total([part._sum for part in parts])
        statistic._tokens = sum(part._tokens for part in parts)
        return statistic

    @property
    def mean(self) -> Tensor:
        """Return [in_features], the sum over tokens of |x|, divided by the number of tokens."""
        return _seen(self._sum) / self._tokens


class InputGram:
    """Gram matrix of the inputs: H = 2 X^T X / sequences."""

    def __init__(self) -> None:
        self.sequences = 0
        self._upper: Tensor | None = None
        self._factors: dict[tuple[float, bool], InverseFactor] = {}

    def add(self, activations: Tensor, *, sequences: int = 1) -> None:
        """Take in one batch; raises CompressionError where it holds NaN or infinity."""
        rows = _rows(activations)
        columns = rows.shape[1]
        if self._upper is None:
            self._upper = rows.new_zeros(columns, columns)
        self._factors.clear()
        # H is symmetric: only the tiles on and above its diagonal are computed.
        tiles = range(0, columns, _TILE)
        for top in tiles:
            left = rows[:, top : top + _TILE]
            self._upper[top : top + _TILE, top:].addmm_(left.T, rows[:, top:])
        need_finite(self._upper.diagonal())
        self.sequences += _sequences(activations, sequences)

    @classmethod
    def from_activations(cls, activations: Tensor, sequences: int = 1) -> Self:
        """Return the statistic of activations that are all at hand."""
        statistic = cls()
        statistic.add(activations, sequences=_sequences(activations, sequences))
        return statistic

    @classmethod
    def pooled(cls, parts: Sequence[Self]) -> Self:
        """Return the statistic of several inputs' tokens together, which came from the same sequences."""
        statistic = cls()
        statistic._upper = _total([part._upper for part in parts])
        statistic.sequences = max(part.sequences for part in parts)
        return statistic

    @property
    def matrix(self) -> Tensor:
        """Return [in_features, in_features], H, whole and before damping."""
        upper = _seen(self._upper)
        return (upper.triu() + upper.triu(1).T) * (2.0 / self.sequences)

    @property
    def dead(self) -> Tensor:
        """Return [in_features], bool, the features that were 0 on every token."""
        return _seen(self._upper).diagonal() == 0

    def inverse_factor(self, damping: float, *, descending: bool = False) -> InverseFactor:
        """Return the upper triangular U with U^T U = (H + damping * mean(diag H) * I)^-1; it is computed once.

        A dead feature's diagonal is set to 1 first. `descending` takes the columns in the order of falling diag H.
        Raises CompressionError where the damped matrix is not positive definite.
        """
        key = (damping, descending)
        if key not in self._factors:
            self._factors[key] = _factorise(self.matrix, self.dead, damping, descending)
        return self._factors[key]


class InverseFactor:
    """Upper triangular factor of an inverse damped Gram matrix, and the order its columns are in."""

    def __init__(self, upper: Tensor, order: Tensor) -> None:
        self.upper = upper
        self.order = order


class WeightGradient:
    """Size of the loss gradient with respect to one weight, over the calibration sequences (dense model).

    `norm="l2"` is the square root of the sum of squares over sequences, `"l1"` the sum of absolute values: sums, not
    means, as in the authors' code.
    """

    def __init__(self, *gradients: Tensor, norm: Literal["l2", "l1"] = "l2") -> None:
        self.norm = norm
        self._sum: Tensor | None = None
        for gradient in gradients:
            self.add(gradient)

    def add(self, gradient: Tensor) -> None:
        """Take in one sequence's gradient [out_features, in_features]; CompressionError for NaN or infinity."""
        need_finite(gradient)
        size = gradient.float().square() if self.norm == "l2" else gradient.float().abs()
        self._sum = size if self._sum is None else self._sum.add_(size)

    @property
    def is_empty(self) -> bool:
        """Say whether no gradient was added."""
        return self._sum is None

    @property
    def size(self) -> Tensor:
        """Return [out_features, in_features]."""
        total = _seen(self._sum)
        return total.sqrt() if self.norm == "l2" else total


def _rows(activations: Tensor) -> Tensor:
    """[tokens of all sequences, in_features]"""
    return activations.reshape(-1, activations.shape[-1]).float()


def _sequences(activations: Tensor, said: int) -> int:
    return activations.shape[0] if activations.dim() == 3 else said


def _factorise(matrix: Tensor, dead: Tensor, damping: float, descending: bool) -> InverseFactor:
    """With J the reversal, J H J = L L^T gives H = R R^T with R = J L J upper, so that U = R^-1: one Cholesky
    decomposition instead of the usual Cholesky, inverse, Cholesky, and no explicit inverse in between."""
    import torch

    diagonal = matrix.diagonal()
    diagonal[dead] = 1.0
    order = torch.argsort(diagonal, descending=True) if descending else torch.arange(len(dead), device=matrix.device)
    if descending:
        matrix = matrix[order][:, order]
    matrix.diagonal().add_(damping * matrix.diagonal().mean())
    # The decomposition rounds otherwise on another number of threads, and GPTQ makes 20% other codes of one bit.
    with on_threads(1):
        lower, failed = torch.linalg.cholesky_ex(matrix.flip(0, 1))
    if failed.item():
        raise CompressionError(
            f"the inputs' Gram matrix is not positive definite with damping={damping:g}; "
            f"use more damping (damping={min(10 * damping, 0.5):g}) or more calibration tokens"
        )
    identity = torch.eye(len(dead), device=matrix.device)
    return InverseFactor(torch.linalg.solve_triangular(lower.flip(0, 1), identity, upper=True), order)


def is_finite(values: Tensor) -> bool:
    """Say whether a tensor holds no NaN or infinity, in one pass over it: either shows in the sum."""
    import torch

    return bool(values.sum(dtype=torch.float32).isfinite())


def need_finite(values: Tensor) -> None:
    """Raise CompressionError for activations or gradients that hold NaN or infinity."""
    if not is_finite(values):
        raise CompressionError("NaN or infinity on the calibration text")


def _total(sums: Sequence[Tensor | None]) -> Tensor:
    total = _seen(sums[0]).clone()
    for more in sums[1:]:
        total += _seen(more)
    return total


def _seen(value: Tensor | None) -> Tensor:
    if value is None:
        raise CompressionError("no calibration activations were added")
    return value
