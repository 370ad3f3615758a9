"""Compressing outside a study: one model, one recipe, one folder that transformers loads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crushtest.compress.calibration import Calibration, CalibrationTokens
from crushtest.compress.new_folder import atomic_folder, check_new
from crushtest.compress.prepare import check_recipe, compress_base, load_base, read_calibration
from crushtest.compress.recipes import Recipe, parse_recipe
from crushtest.compress.save import save, write_from_disk
from crushtest.models.options import ModelOptions
from crushtest.progress import Progress, show_progress

if TYPE_CHECKING:
    import torch

    from crushtest.compress import CompressionRecord
    from crushtest.compress.layers.offload import Residence
    from crushtest.models.load import LoadedModel


def compress_and_save(
    model: str,
    recipe_text: str,
    folder: Path,
    *,
    options: ModelOptions,
    calibration: Calibration,
    offload: str = "none",
) -> CompressionRecord:
    """Compress a model by one recipe and save it, with compression.json beside the weights.

    offload  where weights wait for their turn: `none` (all of them on the device), `cpu` (in the host's memory, a block
             at a time on the device), `disk` (in the model's files; a block at a time is read and written). The result
             is the same.

    Everything that can be wrong is found before the model is loaded: the recipe, its fit to the model's layers, the
    device, the calibration text, the packages, the folder. Nothing is left there where a later step fails.
    """
    from crushtest.compress.layers.offload import check_offload
    from crushtest.models.places import first_device

    recipe = parse_recipe(recipe_text)
    check_new(folder)
    check_offload(recipe, offload)
    first_device(options.device)
    check_recipe(options, model, recipe, to_save=True)
    tokens = read_calibration(options, model, calibration)
    with show_progress() as progress:
        compression = _Compression(
            model=model, options=options, recipe=recipe, calibration=tokens, folder=folder, progress=progress
        )
        ways = {"none": compression.in_memory, "cpu": compression.from_host, "disk": compression.from_disk}
        return ways[offload]()


@dataclass(frozen=True)
class _Compression:
    """One compression, in each of the ways to keep the weights."""

    model: str
    options: ModelOptions
    recipe: Recipe
    calibration: CalibrationTokens
    folder: Path
    progress: Progress

    def in_memory(self) -> CompressionRecord:
        """Compress with all weights on the device."""
        model = self._load(self.options)
        return self._save(model, self._compress(model))

    def from_host(self) -> CompressionRecord:
        """Compress with the weights in the host's memory, one block at a time on the device."""
        from crushtest.compress.layers.offload import OnHost
        from crushtest.compress.layers.structure import find_structure

        model = self._load(replace(self.options, device="cpu"))
        residence = OnHost(model.network, find_structure(model.network), self._device())
        return self._save(model, self._compress(model, residence))

    def from_disk(self) -> CompressionRecord:
        """Compress with the weights in files, one block at a time in memory."""
        from crushtest.compress.layers.offload import OnDisk
        from crushtest.compress.layers.structure import find_structure
        from crushtest.models.skeleton import load_skeleton

        with atomic_folder(self.folder) as partial:
            trust = self.options.trust_remote_code
            model = load_skeleton(self.model, dtype=self.options.dtype, trust_remote_code=trust)
            residence = OnDisk(model, find_structure(model.network), partial, self._device())
            record = self._compress(model, residence)
            with self.progress.step(f"saving {self.folder}", 1) as advance:
                write_from_disk(model, record, residence, partial)
                advance(1)
        return record

    def _load(self, options: ModelOptions) -> LoadedModel:
        return load_base(options, self.model, self.recipe.text, self.progress)

    def _compress(self, model: LoadedModel, residence: Residence | None = None) -> CompressionRecord:
        return compress_base(model, self.recipe, self.calibration, self.recipe.text, self.progress, residence)

    def _save(self, model: LoadedModel, record: CompressionRecord) -> CompressionRecord:
        with self.progress.step(f"saving {self.folder}", 1) as advance:
            save(model, record, self.folder)
            advance(1)
        return record

    def _device(self) -> torch.device:
        import torch

        from crushtest.models.places import first_device

        return torch.device(first_device(self.options.device))
