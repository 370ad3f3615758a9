"""A small model and correlated inputs for the compression tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from support.small_models import loaded, small_network


@pytest.fixture
def llama() -> Any:
    return loaded(small_network("llama"))


@pytest.fixture
def correlated() -> tuple[Tensor, Tensor]:
    """A weight [48, 64] and inputs [512, 64] whose features differ in size and go together; feature 5 is dead."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(48, 64, generator=generator)
    mixing = torch.randn(64, 64, generator=generator) * torch.linspace(0.1, 2.0, 64)
    inputs = torch.randn(512, 64, generator=generator) @ mixing
    inputs[:, 5] = 0
    return weight, inputs
