"""Any recipe of llm-compressor: SmoothQuant, FP8, AutoRound and what else it knows.

https://github.com/vllm-project/llm-compressor (Apache-2.0), the extra `[llmcompressor]`. It pins older versions of
transformers than crushtest needs at least, so it may want an environment of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from crushtest.compress.grids import ForeignWeight
from crushtest.compress.layerwise import Compressed, Job, as_job
from crushtest.errors import CompressionError
from crushtest.registry import model_method

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from crushtest.compress.structure import Linear

_SCALE_BITS = 16


def _existing(path: str) -> str:
    if not Path(path).expanduser().is_file():
        raise ValueError("be a recipe file of llm-compressor")
    return path


RecipeFile = Annotated[str, AfterValidator(_existing)]


@model_method("llmcompressor", source="github.com/vllm-project/llm-compressor", kind="quantization")
def llmcompressor(network: PreTrainedModel | Job, batches: Tensor, *, file: RecipeFile) -> Iterator[Compressed]:
    """Hand the model and the calibration tokens to llm-compressor's `oneshot` with a recipe file of its own.

    The model stays as `oneshot` leaves it: layers whose recipe says so round weights and activations as they run. The
    file decides which layers those are, so `layers` and `skip` are refused. No output error is measured. Pruned and
    quantized layers are told apart by the quantization scheme that a layer carries afterwards.
    """
    job = as_job(network, batches, "llmcompressor", {"file": file})
    if len(job.linears) != len(job.structure.linears):
        raise CompressionError("llmcompressor: the recipe file says which layers; leave layers and skip out")
    before = {linear.name: linear.weight.clone() for linear in job.linears}
    _oneshot(job, batches, file)
    for linear in job.linears:
        weight = linear.weight
        scheme = getattr(getattr(linear.module, "quantization_scheme", None), "weights", None)
        changed = int((weight != before.pop(linear.name)).count_nonzero())
        if changed or scheme is not None:
            zeros = weight.numel() - int(weight.count_nonzero())
            yield Compressed(linear, max(changed, int(scheme is not None)), zeros, None, _stored(linear, scheme))


def _oneshot(job: Job, batches: Tensor, file: str) -> None:
    import torch

    try:
        from datasets import Dataset
        from llmcompressor import oneshot
    except ImportError:
        raise CompressionError("this method needs llm-compressor: pip install 'crushtest[llmcompressor]'") from None
    columns = {"input_ids": batches.tolist(), "attention_mask": torch.ones_like(batches).tolist()}
    oneshot(
        model=job.network,
        dataset=Dataset.from_dict(columns),
        recipe=str(Path(file).expanduser()),
        processor=job.tokenizer,
        max_seq_length=batches.shape[1],
        num_calibration_samples=len(batches),
    )


def _stored(linear: Linear, scheme: Any) -> ForeignWeight | None:
    """What a layer's scheme stores: its bits, and 16 for every scale; None for a layer that was only pruned."""
    if scheme is None:
        return None
    scale: Any = getattr(linear.module, "weight_scale", None)
    return ForeignWeight(linear.weight, scheme.num_bits, _SCALE_BITS * (scale.numel() if scale is not None else 0))
