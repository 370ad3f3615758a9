"""The one layer loop: block after block, collect, compress, run again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crushtest.compress.collect import INPUT_STATISTICS, BlockInputs, collect_gradients, naming
from crushtest.compress.grids import QuantizedWeight
from crushtest.compress.statistics import WeightGradient, is_finite
from crushtest.compress.stream import Stream
from crushtest.compress.structure import Linear, Structure
from crushtest.errors import CompressionError
from crushtest.registry import Entry

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Progress = Callable[[str, int, int], None]
"""(what is being done, how much of it is done, how much there is)"""


@dataclass(frozen=True)
class Job:
    """One step on one model: the method, its options, the layers it is for, and the calibration tokens.

    `sparsities` are those that layers have of their own, by name.
    """

    network: PreTrainedModel
    structure: Structure
    linears: tuple[Linear, ...]
    entry: Entry
    options: Mapping[str, Any]
    tokens: Tensor
    report: Progress
    sparsities: Mapping[str, float] = field(default_factory=dict)

    def options_for(self, linear: Linear) -> dict[str, Any]:
        """The options for one layer: a sparsity of its own, where it has one."""
        own = {"sparsity": self.sparsities[linear.name]} if linear.name in self.sparsities else {}
        return dict(self.options) | own

    @property
    def needs(self) -> tuple[str, ...]:
        """The statistics that the method's signature asks for, after the weight."""
        return tuple(self.entry.needs.values())[1:]


@dataclass(frozen=True)
class Compressed:
    """A layer after a step: what changed, and the integers and scales where it was quantized."""

    linear: Linear
    changed: int
    zeros: int
    output_error: float | None
    quantized: QuantizedWeight | None = field(repr=False)


def compress_layers(job: Job) -> Iterator[Compressed]:
    """Compress the layers of every block in place, in order, yielding each when it is done.

    All layers of a block see statistics of the block's inputs with its own weights still dense and all earlier blocks
    compressed; then the block is run again, so that the next one sees compressed activations. Blocks with nothing to
    compress are run once. The cost is two forward passes over the calibration tokens, less the last matrix product of
    each block's first pass, and the method's own work.
    """
    import torch

    gradients = _gradients(job)
    statistic = next((INPUT_STATISTICS[need] for need in job.needs if need in INPUT_STATISTICS), None)
    last = max(linear.block for linear in job.linears)
    with torch.no_grad():
        stream = Stream(job.network, job.structure.blocks, job.tokens)
        for number in range(last + 1):
            linears = [linear for linear in job.linears if linear.block == number]
            if linears:
                inputs = BlockInputs(linears, statistic, job.tokens.numel())
                inputs.watch(stream, number)
                for linear in linears:
                    with naming(linear.name):
                        yield _compress(job, linear, inputs, gradients)
            if number < last:
                stream.advance(number)
            job.report("compressing blocks", number + 1, last + 1)


def _gradients(job: Job) -> dict[str, WeightGradient]:
    if "WeightGradient" not in job.needs:
        return {}

    def report(done: int) -> None:
        job.report("gradients of sequences", done, len(job.tokens))

    return collect_gradients(job.network, job.linears, job.tokens, job.options["gradient_norm"], report)


def _compress(job: Job, linear: Linear, inputs: BlockInputs, gradients: dict[str, WeightGradient]) -> Compressed:
    """Compress one layer in place."""
    before = linear.weight
    if not is_finite(before):
        raise CompressionError("the weight holds NaN or infinity")
    asked = [gradients.pop(linear.name) if need == "WeightGradient" else inputs.statistic(linear) for need in job.needs]
    made = inspect.unwrap(job.entry.function)(before, *asked, **job.options_for(linear))
    after = made.dequantize() if isinstance(made, QuantizedWeight) else made
    if not is_finite(after):
        raise CompressionError(f"method {job.entry.name!r} made NaN or infinity of it")
    result = Compressed(
        linear,
        changed=int((after != before).count_nonzero()),
        zeros=after.numel() - int(after.count_nonzero()),
        output_error=output_error(before, after, inputs.sample(linear)),
        quantized=made if isinstance(made, QuantizedWeight) else None,
    )
    linear.replace_weight(after)
    return result


def output_error(before: Tensor, after: Tensor, inputs: Tensor) -> float | None:
    """|X (W - W')^T| / |X W^T|, Frobenius norms, for inputs X [tokens, in_features]; None where X W^T is 0."""
    rows = inputs.float()
    reference = rows @ before.float().T
    error = float((reference - rows @ after.float().T).norm())
    size = float(reference.norm())
    return error / size if size > 0 else None
