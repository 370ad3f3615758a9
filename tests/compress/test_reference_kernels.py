"""Every kernel against what its authors' own code gives on the same layer (../shared/reference)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crushtest.compress import InputGram, InputNorm, WeightGradient, gblm, gptq, magnitude, rtn, sparsegpt, wanda


@pytest.fixture(scope="module")
def kernels(reference: Path) -> dict[str, Tensor]:
    with np.load(reference / "compression_kernels.npz", allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


PATTERNS = {"50": {}, "2of4": {"pattern": "2:4"}, "4of8": {"pattern": "4:8"}}


@pytest.mark.parametrize("case", PATTERNS)
def test_wanda_masks_are_equal(kernels: dict[str, Tensor], case: str) -> None:
    norm = InputNorm.from_activations(kernels["X"], sequences=6)
    assert torch.equal(wanda(kernels["W"], norm, **PATTERNS[case]), kernels[f"wanda_{case}"])


@pytest.mark.parametrize("case", PATTERNS)
def test_gblm_masks_are_equal(kernels: dict[str, Tensor], case: str) -> None:
    norm = InputNorm.from_activations(kernels["X"], sequences=6)
    gradient = WeightGradient(kernels["gblm_gradient"])
    ours = gblm(kernels["W"], norm, gradient, gradient_scale=1.0, **PATTERNS[case])
    assert torch.equal(ours, kernels[f"gblm_{case}"])


def test_magnitude_mask_is_equal(kernels: dict[str, Tensor]) -> None:
    assert torch.equal(magnitude(kernels["W"], sparsity=0.5), kernels["magnitude_50"])


def test_gram_matrix_is_equal(kernels: dict[str, Tensor]) -> None:
    gram = InputGram.from_activations(kernels["X"], sequences=6)
    torch.testing.assert_close(gram.matrix.double(), kernels["hessian"].double(), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("case", [*PATTERNS, "30"])
def test_sparsegpt_weights_are_equal(kernels: dict[str, Tensor], case: str) -> None:
    gram = InputGram.from_activations(kernels["X"], sequences=6)
    options: dict[str, Any] = {"sparsity": 0.3} if case == "30" else PATTERNS[case]
    ours, theirs = sparsegpt(kernels["W"], gram, **options), kernels[f"sparsegpt_{case}"]
    assert ((ours == 0) != (theirs == 0)).float().mean() <= 0.001
    both = (ours != 0) & (theirs != 0)
    torch.testing.assert_close(ours[both], theirs[both], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("gptq_4bit_g64", {"group_size": 64}),
        ("gptq_4bit_channel", {"group_size": "channel"}),
        ("gptq_3bit_g64_sym", {"bits": 3, "group_size": 64, "symmetric": True}),
        ("gptq_4bit_g64_actorder_static", {"group_size": 64, "act_order": True}),
    ],
)
def test_gptq_weights_are_equal(kernels: dict[str, Tensor], case: str, options: dict[str, Any]) -> None:
    ours = gptq(kernels["W"], InputGram.from_activations(kernels["X"], sequences=6), **options)
    assert _share_off_the_edge(ours, kernels[case]) <= 0.005


def test_rtn_weights_are_equal(kernels: dict[str, Tensor]) -> None:
    assert _share_off_the_edge(rtn(kernels["W"], group_size=64), kernels["rtn_4bit_g64"]) <= 0.005


def _share_off_the_edge(ours: Tensor, theirs: Tensor) -> float:
    """Share of weights further apart than 1e-4: those that sat on a rounding edge."""
    return float((~torch.isclose(ours, theirs, rtol=1e-4, atol=1e-6)).float().mean())
