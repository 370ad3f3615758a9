"""Bits of a pruned layer, counted by hand: the kept weights at their bits, and where they stand."""

from __future__ import annotations

import pytest
import torch

from crushtest.compress.kernels.grids import ForeignWeight
from crushtest.compress.kernels.parameters import NM
from crushtest.compress.record import Storage


def pruned(pattern: NM | None, zeros: int, weights: int = 960) -> Storage:
    storage = Storage(weights, kept=weights)
    storage.enter(zeros, None, pattern)
    return storage


@pytest.mark.parametrize(
    ("pattern", "bits"),
    [
        (NM(2, 4), 2 * (16 + 2) / 4),  # 9: two weights and their 2-bit indices, in every four
        (NM(1, 4), 1 * (16 + 2) / 4),
        (NM(1, 2), 1 * (16 + 1) / 2),
        (NM(1, 3), 1 * (16 + 2) / 3),
        (NM(4, 8), 4 * 16 / 8 + 1),  # 3-bit indices of four weights are 12 bits; a bit per weight is 8
        (NM(15, 16), 16),  # 15 * 16 + 16 bits for 16 weights are what the dense layer takes
    ],
)
def test_a_pattern_stores_its_kept_weights_and_where_they_stand(pattern: NM, bits: float) -> None:
    storage = pruned(pattern, zeros=round(960 * pattern.sparsity))
    assert storage.stored_bits / 960 == pytest.approx(bits)


@pytest.mark.parametrize(("sparsity", "bits"), [(0.5, 9), (0.1, 0.9 * 16 + 1), (0.75, 5), (0.05, 16), (0, 16)])
def test_unstructured_positions_take_a_bit_unless_dense_is_smaller(sparsity: float, bits: float) -> None:
    assert pruned(None, zeros=round(960 * sparsity)).stored_bits / 960 == pytest.approx(bits)


def test_a_zero_within_a_pattern_is_stored_like_its_neighbours() -> None:
    assert pruned(NM(2, 4), zeros=600).stored_bits == pruned(NM(2, 4), zeros=480).stored_bits


def test_positions_stay_when_kept_weights_are_quantized() -> None:
    storage = pruned(NM(2, 4), zeros=480)
    storage.enter(500, ForeignWeight(torch.empty(0), bits=4, overhead_bits=60))
    assert storage.stored_bits == 480 * (4 + 2) + 60
