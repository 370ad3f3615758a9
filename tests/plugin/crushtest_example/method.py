"""One bit per weight.

Mohammad Rastegari, Vicente Ordonez, Joseph Redmon, Ali Farhadi: XNOR-Net. ECCV 2016. https://arxiv.org/abs/1603.05279
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.registry import method

if TYPE_CHECKING:
    from torch import Tensor


@method(
    "binary",
    source="arXiv:1603.05279",
    kind="quantization",
    stores="floats",
    must_be_last="one bit leaves nothing to round",
)
def binary(weight: Tensor) -> Tensor:
    """Replace every weight by its sign times the mean magnitude of its row (equation 6)."""
    return weight.sign() * weight.abs().mean(dim=1, keepdim=True)
