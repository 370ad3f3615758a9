"""Read a quantized checkpoint as plain weights, a layer at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.errors import ModelError
from crushtest.models.checkpoint import Checkpoint
from crushtest.models.quantization import READERS
from crushtest.models.tensor_files import TensorFiles

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def plain_weights(where: str, checkpoint: Checkpoint, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return all tensors of a checkpoint by name, quantized weights as plain ones.

    where  the model, for errors
    dtype  of the dequantized weights; None for that of the other tensors

    ModelError names the layer whose parts do not fit together.
    """
    assert checkpoint.quantization is not None
    settings, reader = checkpoint.quantization.settings, READERS[checkpoint.quantization.format.method]
    files = TensorFiles(checkpoint.weights)
    mark = f".{reader.PARTS[1]}"  # of the first part, plain layers may have one, too
    layers = [name.removesuffix(mark) for name in files.names if name.endswith(mark)]
    if not layers:
        raise ModelError(f"model {where!r}: config.json says that it is quantized, but no tensor is named *{mark}")
    taken = {f"{layer}.{part}" for layer in layers for part in reader.PARTS}
    tensors = files.read(name for name in files.names if name not in taken)
    dtype = dtype or next((t.dtype for t in tensors.values() if t.is_floating_point()), None)
    for layer in layers:
        names = {part: f"{layer}.{part}" for part in reader.PARTS if f"{layer}.{part}" in files}
        stored = files.read(names.values())
        try:
            weight = reader.dequantize({part: stored[name] for part, name in names.items()}, settings, layer)
        except KeyError as error:
            raise ModelError(f"model {where!r}, layer {layer}: it has no {error.args[0]}") from None
        except ValueError as error:
            raise ModelError(f"model {where!r}, layer {layer}: {error}") from None
        tensors[f"{layer}.weight"] = weight.to(dtype)
    return tensors
