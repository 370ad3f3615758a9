"""Any recipe of llm-compressor: SmoothQuant, FP8, AutoRound and what else it knows.

https://github.com/vllm-project/llm-compressor (Apache-2.0), the extra `[llmcompressor]`. It fixes the versions of other
packages (0.14: transformers 5.15 to 5.17, one of compressed-tensors), so it may want an environment of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from crushtest.compress.kernels.grids import ForeignWeight
from crushtest.compress.layers.loop import Compressed, Job, as_job
from crushtest.errors import CompressionError, UsageError
from crushtest.files.strict_yaml import read_yaml
from crushtest.registry import model_method

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from crushtest.compress.recipes import Step

_SCALE_BITS = 16


def _recipe_file(path: str) -> str:
    try:
        content = read_yaml(Path(path).expanduser(), "recipe file")
    except UsageError:
        content = None
    if not isinstance(content, dict):
        raise ValueError("be a recipe file of llm-compressor: a mapping in YAML or JSON")
    return path


RecipeFile = Annotated[
    str, AfterValidator(_recipe_file), Field(description="a recipe file of llm-compressor, YAML or JSON")
]


def check_recipe_file(step: Step) -> None:
    """Raise CompressionError if llm-compressor cannot read a recipe file, finds nothing in it, or is not installed."""
    file = step.options["file"]
    with _in_its_words(file):
        from llmcompressor.recipe import Recipe

        if not Recipe.create_instance(str(Path(file).expanduser())).modifiers:
            raise ValueError("holds no modifiers (allowed: NAME_stage: {NAME_modifiers: {MODIFIER: {OPTION: VALUE}}})")


@model_method(
    "llmcompressor",
    source="github.com/vllm-project/llm-compressor",
    kind="quantization",
    needs_package="llmcompressor",
    install="crushtest[llmcompressor]",
    needs_whole_model="that package wants the whole model",
    must_be_last="its file can hold more modifiers",
    no_packed_experts="that package compresses modules, and these experts have none of their own",
    chooses_layers="its file says which layers",
    check=check_recipe_file,
)
def llmcompressor(network: PreTrainedModel | Job, batches: Tensor, *, file: RecipeFile) -> Iterator[Compressed]:
    """Hand the model and the calibration tokens to llm-compressor's `oneshot` with a recipe file of its own.

    The model stays as `oneshot` leaves it: layers whose recipe says so round weights and activations as they run. The
    file decides which layers those are, so `layers` and `skip` are refused. What is counted are the weights that a
    layer computes with, rounded or not; no output error is measured. Pruned and quantized layers are told apart by the
    quantization scheme that a layer carries afterwards, so the zeros of one that a single file both prunes and
    quantizes are counted at its bits. llm-compressor's GPTQ does not keep all zeros of a pruned model.
    """
    job = as_job(network, batches, "llmcompressor", {"file": file})
    if len(job.linears) != len(job.structure.linears):
        raise CompressionError("llmcompressor: the recipe file says which layers; leave layers and skip out")
    before = {linear.name: linear.weight.clone() for linear in job.linears}
    _oneshot(job, batches, file)
    for linear in job.linears:
        stored = _stored(linear.module)
        weight = stored.values if stored else linear.weight
        changed = int((weight != before.pop(linear.name)).count_nonzero())
        if changed or stored:
            yield Compressed(linear, changed, weight.numel() - int(weight.count_nonzero()), None, stored)


def _oneshot(job: Job, batches: Tensor, file: str) -> None:
    import torch

    with _in_its_words(file):
        from datasets import Dataset
        from llmcompressor import oneshot

        columns = {"input_ids": batches.tolist(), "attention_mask": torch.ones_like(batches).tolist()}
        oneshot(
            model=job.network,
            dataset=Dataset.from_dict(columns),
            recipe=str(Path(file).expanduser()),
            processor=job.tokenizer,
            max_seq_length=batches.shape[1],
            num_calibration_samples=len(batches),
        )


@contextmanager
def _in_its_words(file: str) -> Iterator[None]:
    """Send what llm-compressor prints to stderr, and say in one line how it fails, which it does in many ways."""
    try:
        with redirect_stdout(sys.stderr):  # its log goes to what stdout is when it is first imported
            yield
    except ModuleNotFoundError as error:
        if error.name not in ("llmcompressor", "datasets"):
            raise CompressionError(f"llm-compressor needs the package {error.name}, which is not installed") from error
        raise CompressionError("this method needs llm-compressor: pip install 'crushtest[llmcompressor]'") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CompressionError(f"llm-compressor, recipe file {file!r}: {reason}") from error


def _stored(module: Any) -> ForeignWeight | None:
    """Return the weight that a layer computes with and the room it takes; None without a quantization scheme."""
    scheme = getattr(getattr(module, "quantization_scheme", None), "weights", None)
    if scheme is None:
        return None
    from compressed_tensors.quantization import forward_quantize

    scale = getattr(module, "weight_scale", None)
    per_scale = scheme.scale_dtype.itemsize * 8 if scheme.scale_dtype else _SCALE_BITS
    per_scale += 0 if scheme.symmetric else scheme.num_bits
    rounded = forward_quantize(module, module.weight.data, "weight", scheme)
    return ForeignWeight(rounded, scheme.num_bits, per_scale * (scale.numel() if scale is not None else 0))
