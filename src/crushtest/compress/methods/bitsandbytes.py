"""The number formats of bitsandbytes: LLM.int8(), and the 4-bit floats NF4 and FP4.

Tim Dettmers, Mike Lewis, Younes Belkada, Luke Zettlemoyer: LLM.int8(): 8-bit Matrix Multiplication for Transformers at
Scale. NeurIPS 2022. https://arxiv.org/abs/2208.07339
Tim Dettmers, Artidoro Pagnoni, Ari Holtzman, Luke Zettlemoyer: QLoRA: Efficient Finetuning of Quantized LLMs. NeurIPS
2023. https://arxiv.org/abs/2305.14314

The numbers are those of the package itself (extra `[bitsandbytes]`), which runs on CPUs too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from crushtest.compress.kernels.grids import ForeignWeight, dequantized
from crushtest.compress.layers.collect import naming
from crushtest.compress.layers.loop import Block, Compressed, Job, as_job, compress_blocks, measure
from crushtest.errors import CompressionError
from crushtest.registry import method, model_method

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from crushtest.compress.layers.structure import Linear

_NESTED_BLOCK = 256  # scales that share one scale of their own, under double quantization


def _scale_block(size: int) -> int:
    if size not in (64, 128, 256, 512, 1024, 2048, 4096):
        raise ValueError("be a power of two from 64 to 4096")
    return size


ScaleBlock = Annotated[int, AfterValidator(_scale_block)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@method(
    "nf4",
    source="arXiv:2305.14314",
    kind="quantization",
    stores="floats",
    needs_package="bitsandbytes",
    install="crushtest[bitsandbytes]",
)
@dequantized
def nf4(weight: Tensor, *, double_quantization: bool = True, scale_block: ScaleBlock = 64) -> ForeignWeight:
    """Round to the 16 values of NormalFloat, with a scale for every `scale_block` weights (section 3)."""
    return _four_bits(weight, "nf4", double_quantization, scale_block)


@method(
    "fp4",
    source="arXiv:2305.14314",
    kind="quantization",
    stores="floats",
    needs_package="bitsandbytes",
    install="crushtest[bitsandbytes]",
)
@dequantized
def fp4(weight: Tensor, *, double_quantization: bool = True, scale_block: ScaleBlock = 64) -> ForeignWeight:
    """Round to the 16 values of a 4-bit float, with a scale for every `scale_block` weights."""
    return _four_bits(weight, "fp4", double_quantization, scale_block)


@model_method(
    "int8",
    source="arXiv:2208.07339",
    kind="quantization",
    calibrates=False,
    needs_package="bitsandbytes",
    install="crushtest[bitsandbytes]",
    needs_whole_model="it exchanges layers for ones of another kind",
    no_packed_experts="it exchanges modules, and these experts have none of their own",
    replaces_layers=True,
)
def int8(network: PreTrainedModel | Job, batches: Tensor, *, threshold: Threshold = 6.0) -> Iterator[Compressed]:
    """Replace linear layers by LLM.int8(): 8-bit weights and activations, but for the outlier features of a batch.

    An input feature with a magnitude above `threshold` anywhere in a batch is multiplied in 16 bits (0: none is). The
    activations are rounded too, so the layers themselves are exchanged (bitsandbytes' Linear8bitLt), and what a text
    gets can depend on what it is batched with. A generator: the model changes as it runs.
    """
    job = as_job(network, batches, "int8", {"threshold": threshold})

    def compress_block(block: Block) -> Iterator[Compressed]:
        for linear in block.linears:
            with naming(linear.name):
                exchanged = _exchange(job, block, linear, threshold)
            yield exchanged

    return compress_blocks(job, (), compress_block)


def _four_bits(weight: Tensor, kind: str, nested: bool, scale_block: int) -> ForeignWeight:
    functional = _package().functional
    codes, state = functional.quantize_4bit(
        weight.contiguous(), blocksize=scale_block, compress_statistics=nested, quant_type=kind
    )
    scales = -(-weight.numel() // scale_block)
    overhead = scales * 8 + -(-scales // _NESTED_BLOCK) * 32 + 32 if nested else scales * 32
    return ForeignWeight(functional.dequantize_4bit(codes, state).to(weight.dtype), 4, overhead)


def _exchange(job: Job, block: Block, linear: Linear, threshold: float) -> Compressed:
    """Put an 8-bit layer in the place of a linear layer; measured with its activations rounded as well."""
    package = _package()
    if not linear.is_plain:
        raise CompressionError("int8 works on torch.nn.Linear only")
    old: Any = linear.module
    rows, columns = linear.shape
    new: Any = package.nn.Linear8bitLt(
        columns, rows, bias=old.bias is not None, has_fp16_weights=False, threshold=threshold, device=old.weight.device
    )
    new.weight = package.nn.Int8Params(old.weight.data.clone(), requires_grad=False, has_fp16_weights=False)
    new.bias = old.bias
    new = new.to(old.weight.device).eval()
    codes, scale, _ = package.functional.int8_vectorwise_quant(old.weight.data.half())
    made = ForeignWeight((codes.float() * scale.unsqueeze(1) / 127).to(old.weight.dtype), 8, 32 * rows)
    sample = block.inputs.sample(linear)
    reference = old(sample) if old.bias is None else old(sample) - old.bias
    given = new(sample) if old.bias is None else new(sample) - old.bias
    result = measure(linear, old.weight.data, made, sample)
    parent, _, name = linear.name.rpartition(".")
    setattr(job.network.get_submodule(parent), name, new)
    size = float(reference.float().norm())
    error = float((given - reference).float().norm()) / size if size > 0 else None
    return Compressed(**vars(result) | {"output_error": error})


def _package() -> Any:
    try:
        import bitsandbytes
    except ImportError:
        raise CompressionError(
            "this method needs the package bitsandbytes: pip install 'crushtest[bitsandbytes]'"
        ) from None
    return bitsandbytes
