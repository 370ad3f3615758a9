"""The program that chooses options per block: exact, within the size, and careful with what is fragile."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.compress.allocation import SECONDARY, allocate, largest, rungs, size_of
from crushtest.errors import UsageError

BITS = np.array([2, 3, 4, 8])


def cost(divergence: np.ndarray, options: tuple[int, ...]) -> float:
    sums = divergence[:, np.arange(len(options)), list(options)].sum(axis=1)
    return float(sums.max() + SECONDARY * sums.mean())


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dimensions=st.integers(1, 3),
    parts=st.integers(1, 5),
    share=st.floats(0, 1),
)
def test_the_program_equals_brute_force(seed: int, dimensions: int, parts: int, share: float) -> None:
    random = np.random.default_rng(seed)
    divergence = random.exponential(size=(dimensions, parts, 4)) * 10.0 ** random.integers(-6, 3)
    sizes = random.integers(1, 10**6, size=(parts, 4))
    least, most = int(sizes.min(axis=1).sum()), int(sizes.max(axis=1).sum())
    allowed = int(least + share * (most - least))
    best = min(
        (options for options in product(range(4), repeat=parts) if size_of(sizes, options) <= allowed),
        key=lambda options: cost(divergence, options),
    )
    found = allocate(divergence, sizes, allowed)
    assert found.size == size_of(sizes, found.options) <= allowed
    assert found.ratio == largest(divergence, found.options)
    assert cost(divergence, found.options) == pytest.approx(cost(divergence, best), rel=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_a_fragile_block_gets_the_most_bits(seed: int) -> None:
    random = np.random.default_rng(seed)
    blocks, fragile = 12, int(random.integers(12))
    sensitivity = random.uniform(0.5, 2, size=(2, blocks, 1)) * 4.0**-BITS
    sensitivity[1, fragile] *= 30  # in one dimension only
    sensitivity *= random.uniform(0.8, 1.25, size=sensitivity.shape)
    sizes = np.tile(BITS * 1000, (blocks, 1))
    found = allocate(sensitivity / sensitivity[:, :, 2:3].sum(axis=1, keepdims=True), sizes, blocks * 3500)
    bits = BITS[list(found.options)]
    assert bits[fragile] == bits.max()
    assert bits[fragile] > np.median(bits)


def test_a_size_below_the_smallest_mix_is_refused() -> None:
    with pytest.raises(UsageError, match=r"as small as 3 \(the smallest has 4\)"):
        allocate(np.ones((1, 2, 2)), np.array([[2, 3], [2, 3]]), 3)


def test_a_larger_size_never_diverges_more() -> None:
    random = np.random.default_rng(0)
    divergence = random.exponential(size=(3, 30, 4)) * 2.0**-BITS
    sizes = np.tile(BITS * 1000, (30, 1))
    ladder = [allocate(divergence, sizes, size) for size in rungs(sizes)]
    costs = [cost(divergence, found.options) for found in ladder]
    assert len(ladder) == 10
    assert all(larger <= smaller * (1 + 1e-6) for smaller, larger in pairwise(costs))
    assert set(ladder[0].options) == {0}
