"""Quantized weights that wait on disk to be saved."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from crushtest.compress.kernels.grids import QuantizedWeight


class QuantizedFiles(MutableMapping[str, QuantizedWeight]):
    """Layer name -> quantized weight, each in a file of a folder; what is read is memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, None] = {}

    def __setitem__(self, name: str, weight: QuantizedWeight) -> None:
        from safetensors.torch import save_file

        tensors = {part: getattr(weight, part).cpu().contiguous() for part in ("codes", "scale", "zero")}
        grid = {"bits": weight.bits, "group_size": weight.group_size, "symmetric": weight.symmetric}
        save_file(tensors, self._path(name), metadata={"grid": json.dumps(grid)})
        self._names[name] = None

    def __getitem__(self, name: str) -> QuantizedWeight:
        from safetensors import safe_open

        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path(name), framework="pt") as file:
            tensors = {part: file.get_tensor(part) for part in ("codes", "scale", "zero")}
            return QuantizedWeight(**tensors, **json.loads(file.metadata()["grid"]))

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        self._path(name).unlink()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _path(self, name: str) -> Path:
        return self._folder / f"quantized-{name}.safetensors"
