"""The parts of a model that a mix gives options of their own: blocks or single layers, and the recipe of a mix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Literal, NamedTuple

from crushtest.compress.checks import check_options
from crushtest.compress.kernels.parameters import parse_pattern
from crushtest.compress.layers.loop import Job
from crushtest.compress.layers.offload import InPlace
from crushtest.compress.layers.structure import Linear, Structure
from crushtest.compress.recipes import Recipe, Step, parse_recipes
from crushtest.compress.record import DENSE_BITS, Storage
from crushtest.compress.run import carry_out, silent
from crushtest.errors import UsageError
from crushtest.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.compress.calibration import CalibrationTokens
    from crushtest.models.load import LoadedModel

Grain = Literal["block", "linear"]
LEAVE = "dense"
"""The option that leaves a part as it is."""


@dataclass(frozen=True)
class Part:
    """Linear layers of one block that are compressed alike.

    name     as it ends the layers' names: `layers.3`, or `layers.3.mlp.up_proj`
    pattern  the pattern of a recipe that its layers fit, and no others
    """

    name: str
    pattern: str
    block: int
    linears: tuple[Linear, ...]

    @property
    def weights(self) -> int:
        """Return how many weights it has."""
        return sum(linear.weight.numel() for linear in self.linears)

    @property
    def dense_bits(self) -> int:
        """Return the bits that it takes as it is."""
        return self.weights * DENSE_BITS


def parts_of(structure: Structure, grain: Grain) -> tuple[Part, ...]:
    """Return a decoder's parts in order: its blocks, or every linear layer by itself."""
    blocks: dict[int, list[Linear]] = {}
    for linear in structure.linears:
        blocks.setdefault(linear.block, []).append(linear)
    parts: list[Part] = []
    for number, linears in sorted(blocks.items()):
        prefix = linears[0].prefix
        name = ".".join(prefix.split(".")[-2:])
        if grain == "block":
            parts.append(Part(name, f"{name}.*", number, tuple(linears)))
            continue
        for linear in linears:
            own = name + linear.name.removeprefix(prefix)
            parts.append(Part(own, own, number, (linear,)))
    return tuple(parts)


def read_options(texts: Sequence[str]) -> tuple[Recipe, ...]:
    """Return the options that parts are tried with: what the texts expand into, recipes of one step for any layers.

    Raises UsageError for a recipe of several steps, with patterns of its own, or of a method that is not for some of a
    model's layers alone.
    """
    options = [recipe for text in texts for recipe in parse_recipes(text)]
    for recipe in options:
        (step, *more), where = recipe.steps, f"option {recipe.text!r}"
        about = METHODS.get(step.method).about
        if more:
            raise UsageError(f"{where}: a part is compressed in one step (got {len(recipe.steps)})")
        if step.layers or step.skip:
            raise UsageError(f"{where}: the search chooses the layers; leave layers and skip out")
        if about.replaces_layers or about.chooses_layers or about.must_be_last or step.options.get("scope") == "global":
            raise UsageError(f"{where}: it cannot be mixed with others in one model; use another method")
        check_options(step)
    texts_found = [recipe.text for recipe in options]
    if len(options) < 2 or len(set(texts_found)) < len(options):
        raise UsageError(f"options: two or more different ones are needed (got {', '.join(texts_found) or 'none'})")
    return tuple(options)


class Changed(NamedTuple):
    """A part that is compressed: the bits that it takes, and how much its weights changed.

    change   root mean square of the changes, as a share of that of the weights
    """

    bits: int
    change: float


@contextmanager
def compressed_part(
    model: LoadedModel, structure: Structure, part: Part, step: Step, calibration: CalibrationTokens
) -> Iterator[Changed]:
    """Compress one part of a dense model by one step until the `with` ends; yield what it takes and how it changed.

    The inputs that a method looks at are dense's own. A method that looks at none is given few.
    Raises CompressionError as `compress` does.
    """
    network, entry = model.network, METHODS.get(step.method)
    block = structure.blocks[part.block]
    before = {name: parameter.detach().clone() for name, parameter in block.named_parameters()}
    whole = sum(_squares(linear.weight) for linear in part.linears)
    ids = calibration.ids if len(entry.needs) > 1 or entry.about.scope == "model" else calibration.ids[:1, :8]
    job = Job(
        network, structure, part.linears, entry, step.options, ids, silent, InPlace(network), tokenizer=model.tokenizer
    )
    try:
        pattern, bits = parse_pattern(step.options.get("pattern", "unstructured")), 0
        for result in carry_out(job):
            weights = result.linear.weight.numel()
            storage = Storage(weights, kept=weights)
            storage.enter(result.zeros, result.quantized, pattern)
            bits += storage.stored_bits
        moved = sum(_squares(parameter - before[name]) for name, parameter in block.named_parameters())
        yield Changed(bits, sqrt(moved / whole) if whole else 0.0)
    finally:
        for name, parameter in block.named_parameters():
            parameter.data.copy_(before[name])


def _squares(values: Tensor) -> float:
    return float(values.detach().float().square().sum())


def recipe_of(parts: Sequence[Part], options: Sequence[Recipe], chosen: Sequence[int]) -> str:
    """Return the recipe of a mix, a step per option with the patterns of its parts; empty if all parts stay dense.

    chosen  [parts] the index of each part's option; `len(options)` leaves it dense

    Steps that prune come first: what they leave is not on a grid, and a recipe quantizes last.
    """
    steps: list[tuple[bool, int, str]] = []
    for number, option in enumerate(options):
        patterns = [part.pattern for part, index in zip(parts, chosen, strict=True) if index == number]
        if len(patterns) == len(parts):
            return option.text
        if patterns:
            separator = "," if ":" in option.text else ":"
            steps.append((not option.prunes, number, f"{option.text}{separator}layers={','.join(patterns)}"))
    return "+".join(text for _, _, text in sorted(steps))
