"""Where the weights of a model go: onto one device, or over several by accelerate's device map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.errors import ModelError
from crushtest.models.devices import default_device, devices_here
from crushtest.models.free_memory import free_bytes
from crushtest.models.places import DISK, Place, read_places
from crushtest.models.quantization import READERS
from crushtest.printing.sizes import show_size

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from crushtest.models.checkpoint import Checkpoint

ROOM, ROOM_SHARE = 2**30, 0.1
"""Memory of an accelerator that weights leave free to compute in: 1 GiB, or a tenth of what is free if that is more."""

DeviceMap = dict[str, Any]


@dataclass(frozen=True)
class Placement:
    """Where a network goes.

    device       where it takes its inputs
    device_map   the place of each module, by name; None if everything is on that device
    """

    device: str
    device_map: DeviceMap | None = None

    @property
    def for_transformers(self) -> str | DeviceMap | None:
        """Return what transformers is given: a map, a device, or None for the CPU."""
        return self.device_map or (None if self.device == "cpu" else self.device)

    @property
    def on_disk(self) -> bool:
        """Return True if weights stay on the disk."""
        return DISK in (self.device_map or {}).values()


def place(
    spec: str,
    checkpoint: Checkpoint,
    device: str,
    *,
    dtype: Any,
    read_config: Callable[[], PreTrainedConfig],
    trust_remote_code: bool,
) -> Placement:
    """Return where a model's weights go.

    `auto` is the first GPU, or all of them and then the host's memory for a model that does not fit it. Without a GPU
    it is the CPU. Several places are filled in their order; without limits, GPUs share the weights evenly.

    dtype         torch's, or `auto` if only the weights say
    read_config   returns the model's configuration; not called for one place without a limit

    Raises UsageError for a device that is not here, ModelError for a model that does not fit the places, or one whose
    weights are to stay on the disk and cannot.
    """
    places = read_places(device)
    if len(places) == 1 and places[0].limit_bytes is None:
        return Placement(places[0].name)
    first = default_device()
    if not places and first == "cpu":
        return Placement(first)
    skeleton = lay_out(read_config(), dtype, trust_remote_code=trust_remote_code)
    if not places:
        if weights_bytes(checkpoint, skeleton) <= room_on(first):
            return Placement(first)
        places = (*(Place(name) for name in devices_here() if name.startswith("cuda:")), Place("cpu"))
    placement = spread(spec, skeleton, places)
    if placement.on_disk and (checkpoint.format != "safetensors" or checkpoint.quantization is not None):
        raise ModelError(
            f"model {spec!r}: weights can stay on the disk in safetensors files that are not quantized only "
            f"(got {checkpoint.quantization.format.title if checkpoint.quantization else checkpoint.format})"
        )
    return placement


def spread(spec: str, skeleton: PreTrainedModel, places: tuple[Place, ...]) -> Placement:
    """Return the placement of a network, laid out without memory, over several places. Raises as `place` does."""
    from accelerate.utils import get_balanced_memory, infer_auto_device_map

    keys = {_key(one.name): one for one in places if one.name != DISK}
    limits = {key: room_on(one.name) if one.limit_bytes is None else one.limit_bytes for key, one in keys.items()}
    whole = list(getattr(skeleton, "_no_split_modules", None) or ())
    options = {"no_split_module_classes": whole, "dtype": skeleton.dtype}
    accelerators = [key for key in limits if key != "cpu"]
    if len(accelerators) > 1 and all(one.limit_bytes is None for one in places):
        limits = get_balanced_memory(skeleton, max_memory=dict(limits), **options)
    order = {key: limits[key] for key in keys}
    device_map = dict(infer_auto_device_map(skeleton, max_memory=order, **options))
    used = set(device_map.values())
    if DISK in used and DISK not in {one.name for one in places}:
        raise ModelError(
            f"model {spec!r}: its {show_size(sum(_bytes_by_module(skeleton).values()))} of weights in "
            f"{str(skeleton.dtype).removeprefix('torch.')} do not fit "
            f"({', '.join(f'{keys[key].name} takes {show_size(limit)}' for key, limit in order.items())}); name more "
            "devices, or let what is left stay on the disk, which is slow: "
            f"--device {','.join(dict.fromkeys((*(one.name for one in places), 'cpu', DISK)))}"
        )
    if used == {_key(places[0].name)}:
        return Placement(places[0].name)
    return Placement(places[0].name, device_map)


def room_on(device: str) -> int:
    """Return the bytes of weights that a device takes: what is free, less room to compute in."""
    free = free_bytes(device)
    if free is None:
        return 2**63
    return max(0, free - max(ROOM, int(free * ROOM_SHARE)))


def weights_bytes(checkpoint: Checkpoint, skeleton: PreTrainedModel) -> int:
    """Return the memory that a model's weights take once loaded; of formats that stay quantized, their files' size."""
    if checkpoint.quantization and checkpoint.quantization.format.method not in READERS:
        return sum(path.stat().st_size for path in checkpoint.weights)
    return sum(_bytes_by_module(skeleton).values())


def placed_bytes(network: PreTrainedModel) -> dict[str, int]:
    """Return the bytes of weights in each place of a network that is spread; nothing for one that is not."""
    places: Mapping[str, Any] = getattr(network, "hf_device_map", {})
    if len(set(map(str, places.values()))) < 2 and DISK not in places.values():
        return {}
    sizes: dict[str, int] = {}
    for name, size in _bytes_by_module(network).items():
        place = next(place for module, place in places.items() if not module or f"{name}.".startswith(f"{module}."))
        sizes[_name(place)] = sizes.get(_name(place), 0) + size
    return sizes


def _bytes_by_module(network: PreTrainedModel) -> dict[str, int]:
    """Return the bytes of each parameter, by name; one that is tied to another counts once."""
    return {name: parameter.numel() * parameter.itemsize for name, parameter in network.named_parameters()}


def lay_out(config: PreTrainedConfig, dtype: Any, *, trust_remote_code: bool) -> PreTrainedModel:
    """Return a network of this configuration and dtype without memory for its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    known = dtype if isinstance(dtype, torch.dtype) else getattr(config, "dtype", None) or torch.float32
    models: Any = AutoModelForCausalLM
    with torch.device("meta"):
        network: PreTrainedModel = models.from_config(config, dtype=known, trust_remote_code=trust_remote_code)
    network.tie_weights()
    return network


def _key(name: str) -> str | int:
    """Return accelerate's name of a place: GPUs by their number."""
    kind, _, number = name.partition(":")
    return int(number or 0) if kind in ("cuda", "xpu") else name


def _name(place: Any) -> str:
    if not isinstance(place, int):
        return str(place)
    kind = next((name for name in devices_here() if name in ("cuda", "xpu")), "cuda")
    return f"{kind}:{place}"
