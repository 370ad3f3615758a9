"""Where the weights of a model are while it is compressed: all in memory, or one block at a time."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from crushtest.compress.layers.quantized_files import QuantizedFiles
from crushtest.compress.layers.structure import Structure
from crushtest.errors import ModelError, UnknownName, UsageError
from crushtest.models.tensor_files import TensorFiles
from crushtest.registry import METHODS

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

    from crushtest.compress.kernels.grids import QuantizedWeight
    from crushtest.compress.recipes import Recipe
    from crushtest.models.load import LoadedModel

OFFLOADS = ("none", "cpu", "disk")


class Residence(Protocol):
    """What the layer loop asks of the place where weights are.

    device      where blocks are run
    keeps_all   whether everything stays on that device, activations included
    """

    device: torch.device
    keeps_all: bool

    def load(self, number: int) -> AbstractContextManager[None]:
        """Hold block `number` on the device for the length of a `with`, to be run but not changed."""
        ...

    def update(self, number: int) -> AbstractContextManager[None]:
        """Hold a block on the device whose weights are changed; keep what they are at the end."""
        ...

    def quantized_store(self) -> MutableMapping[str, QuantizedWeight]:
        """Return a place for the integers and scales of quantized layers."""
        ...


class InPlace:
    """Everything where the network is: on a device, or spread over several."""

    keeps_all = True

    def __init__(self, network: PreTrainedModel) -> None:
        """Raise ModelError for a network whose weights wait elsewhere until a layer runs: they cannot be changed."""
        waiting = [name for name, parameter in network.named_parameters() if parameter.is_meta]
        if waiting and getattr(network, "hf_device_map", None):
            raise ModelError(
                f"{len(waiting)} weights wait outside of the devices, first {waiting[0]}, and cannot be compressed "
                "there; `crushtest compress --offload disk` compresses what does not fit, into a folder that a study "
                "tests with --arm"
            )
        self.device = next(network.parameters()).device

    def load(self, number: int) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def update(self, number: int) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def quantized_store(self) -> MutableMapping[str, QuantizedWeight]:
        """Return a dictionary."""
        return {}


class OnHost:
    """Blocks in the host's memory; one at a time is moved to the device, where everything outside of blocks stays."""

    keeps_all = False

    def __init__(self, network: PreTrainedModel, structure: Structure, device: torch.device) -> None:
        self.device = device
        self._blocks = structure.blocks
        inside = {id(tensor) for block in structure.blocks for tensor in (*block.parameters(), *block.buffers())}
        for module in network.modules():
            for tensors in (module._parameters, module._buffers):
                for tensor in tensors.values():
                    if tensor is not None and id(tensor) not in inside:
                        tensor.data = tensor.data.to(device)

    @contextmanager
    def load(self, number: int) -> Iterator[None]:
        """Move the block to the device and back."""
        self._blocks[number].to(self.device)
        try:
            yield
        finally:
            self._blocks[number].to("cpu")

    def update(self, number: int) -> AbstractContextManager[None]:
        """Move the block to the device and, changed, back."""
        return self.load(number)

    def quantized_store(self) -> MutableMapping[str, QuantizedWeight]:
        """Return a dictionary."""
        return {}


class OnDisk:
    """Blocks in files; one at a time is read, and written to a file of its own when it has been worked on.

    The network's parameters begin without memory (on `meta`). What is outside of blocks is read once and stays.
    """

    keeps_all = False

    def __init__(self, model: LoadedModel, structure: Structure, folder: Path, device: torch.device) -> None:
        """Prepare to read blocks; ModelError if tensors are missing. `folder` takes changed blocks and codes."""
        assert model.tensors is not None
        self.device = device
        self._network, self._blocks, self._folder = model.network, structure.blocks, folder
        names = {id(module): name for name, module in model.network.named_modules()}
        self._prefixes = [names[id(block)] + "." for block in structure.blocks]
        self._sources = [model.tensors] * len(structure.blocks)
        self._need_all(model.tensors)
        self._read_rest(model.tensors)

    @contextmanager
    def load(self, number: int) -> Iterator[None]:
        """Read the block, and forget it."""
        block, prefix, source = self._blocks[number], self._prefixes[number], self._sources[number]
        names = [name for name in block.state_dict() if prefix + name in source]
        try:
            for name, tensor in source.read(prefix + name for name in names).items():
                _set(block, name.removeprefix(prefix), tensor, self.device)
            block.to(self.device)  # its buffers that no file holds
            yield
        finally:
            for name, parameter in list(block.named_parameters()):
                _set(block, name, parameter, "meta")

    @contextmanager
    def update(self, number: int) -> Iterator[None]:
        """Read the block, and write what has become of it."""
        from safetensors.torch import save_file

        with self.load(number):
            yield
            prefix, path = self._prefixes[number], self._folder / f"block-{number:05d}.safetensors"
            state = {prefix + name: tensor.cpu() for name, tensor in self._blocks[number].state_dict().items()}
            save_file(state, path)
        self._sources[number] = TensorFiles([path])

    def quantized_store(self) -> MutableMapping[str, QuantizedWeight]:
        """Return a mapping onto files in the folder."""
        return QuantizedFiles(self._folder)

    @property
    def count(self) -> int:
        """Return how many blocks there are."""
        return len(self._blocks)

    def block_tensors(self) -> Iterator[dict[str, Tensor]]:
        """Yield the tensors of one block after the other, by their full names."""
        for block, prefix, source in zip(self._blocks, self._prefixes, self._sources, strict=True):
            yield source.read(prefix + name for name in block.state_dict() if prefix + name in source)

    def rest(self) -> dict[str, Tensor]:
        """Return the tensors outside of blocks, by name."""
        return {name: tensor for name, tensor in self._network.state_dict().items() if not self._is_in_block(name)}

    def remove_files(self) -> None:
        """Remove the blocks and quantized weights from the folder, when they have been written elsewhere."""
        for pattern in ("block-*.safetensors", "quantized-*.safetensors"):
            for path in self._folder.glob(pattern):
                path.unlink()

    def _is_in_block(self, name: str) -> bool:
        return name.startswith(tuple(self._prefixes))

    def _need_all(self, source: TensorFiles) -> None:
        lacking = [name for name, _ in self._network.named_parameters() if name not in source]
        tied = set(getattr(self._network, "all_tied_weights_keys", None) or ())
        lacking = sorted(set(lacking) - tied)
        if lacking:
            raise ModelError(
                f"{len(lacking)} tensors missing, first {lacking[0]}; offload=disk reads tensors by the names that "
                "transformers gives them: convert the checkpoint, or load it whole (offload=none)"
            )

    def _read_rest(self, source: TensorFiles) -> None:
        names = [name for name in self._network.state_dict() if name in source and not self._is_in_block(name)]
        for name in names:
            _set(self._network, name, source.read([name])[name], self.device)
        self._network.tie_weights()
        for module in self._network.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = buffer.to(self.device)


def _set(root: Module, name: str, tensor: Tensor, device: Any) -> None:
    """Put a tensor in the place of a parameter or buffer of the same shape, in that one's dtype. ModelError else."""
    from torch.nn import Parameter

    owner, _, last = name.rpartition(".")
    module = root.get_submodule(owner)
    old: Any = getattr(module, last)
    if old.shape != tensor.shape:
        raise ModelError(f"tensor {name}: shape {list(tensor.shape)} in the file, {list(old.shape)} in the model")
    new = tensor.detach().to(device=device, dtype=old.dtype)
    if last in module._parameters:
        module._parameters[last] = Parameter(new, requires_grad=False)
    else:
        module._buffers[last] = new


def check_offload(recipe: Recipe, offload: str) -> None:
    """Raise UsageError for an unknown way to keep weights, or one that a step of the recipe cannot work with."""
    if offload not in OFFLOADS:
        raise UnknownName("offload", offload, OFFLOADS)
    if offload == "none":
        return
    for step in recipe.steps:
        reason = METHODS.get(step.method).about.needs_whole_model
        if step.options.get("scope") == "global" and offload == "disk":
            reason = "scope=global looks at all layers at once"
        if reason:
            raise UsageError(f"method {step.method!r} cannot run with offload={offload}: {reason}; use offload=none")
