"""What a folder holds of quantized layers: their integers and scales, and what config.json says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.errors import CompressionError

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.compress.kernels.grids import QuantizedWeight

PACKED = "pack-quantized"
BYTES = "int-quantized"
SEVERAL = "mixed-precision"
WIDEST = 8
"""Bits of the widest grid that is packed."""


class GridKind(NamedTuple):
    """What layers of one config group have in common; `group_size` is None for one group a row, whatever its width."""

    bits: int
    group_size: int | None
    symmetric: bool

    @property
    def form(self) -> str:
        """Return the format that a grid beside others is stored in."""
        return PACKED if self.symmetric else BYTES


class _Regridded(Mapping[str, "QuantizedWeight"]):
    """Weights on other grids, each made when it is asked for: they may wait on disk."""

    def __init__(
        self, weights: Mapping[str, QuantizedWeight], regrid: Callable[[QuantizedWeight], QuantizedWeight]
    ) -> None:
        self._weights, self._regrid = weights, regrid

    def __getitem__(self, name: str) -> QuantizedWeight:
        return self._regrid(self._weights[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def side_by_side(weights: Mapping[str, QuantizedWeight]) -> Mapping[str, QuantizedWeight]:
    """Return the same weights on grids that transformers reads side by side in one folder.

    One grid, or symmetric ones alone, stay as they are. compressed-tensors 0.20 does not make room for packed zero
    points when it lays out an empty model, so transformers 5 loads packed asymmetric grids only by dequantizing them on
    the way in, and then it reads every layer by the first config group. So where one of several grids is asymmetric,
    all layers take the grid of the widest, or each a symmetric one of its own (`_symmetric`), whichever is smaller.
    """
    grids = names_by_grid(weights)
    if len(grids) <= 1 or all(grid.symmetric for grid in grids):
        return weights
    widest = max(grid.bits for grid in grids)
    on_widest = _Regridded(weights, lambda weight: replace(weight, bits=widest, symmetric=False))
    on_own = _Regridded(weights, _symmetric)
    alike = len({grid.group_size for grid in grids}) == 1
    return on_widest if alike and _bits(on_widest) <= _bits(on_own) else on_own


def _bits(weights: Mapping[str, QuantizedWeight]) -> int:
    return sum(weight.codes.numel() * weight.bits + weight.overhead_bits for weight in weights.values())


def _symmetric(weight: QuantizedWeight) -> QuantizedWeight:
    """Return a weight on a symmetric grid with the same scales and, if its own is asymmetric, one bit more.

    It holds all values, because code - zero lies within +-(2^bits - 1). One of 8 bits stays, to be stored in bytes.
    """
    import torch

    if weight.symmetric or weight.bits == WIDEST:
        return weight
    middle = 1 << weight.bits
    rows, columns = weight.codes.shape
    codes = weight.codes.reshape(rows, -1, weight.group_size) + (middle - weight.zero).unsqueeze(2)
    return replace(
        weight,
        codes=codes.reshape(rows, columns),
        zero=torch.full_like(weight.zero, middle),
        bits=weight.bits + 1,
        symmetric=True,
    )


def packed_tensors(weight: QuantizedWeight, *, alone: bool) -> dict[str, Tensor]:
    """Return the tensors that stand for one quantized weight. Their integers are signed: ours less 2^(bits - 1).

    alone   True if no other grid is in the folder: then zero points are packed too
    """
    import torch

    middle = 1 << (weight.bits - 1)
    signed = (weight.codes.to(torch.int16) - middle).to(torch.int8)
    zero = (weight.zero.to(torch.int16) - middle).to(torch.int8)
    scale = {"weight_scale": weight.scale.contiguous()}
    if not weight.symmetric and not alone:
        return {"weight": signed, "weight_zero_point": zero, **scale}
    compressors = _compressed_tensors()
    tensors = {
        "weight_packed": compressors.pack_to_int32(signed, weight.bits),
        "weight_shape": torch.tensor(weight.codes.shape, dtype=torch.int64),
        **scale,
    }
    if not weight.symmetric:
        tensors["weight_zero_point"] = compressors.pack_to_int32(zero, weight.bits, packed_dim=0)
    return tensors


def quantization_config(network: Any, packed: Mapping[str, QuantizedWeight]) -> dict[str, Any]:
    """Return what config.json says of the quantized layers: one group per grid in use, which names its layers."""
    from torch.nn import Linear

    groups = names_by_grid(packed)
    alone = len(groups) == 1
    forms = {PACKED} if alone else {grid.form for grid in groups}
    return {
        "quant_method": "compressed-tensors",
        "format": forms.pop() if len(forms) == 1 else SEVERAL,
        "quantization_status": "compressed",
        "config_groups": {
            f"group_{number}": {
                "targets": ["Linear"] if alone else names,
                "weights": _weights_config(grid),
                **({} if alone else {"format": grid.form}),
            }
            for number, (grid, names) in enumerate(groups.items())
        },
        "ignore": [
            name for name, module in network.named_modules() if isinstance(module, Linear) and name not in packed
        ],
        **({"dequantize": True} if alone and not all(grid.symmetric for grid in groups) else {}),
    }


def names_by_grid(packed: Mapping[str, QuantizedWeight]) -> dict[GridKind, list[str]]:
    """Return the names of the layers on each kind of grid."""
    # A group can be a whole row in narrow layers and less in others; one kind of grid serves both.
    parted = {weight.group_size for weight in packed.values() if weight.scale.shape[1] > 1}
    groups: dict[GridKind, list[str]] = {}
    for name, weight in packed.items():
        group_size = weight.group_size if weight.group_size in parted else None
        groups.setdefault(GridKind(weight.bits, group_size, weight.symmetric), []).append(name)
    return groups


def _weights_config(grid: GridKind) -> dict[str, Any]:
    grouping = {"strategy": "group", "group_size": grid.group_size} if grid.group_size else {"strategy": "channel"}
    return {"num_bits": grid.bits, "type": "int", "symmetric": grid.symmetric, "dynamic": False, **grouping}


def _compressed_tensors() -> Any:
    try:
        from compressed_tensors import compressors
    except ImportError:
        raise CompressionError(
            "saving quantized weights as integers needs the package compressed-tensors: "
            "pip install 'crushtest[compressed-tensors]'"
        ) from None
    return compressors
