"""The one layer loop: block after block, collect, compress, run again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crushtest.compress.kernels.grids import ForeignWeight, QuantizedWeight
from crushtest.compress.kernels.statistics import WeightGradient, is_finite
from crushtest.compress.layers.activations import Stream
from crushtest.compress.layers.collect import INPUT_STATISTICS, BlockInputs, InputStatistic, collect_gradients, naming
from crushtest.compress.layers.offload import InPlace, Residence
from crushtest.compress.layers.structure import Linear, Structure, find_structure
from crushtest.errors import CompressionError
from crushtest.registry import METHODS, AboutMethod, Entry

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Progress = Callable[[str, int, int], None]
"""(what is being done, how much of it is done, how much there is)"""


@dataclass(frozen=True)
class Job:
    """One step on one model: the method, its options, the layers it is for, and the calibration tokens.

    `sparsities` are those that layers have of their own, by name; `tokenizer` is for other packages that ask for one;
    `residence` is where the weights are.
    """

    network: PreTrainedModel
    structure: Structure
    linears: tuple[Linear, ...]
    entry: Entry[AboutMethod]
    options: Mapping[str, Any]
    tokens: Tensor
    report: Progress
    residence: Residence
    sparsities: Mapping[str, float] = field(default_factory=dict)
    tokenizer: Any = None

    def options_for(self, linear: Linear) -> dict[str, Any]:
        """Return the options for one layer, its own sparsity among them if it has one."""
        own = {"sparsity": self.sparsities[linear.name]} if linear.name in self.sparsities else {}
        return dict(self.options) | own

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the statistics that the method's signature asks for, after the weight."""
        return tuple(self.entry.needs.values())[1:]


def as_job(network: PreTrainedModel | Job, tokens: Tensor, method: str, options: Mapping[str, Any]) -> Job:
    """Return a job on all linear layers of a network; a job as it is."""
    if isinstance(network, Job):
        return network
    structure = find_structure(network)
    return Job(
        network, structure, structure.linears, METHODS.get(method), options, tokens, lambda *_: None, InPlace(network)
    )


@dataclass(frozen=True)
class Compressed:
    """A layer after a step: what changed, and the integers and scales where it was quantized.

    `rescaled` names a module outside the layer that was changed with it (AWQ folds scales into the norm before);
    `tokens` says how many calibration tokens were routed to an expert, `pooled` whether they were too few.
    """

    linear: Linear
    changed: int
    zeros: int
    output_error: float | None
    quantized: QuantizedWeight | ForeignWeight | None = field(repr=False)
    rescaled: str | None = None
    tokens: int | None = None
    pooled: bool = False


@dataclass(frozen=True)
class Block:
    """One block in its turn: its layers, what they were given, and the stream that leads into it."""

    number: int
    linears: tuple[Linear, ...]
    inputs: BlockInputs
    stream: Stream


def compress_layers(job: Job) -> Iterator[Compressed]:
    """Compress every layer by itself, as `compress_blocks` goes: what a method of one weight asks for."""
    gradients = _gradients(job)
    kinds = [INPUT_STATISTICS[need] for need in job.needs if need in INPUT_STATISTICS]

    def each_by_itself(block: Block) -> Iterator[Compressed]:
        for linear in block.linears:
            with naming(linear.name):
                yield _compress(job, linear, block.inputs, gradients)

    return compress_blocks(job, kinds, each_by_itself)


def compress_blocks(
    job: Job, kinds: Sequence[type[InputStatistic]], compress_block: Callable[[Block], Iterable[Compressed]]
) -> Iterator[Compressed]:
    """Compress the layers of every block in place, in order, yielding each when it is done.

    All layers of a block see statistics of the block's inputs with its own weights still dense and all earlier blocks
    compressed; then the block is run again, so that the next one sees compressed activations. Blocks with nothing to
    compress are run once. The cost is two forward passes over the calibration tokens, less the last matrix product of
    each block's first pass, and the method's own work.
    """
    import torch

    last = max(linear.block for linear in job.linears)
    with torch.no_grad():
        stream = Stream(job.network, job.structure.blocks, job.tokens, job.residence)
        for number in range(last + 1):
            linears = tuple(linear for linear in job.linears if linear.block == number)
            with job.residence.update(number) if linears else job.residence.load(number):
                if linears:
                    _need_finite_weights(linears)
                    inputs = BlockInputs(linears, kinds, job.tokens.numel())
                    inputs.watch(stream, number)
                    yield from compress_block(Block(number, linears, inputs, stream))
                if number < last:
                    stream.advance(number)
            job.report("compressing blocks", number + 1, last + 1)


def _gradients(job: Job) -> dict[str, WeightGradient]:
    if "WeightGradient" not in job.needs:
        return {}

    def report(done: int) -> None:
        job.report("gradients of sequences", done, len(job.tokens))

    _need_finite_weights(job.linears)
    return collect_gradients(job.network, job.linears, job.tokens, job.options["gradient_norm"], report)


def _need_finite_weights(linears: Iterable[Linear]) -> None:
    """Raise CompressionError that names the layer; otherwise its outputs break later layers, and those are blamed."""
    for linear in linears:
        if not is_finite(linear.weight):
            raise CompressionError(f"{linear.name}: the weight holds NaN or infinity")


def _compress(job: Job, linear: Linear, inputs: BlockInputs, gradients: dict[str, WeightGradient]) -> Compressed:
    """Compress one layer in place."""
    before = linear.weight
    asked = [
        gradients.pop(linear.name) if need == "WeightGradient" else inputs.statistic(linear, INPUT_STATISTICS[need])
        for need in job.needs
    ]
    made = inspect.unwrap(job.entry.function)(before, *asked, **job.options_for(linear))
    after = made.dequantize() if isinstance(made, QuantizedWeight | ForeignWeight) else made
    if not is_finite(after):
        raise CompressionError(f"method {job.entry.name!r} made NaN or infinity of it")
    result = measure(linear, before, made, inputs.sample(linear))
    linear.replace_weight(after)
    pooled = bool(job.needs) and inputs.is_pooled(linear)
    return replace(result, tokens=inputs.routed_tokens(linear), pooled=pooled)


def measure(
    linear: Linear, before: Tensor, made: Tensor | QuantizedWeight | ForeignWeight, sample: Tensor
) -> Compressed:
    """Compare what a method made of a layer's weight with the weight before, on a sample of inputs."""
    after = made.dequantize() if isinstance(made, QuantizedWeight | ForeignWeight) else made
    return Compressed(
        linear,
        changed=int((after != before).count_nonzero()),
        zeros=after.numel() - int(after.count_nonzero()),
        output_error=output_error(before, after, sample),
        quantized=made if isinstance(made, QuantizedWeight | ForeignWeight) else None,
    )


def output_error(before: Tensor, after: Tensor, inputs: Tensor) -> float | None:
    """Return |X (W - W')^T| / |X W^T| (Frobenius) for inputs X [tokens, in_features]; None if X W^T is 0."""
    rows = inputs.float()
    reference = rows @ before.float().T
    error = float((reference - rows @ after.float().T).norm())
    size = float(reference.norm())
    return error / size if size > 0 else None
