"""Tensors of a safetensors checkpoint, read by name: the files stay on disk, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from crushtest.models.merging import Merging, Part


class TensorFiles:
    """Which file holds which tensor. Nothing is kept in memory but the names."""

    def __init__(
        self, files: Sequence[Path], renamed: Mapping[str, str] | None = None, merging: Merging | None = None
    ) -> None:
        """Read the files' headers.

        renamed  maps names that are asked for to those in the files
        merging  says which tensors that are asked for are made of several in the files
        """
        from safetensors import safe_open

        stored: dict[str, Path] = {}
        for path in files:
            with safe_open(path, framework="pt") as opened:
                stored |= dict.fromkeys(opened.keys(), path)
        self._renamed = {name: own for name, own in (renamed or {}).items() if own in stored}
        self._file = stored | {name: stored[own] for name, own in self._renamed.items()}
        self._merging = merging

    @property
    def names(self) -> list[str]:
        """Return the tensors' names."""
        return list(self._file)

    def __contains__(self, name: str) -> bool:
        return name in self._file or name in self._merged

    @property
    def _merged(self) -> Mapping[str, Sequence[Part]]:
        return self._merging.parts if self._merging else {}

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Return copies of these tensors in memory of their own. KeyError for a name that no file holds.

        Each file is mapped for as long as this takes, so that its pages do not stay with the process.
        """
        wanted = list(names)
        tensors = self._read([name for name in wanted if name not in self._merged])
        for name in wanted:
            if self._merging and name in self._merged:
                parts = self._read(part.name for part in self._merged[name])
                tensors[name] = self._merging.merge(name, parts)
        return tensors

    def _read(self, names: Iterable[str]) -> dict[str, Tensor]:
        from safetensors import safe_open

        by_file: dict[Path, list[str]] = {}
        for name in names:
            by_file.setdefault(self._file[name], []).append(name)
        tensors: dict[str, Tensor] = {}
        for path, wanted in by_file.items():
            with safe_open(path, framework="pt") as opened:
                for name in wanted:
                    tensors[name] = opened.get_tensor(self._renamed.get(name, name)).clone()
        return tensors
