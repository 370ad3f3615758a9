"""Choose how hard each part of a model is compressed: the least of the largest divergence that a size allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from crushtest.errors import CompressionError, UsageError

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

SECONDARY = 1e-3
"""Weight of the mean divergence beside the largest: it decides where the largest leaves a choice."""
MOST_TRIES = 8


class Allocation(NamedTuple):
    """One option per part.

    options   [parts] the index of each part's option
    ratio     the largest of the dimensions' summed divergences
    size      the parts' sizes together
    """

    options: tuple[int, ...]
    ratio: float
    size: int


def allocate(divergence: Floats, sizes: Ints, most: int) -> Allocation:
    """Return the options of least largest divergence whose sizes add up to `most` at the most, by integer program.

    divergence  [dimensions, parts, options] each as a share of its dimension's own scale, so that they can be compared
    sizes       [parts, options]

    Minimised is t + SECONDARY * (mean over dimensions), where the sum over parts is <= t for every dimension. That sum
    stands for the whole model's divergence: it ranks mixes and does not measure them (docs/search.md).
    Raises UsageError if the smallest options together are larger than `most`.
    """
    least = int(sizes.min(axis=1).sum())
    if least > most:
        raise UsageError(f"no mix of these options is as small as {most:,} (the smallest has {least:,})")
    allowed = most
    for _ in range(MOST_TRIES):
        options = _solve(divergence, sizes, allowed)
        chosen = Allocation(options, largest(divergence, options), size_of(sizes, options))
        if chosen.size <= most:
            return chosen
        allowed -= chosen.size - most  # by the solver's tolerance
    raise CompressionError(f"the integer program found no mix of size {most:,}")


def largest(divergence: Floats, options: Sequence[int]) -> float:
    """Return the largest of the dimensions' divergences, added up over the parts."""
    import numpy as np

    return float(divergence[:, np.arange(len(options)), list(options)].sum(axis=1).max())


def size_of(sizes: Ints, options: Sequence[int]) -> int:
    """Return the parts' sizes together."""
    import numpy as np

    return int(sizes[np.arange(len(options)), list(options)].sum())


def rungs(sizes: Ints, count: int = 10) -> list[int]:
    """Return the sizes of a ladder: evenly spaced in their logarithm between the smallest and the largest mix.

    >>> import numpy as np
    >>> rungs(np.array([[1, 8], [1, 8]]), 4)
    [2, 4, 8, 16]
    """
    import numpy as np

    low, high = (float(column(axis=1).sum()) for column in (sizes.min, sizes.max))
    return sorted({round(size) for size in np.geomspace(low, high, count)})


def _solve(divergence: Floats, sizes: Ints, most: int) -> tuple[int, ...]:
    """Return the best options [parts]. The unknowns are x [parts * options], which are 0 or 1, and t."""
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, hstack, kron

    dimensions, parts, options = divergence.shape
    flat = divergence.reshape(dimensions, parts * options)
    unit = max(float(np.abs(flat).max()), 1e-300)  # the solver's tolerances are absolute
    costs = np.append(SECONDARY * flat.mean(axis=0) / unit, 1.0)
    one_each = hstack([kron(csr_array(np.eye(parts)), np.ones((1, options))), csr_array((parts, 1))])
    under_t = hstack([csr_array(flat / unit), csr_array(-np.ones((dimensions, 1)))])
    within = np.append(sizes.ravel() / max(most, 1), 0.0)
    result = milp(
        costs,
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(under_t, -np.inf, 0),
            LinearConstraint(within[None], -np.inf, 1),
        ],
        integrality=np.append(np.ones(parts * options), 0),
        bounds=Bounds(0, np.append(np.ones(parts * options), np.inf)),
        options={"mip_rel_gap": 0.0},
    )
    if result.x is None:
        raise CompressionError(f"the integer program has no solution: {result.message}")
    return tuple(int(option) for option in result.x[:-1].reshape(parts, options).argmax(axis=1))
