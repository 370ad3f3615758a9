"""Rounded keys and values against the package gguf, and against attention written out token by token."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crushtest.engines.hf.kivi import Kivi
from crushtest.engines.hf.kv_cache import hadamard, key_rotation, pair, q4_0, q8_0, rotate, unpair, value_rotation

ROUNDED = {"q8_0": q8_0, "q4_0": q4_0}
TYPES = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
# Of scales that are almost 0, gguf's inverse is inf; the test after the property has these.
NUMBERS = st.floats(-1e4, 1e4, width=32).filter(lambda number: number == 0 or abs(number) > 1e-30) | st.sampled_from(
    [0.0, 0.5, -0.5, 1.0, -1.0, 8.0, 127.0, -127.0, 63.5]
)


@pytest.mark.parametrize("name", sorted(ROUNDED))
@given(values=arrays.arrays(np.float32, (3, 64), elements=NUMBERS))
def test_a_round_trip_is_ggufs_bit_for_bit(name: str, values: np.ndarray[Any, Any]) -> None:
    expected = gguf.quants.dequantize(gguf.quants.quantize(values, TYPES[name]), TYPES[name])
    assert np.array_equal(ROUNDED[name](torch.from_numpy(values)).numpy(), expected)


@pytest.mark.parametrize("block", [[1.18e-38, 3.9e-39], [-1e-45], [1e-39] * 16], ids=["rounded", "least", "half"])
@pytest.mark.parametrize("round_trip", [q8_0, q4_0, Kivi("kivi2", 2).round_values])
def test_blocks_too_small_for_a_scale_are_read_as_zeros(round_trip: Any, block: list[float]) -> None:
    values = torch.tensor(block + [0.0] * (32 - len(block)))
    assert torch.equal(round_trip(values), torch.zeros(32))


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_rotation_is_orthonormal_and_its_own_inverse(size: int) -> None:
    torch.testing.assert_close(hadamard(size) @ hadamard(size), torch.eye(size))
    values = torch.randn(5, 2 * size, generator=torch.Generator().manual_seed(size))
    torch.testing.assert_close(rotate(rotate(values, size), size), values)
    assert not torch.allclose(rotate(values, size), values)


def test_a_rotation_made_in_inference_mode_serves_outside_of_it() -> None:
    hadamard.cache_clear()
    with torch.inference_mode():
        rotate(torch.ones(64), 64)
    values = torch.ones(64, requires_grad=True)
    rotate(values, 64).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None


def test_llama_cpp_turns_keys_as_wide_as_it_can_and_values_by_64() -> None:
    sizes = [32, 64, 80, 96, 128, 192, 256]
    assert [key_rotation(size) for size in sizes] == [0, 64, 0, 0, 128, 64, 256]
    assert [value_rotation(size) for size in sizes] == [0, 64, 0, 0, 64, 64, 64]


def test_pairs_that_rope_turns_together_stand_side_by_side() -> None:
    assert pair(torch.arange(8)).tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert unpair(pair(torch.arange(8))).tolist() == list(range(8))
