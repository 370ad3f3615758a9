"""Tensors that transformers makes of several in a checkpoint: experts, which files hold one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


class Part(NamedTuple):
    """One tensor of a checkpoint, and the pattern by which transformers puts it in its place."""

    name: str
    pattern: str


class Merging:
    """How the tensors of a network are put together from those of its checkpoint.

    parts  by a tensor's name in the network, what it is made of, in order; only tensors that are made of others
    """

    def __init__(self, network: PreTrainedModel, stored: Iterable[str]) -> None:
        """Sort the names of the checkpoint's tensors by what transformers makes of them."""
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import (
            WeightConverter,
            WeightRenaming,
            dot_natural_key,
            rename_source_key,
        )

        mapping: Any = get_model_conversion_mapping(network)
        renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
        converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
        self._network = network
        self._converters = {
            pattern: converter
            for converter in converters
            if len(converter.target_patterns) == 1
            for pattern in converter.source_patterns
        }
        own: dict[str, Any] = dict(network.state_dict())
        self.parts: dict[str, list[Part]] = {}
        for name in sorted(stored, key=dot_natural_key) if converters else ():
            target, pattern = rename_source_key(name, renamings, converters, network.base_model_prefix, own)
            if pattern in self._converters and target in own and name not in own:
                self.parts.setdefault(target, []).append(Part(name, str(pattern)))

    def merge(self, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return a tensor of the network, made of those of its parts."""
        parts = self.parts[name]
        converter: Any = deepcopy(self._converters[parts[0].pattern])
        for part in parts:
            converter.add_tensor(name, part.name, part.pattern, tensors[part.name])
        made = converter.convert(name, model=self._network, config=self._network.config)[name]
        tensor: Tensor = made[0] if isinstance(made, list) else made
        return tensor
