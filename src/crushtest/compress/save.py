"""Save a compressed model as a folder that transformers, vLLM and others load."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.compress.new_folder import atomic_folder, check_new
from crushtest.compress.packed import names_by_grid, packed_tensors, quantization_config, side_by_side
from crushtest.errors import first_error_line
from crushtest.files.atomic import write_json
from crushtest.models.checkpoint import SAFETENSORS
from crushtest.models.tensor_files import TensorFiles

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.compress.kernels.grids import QuantizedWeight
    from crushtest.compress.layers.offload import OnDisk
    from crushtest.compress.record import CompressionRecord
    from crushtest.models.load import LoadedModel


def save(model: LoadedModel, record: CompressionRecord, folder: Path) -> Path:
    """Write weights, config, tokenizer and compression.json into a new folder, whole or not at all; return the folder.

    Quantized layers are stored as packed integers with scales (compressed-tensors, format `pack-quantized`), everything
    else as it is in memory, in its own dtype; LLM.int8() layers as bitsandbytes stores them. Several grids are several
    config groups, asymmetric ones among them at one bit more (`side_by_side`). Stored dequantized, as `saved` in
    compression.json says: the 4-bit floats of bitsandbytes; transformers' Conv1D (GPT-2), which compressed-tensors does
    not know; what is beside LLM.int8() layers, as a folder has one quantization config.

    CompressionError for a folder that holds something already, and where writing fails (a full disk): then nothing is
    left there.
    """
    check_new(folder)
    packed = _packed(model, record)
    with atomic_folder(folder) as partial, _without_bars():
        _write_weights(model, packed, partial)
        _write_about(model, record, partial)
    return folder


def write_from_disk(model: LoadedModel, record: CompressionRecord, blocks: OnDisk, partial: Path) -> None:
    """Write what `save` writes of a model whose blocks are on disk: a file per block, one in memory at a time.

    partial  an open folder of `atomic_folder`
    """
    packed = _packed(model, record)
    with _without_bars():
        _write_shards(model, blocks, packed, partial)
        blocks.remove_files()
        _write_about(model, record, partial)


def _packed(model: LoadedModel, record: CompressionRecord) -> Mapping[str, QuantizedWeight]:
    return side_by_side(record.quantized) if _can_pack(model, record) else {}


def _write_about(model: LoadedModel, record: CompressionRecord, partial: Path) -> None:
    """Write the tokenizer, and compression.json."""
    try:
        model.tokenizer.save_pretrained(partial)
    except OSError:
        raise
    except Exception as error:  # tokenizers raises nothing narrower, on a full disk either
        raise OSError(first_error_line(error)) from error
    config = json.loads((partial / "config.json").read_text(encoding="utf-8"))
    quantization = config.get("quantization_config") or {}
    saved = {
        "format": quantization.get("format") or quantization.get("quant_method", "dense"),
        "weights_size_bytes": sum(file.stat().st_size for file in partial.glob("*.safetensors")),
    }
    write_json(partial / "compression.json", record.to_json() | {"saved": saved})


@contextmanager
def _without_bars() -> Iterator[None]:
    """Hide the progress bar that transformers draws while it writes."""
    from transformers.utils import logging as untyped

    logging: Any = untyped

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _write_weights(model: LoadedModel, packed: Mapping[str, QuantizedWeight], partial: Path) -> None:
    network = model.network
    if not packed:
        network.save_pretrained(partial)
        eight_bits = _bitsandbytes_config(network)
        if eight_bits:
            _add_to_config(partial, eight_bits)
        return
    network.save_pretrained(partial, state_dict=_with_packed(network.state_dict(), packed))
    _add_to_config(partial, quantization_config(network, packed))


def _write_shards(model: LoadedModel, blocks: OnDisk, packed: Mapping[str, QuantizedWeight], partial: Path) -> None:
    """Write a file per block; transformers writes the first, what is outside of blocks, and the configuration."""
    from safetensors.torch import save_file
    from transformers.core_model_loading import revert_weight_conversion

    count = blocks.count + 1
    model.network.save_pretrained(partial, state_dict=blocks.rest())
    shards = [partial / f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
    (partial / SAFETENSORS).rename(shards[0])
    for path, tensors in zip(shards[1:], blocks.block_tensors(), strict=True):
        made = revert_weight_conversion(model.network, _with_packed(tensors, packed))
        # Experts are parts of one tensor, and the format takes none that share their memory.
        save_file({name: tensor.clone().contiguous() for name, tensor in made.items()}, path, metadata={"format": "pt"})
    places = {name: path.name for path in shards for name in TensorFiles([path]).names}
    size = sum(path.stat().st_size for path in shards)
    write_json(partial / f"{SAFETENSORS}.index.json", {"metadata": {"total_size": size}, "weight_map": places})
    if packed:
        _add_to_config(partial, quantization_config(model.network, packed))


def _with_packed(tensors: Mapping[str, Tensor], packed: Mapping[str, QuantizedWeight]) -> dict[str, Tensor]:
    """Return tensors by name, those of quantized layers packed."""
    made: dict[str, Tensor] = {}
    alone = len(names_by_grid(packed)) == 1
    for name, tensor in tensors.items():
        layer = name.removesuffix(".weight")
        if name != layer and layer in packed:
            made |= {f"{layer}.{part}": values for part, values in packed_tensors(packed[layer], alone=alone).items()}
        else:
            made[name] = tensor
    return made


def _add_to_config(partial: Path, quantization: dict[str, Any]) -> None:
    config = json.loads((partial / "config.json").read_text(encoding="utf-8"))
    write_json(partial / "config.json", config | {"quantization_config": quantization})


def _bitsandbytes_config(network: Any) -> dict[str, Any] | None:
    """Return what config.json says of layers that were exchanged for LLM.int8() ones; None if none was."""
    kinds = {name: type(module).__name__ for name, module in network.named_modules()}
    exchanged = [name for name, kind in kinds.items() if kind == "Linear8bitLt"]
    if not exchanged:
        return None
    return {
        "quant_method": "bitsandbytes",
        "load_in_8bit": True,
        "llm_int8_threshold": network.get_submodule(exchanged[0]).state.threshold,
        "llm_int8_skip_modules": [name for name, kind in kinds.items() if kind == "Linear"],
    }


def _can_pack(model: LoadedModel, record: CompressionRecord) -> bool:
    if record.quantized_experts or _bitsandbytes_config(model.network):
        return False
    linears = {name for name, module in model.network.named_modules() if type(module).__name__ == "Linear"}
    return record.quantized.keys() <= linears
