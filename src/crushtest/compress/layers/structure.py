"""A decoder's parts, found by structure: its blocks, their linear layers, and what is left alone and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from crushtest.compress.layers.activations import FOREIGN_FAILURES
from crushtest.compress.layers.experts import Packed, find_packed, is_router
from crushtest.compress.layers.usage import unused_parts
from crushtest.errors import ModelError, UnknownName

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Linear as TorchLinear
    from torch.nn import Module

    from crushtest.compress.recipes import Step


@dataclass(frozen=True)
class Linear:
    """One linear layer: its full name, its module, and the number of its block.

    packed, expert  for an expert that lies in a tensor with others: that tensor, and which of them it is
    """

    name: str
    module: Module
    block: int
    packed: Packed | None = None
    expert: int = 0

    @property
    def weight(self) -> Tensor:
        """Return the weight as [out_features, in_features], whichever way round the module keeps it."""
        if self.packed:
            return self.packed.weight(self.expert)
        weight: Any = self.module.weight
        return self.oriented(weight.data)

    def replace_weight(self, value: Tensor) -> None:
        """Overwrite the weight in place with `value` [out_features, in_features]."""
        self.weight.copy_(value)

    @property
    def parameter(self) -> Any:
        """Return the parameter that holds the weight: alone, or with those of other experts."""
        return getattr(self.module, self.packed.parameter) if self.packed else self.module.weight

    @property
    def prefix(self) -> str:
        """Return the name of its block."""
        parts = self.name.split(".")
        return ".".join(parts[: parts.index(str(self.block)) + 1])

    @property
    def is_plain(self) -> bool:
        """Say whether the module is torch's own linear layer, which keeps its weight as [out, in]."""
        from torch.nn import Linear as TorchLinear

        return not self.packed and type(self.module) is TorchLinear

    @property
    def makes_scores(self) -> bool:
        """Say whether it makes the queries or keys of attention, as far as its name tells."""
        return any(sign in self.name.rpartition(".")[2] for sign in ("q_", "k_", "qkv", "query", "key", "c_attn"))

    def oriented(self, tensor: Tensor) -> Tensor:
        """Turn a tensor of the parameter's size from the module's way round to [out, in], or back."""
        return tensor.T if _keeps_transposed(self.module) else tensor

    def part_of(self, whole: Tensor) -> Tensor:
        """Return what belongs to this layer of a tensor as large as its parameter, as [out, in]."""
        return self.packed.part(whole, self.expert) if self.packed else self.oriented(whole)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (out_features, in_features)."""
        rows, columns = self.weight.shape
        return rows, columns


@dataclass(frozen=True)
class Structure:
    """A decoder: its blocks in order, and the linear layers in them that it uses.

    routers  the names of modules that route to experts
    unused   the names of parts of blocks that never run
    """

    blocks: tuple[Module, ...]
    linears: tuple[Linear, ...]
    routers: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()

    @property
    def experts(self) -> tuple[Linear, ...]:
        """Return the linear layers that lie in tensors with others."""
        return tuple(linear for linear in self.linears if linear.packed)

    def select(self, step: Step) -> tuple[Linear, ...]:
        """Return the layers that a step's `layers` and `skip` patterns leave; UnknownName if a pattern fits none.

        A pattern is a glob that must fit the whole name or its last parts: `q_proj`, `layers.0.*`, `*mlp*`.
        """
        for pattern in (*step.layers, *step.skip):
            if not any(_fits(linear.name, pattern) for linear in self.linears):
                parts = {part for linear in self.linears for part in linear.name.split(".") if not part.isdecimal()}
                also = ", or a glob pattern such as layers.0.* or *mlp*"
                raise UnknownName("layer", pattern, parts, where=f"method {step.method!r}", also=also)
        return tuple(
            linear
            for linear in self.linears
            if (not step.layers or any(_fits(linear.name, pattern) for pattern in step.layers))
            and not any(_fits(linear.name, pattern) for pattern in step.skip)
        )


@dataclass(frozen=True)
class Untouched:
    """Parameters that compression leaves alone: the modules they are in (numbers written as *), and the reason."""

    modules: str
    count: int
    parameters: int
    reason: str


def find_structure(network: Module) -> Structure:
    """Return the blocks of a decoder and their linear layers. ModelError says what kind of model is not supported."""
    from torch.nn import ModuleList

    config = getattr(network, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError("compression needs a decoder-only model; this one has an encoder")
    lists = [
        (name, module) for name, module in network.named_modules() if isinstance(module, ModuleList) and len(module)
    ]
    sizes = {name: _linear_weights(module) for name, module in lists}
    if not any(sizes.values()):
        raise ModelError("this model has no linear layers in a list of blocks; there is nothing to compress")
    prefix, blocks = max(lists, key=lambda entry: sizes[entry[0]])  # of equals the first, which is the outermost
    packed = find_packed(network, blocks)
    linears: list[Linear] = []
    routers: set[str] = set()
    for number, block in enumerate(blocks):
        own = _routers(block, packed)
        routers |= {f"{prefix}.{number}.{name}" for name in own}
        for path, module in block.named_modules():
            name = f"{prefix}.{number}.{path}"
            if is_linear(module) and path not in own:
                linears.append(Linear(name, module, number))
            linears += [linear for part in packed if part.module is module for linear in _experts(name, part, number)]
    named = {f"{prefix}.{number}": block for number, block in enumerate(blocks)}
    unused = unused_parts(network, named, [linear.name for linear in linears if not linear.packed])
    running = tuple(linear for linear in linears if not _is_within(linear.name, unused))
    return Structure(tuple(blocks), running, frozenset(routers), unused)


def refuse_quantized(network_or_config: Any) -> None:
    """Raise ModelError for a model whose weights are quantized already."""
    config = getattr(network_or_config, "config", network_or_config)
    quantization = getattr(config, "quantization_config", None) or getattr(config, "quantization", None)  # MLX
    if quantization is None:
        return
    settings = quantization if isinstance(quantization, dict) else vars(quantization)
    raise ModelError(
        f"this model is quantized already ({settings.get('quant_method', 'method not named')}): "
        "evaluate it as it is, or compress the dense model that it was made from"
    )


def is_linear(module: Module) -> bool:
    """Say whether this is a plain linear layer; so is transformers' Conv1D, which keeps its weight transposed."""
    from torch.nn import Linear as TorchLinear

    if type(module) is TorchLinear or _keeps_transposed(module):
        return True
    return isinstance(module, TorchLinear) and _acts_as_linear(module)


def find_untouched(network: Module, touched: tuple[Linear, ...], structure: Structure) -> list[Untouched]:
    """Return every parameter that is not a touched weight, gathered by module and reason."""
    ours = {linear.name for linear in touched if not linear.packed}
    skipped = {linear.name for linear in structure.linears} - {linear.name for linear in touched}
    packed = {id(linear.parameter): 0 for linear in structure.experts}
    for linear in touched:
        if linear.packed:
            packed[id(linear.parameter)] += linear.weight.numel()
    seen: dict[int, str] = {}
    gathered: dict[tuple[str, str], list[int]] = {}
    for name, module in network.named_modules():
        for parameter_name, parameter in module.named_parameters(recurse=False):
            if name in ours and parameter_name != "bias":  # its weight, and scales that came with it
                continue
            size = parameter.numel() - packed.get(id(parameter), 0)
            if not size:
                continue
            reason = _reason(module, parameter_name, name in skipped, seen.get(id(parameter)))
            if id(parameter) in packed:
                reason = "left out by the recipe"
            elif name in structure.routers and reason != "bias":
                reason = "router, left dense"
            elif _is_within(name, structure.unused):
                reason = "never used: the model has no encoder to attend to"
            place = (re.sub(r"\d+", "*", name or type(module).__name__), reason)
            gathered.setdefault(place, []).append(0 if id(parameter) in seen else size)
            seen.setdefault(id(parameter), name)
    return [Untouched(name, len(sizes), sum(sizes), reason) for (name, reason), sizes in gathered.items()]


def _reason(module: Module, parameter: str, is_skipped: bool, tied_to: str | None) -> str:
    from torch.nn import Embedding

    if tied_to is not None:
        return f"tied: the same tensor as {tied_to}"
    if isinstance(module, Embedding):
        return "embedding"
    if is_skipped and parameter == "weight":
        return "left out by the recipe"
    if parameter.endswith("bias"):  # those of experts are `gate_up_proj_bias`
        return "bias"
    if is_linear(module):
        return "linear layer outside the blocks (output layer)"
    return "normalisation" if "norm" in type(module).__name__.lower() else "not a linear layer"


def _linear_weights(module: Module) -> int:
    weights: list[Any] = [part.weight for part in module.modules() if is_linear(part)]
    return sum(weight.numel() for weight in weights)


def _experts(name: str, part: Packed, number: int) -> list[Linear]:
    """Return the layers in a packed tensor, named as modules of their own would be."""
    last = "" if part.parameter == "weight" else f".{part.parameter}"
    return [Linear(f"{name}.{expert}{last}", part.module, number, part, expert) for expert in range(part.count)]


def _routers(block: Module, packed: list[Packed]) -> set[str]:
    """Return the names, within a block, of the modules that route to its experts; in one tensor or a module each."""
    from torch.nn import ModuleList

    parts = list(block.named_modules())
    inside = {id(module) for _, module in parts}
    counts = {part.count for part in packed if id(part.module) in inside}
    counts |= {len(part) for name, part in parts if isinstance(part, ModuleList) and name.endswith("experts")}
    return {
        name
        for name, module in parts
        if counts and any(is_router(name, parameter, counts) for parameter in module.parameters(recurse=False))
    }


def _is_within(name: str, parts: Iterable[str]) -> bool:
    """Say whether a module is one of these parts, or in one."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def _keeps_transposed(module: Module) -> bool:
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


def _acts_as_linear(module: TorchLinear) -> bool:
    """Say whether a model's own kind of linear layer multiplies with its weight and does no more."""
    import torch
    from torch.nn.functional import linear

    kind = type(module)
    if not kind.__module__.startswith("transformers"):  # also where a model's own code is; not another package's
        return False
    numbers = torch.arange(25, dtype=torch.float32, device="cpu").sin()
    stand_in = kind.__new__(kind)
    stand_in.__dict__ = module.__dict__ | {"_parameters": {"weight": numbers[:15].view(3, 5), "bias": None}}
    inputs = numbers[15:].view(2, 5)
    try:
        made = stand_in.forward(inputs)
    except FOREIGN_FAILURES:
        return False
    return isinstance(made, torch.Tensor) and torch.allclose(made, linear(inputs, stand_in.weight))


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")
