"""Compressing outside a study: one model, one recipe, one folder that transformers loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crushtest.compress.recipes import Recipe, parse_recipe
from crushtest.compress.save import check_new, save, whole, write_from_disk
from crushtest.pipeline.arm import check_calibration, check_recipe, compress_arm, load_base
from crushtest.progress import Bars, Lines, show_progress
from crushtest.study.plan import StudySpec

if TYPE_CHECKING:
    from crushtest.compress import CompressionRecord
    from crushtest.models.load import LoadedModel


def compress_and_save(spec: StudySpec, recipe_text: str, folder: Path, *, offload: str = "none") -> CompressionRecord:
    """Compress the model of a spec by one recipe and save it, with compression.json beside the weights.

    offload  where weights wait for their turn: `none` (all of them on the device), `cpu` (in the host's memory, a block
             at a time on the device), `disk` (in the model's files; a block at a time is read and written). The result
             is the same.

    Everything that can be wrong is found before the model is loaded: the recipe, its fit to the model's layers, the
    device, the calibration text, the packages, the folder. Nothing is left there where a later step fails.
    """
    from crushtest.compress.layers.offload import check_offload
    from crushtest.models.load import resolve_device

    recipe = parse_recipe(recipe_text)
    check_new(folder)
    check_offload(recipe, offload)
    resolve_device(spec.device)
    check_recipe(spec, spec.model, recipe, to_save=True)
    check_calibration(spec, spec.model)
    ways = {"none": _in_memory, "cpu": _from_host, "disk": _from_disk}
    with show_progress(0) as progress:
        return ways[offload](spec, recipe, folder, progress)


def _in_memory(spec: StudySpec, recipe: Recipe, folder: Path, progress: Bars | Lines) -> CompressionRecord:
    model = load_base(spec, spec.model, recipe.text, progress)
    record = compress_arm(spec, recipe.text, recipe, model, progress)
    return _saved(model, record, folder, progress)


def _from_host(spec: StudySpec, recipe: Recipe, folder: Path, progress: Bars | Lines) -> CompressionRecord:
    import torch

    from crushtest.compress.layers.offload import OnHost
    from crushtest.compress.layers.structure import find_structure
    from crushtest.models.load import resolve_device

    device = torch.device(resolve_device(spec.device))
    model = load_base(spec.model_copy(update={"device": "cpu"}), spec.model, recipe.text, progress)
    residence = OnHost(model.network, find_structure(model.network), device)
    record = compress_arm(spec, recipe.text, recipe, model, progress, residence)
    return _saved(model, record, folder, progress)


def _saved(model: LoadedModel, record: CompressionRecord, folder: Path, progress: Bars | Lines) -> CompressionRecord:
    with progress.step(f"saving {folder}", 1) as advance:
        save(model, record, folder)
        advance(1)
    return record


def _from_disk(spec: StudySpec, recipe: Recipe, folder: Path, progress: Bars | Lines) -> CompressionRecord:
    import torch

    from crushtest.compress.layers.offload import OnDisk
    from crushtest.compress.layers.structure import find_structure
    from crushtest.models.load import load_skeleton, resolve_device

    device = torch.device(resolve_device(spec.device))
    with whole(folder) as partial:
        model = load_skeleton(spec.model, dtype=spec.dtype, trust_remote_code=spec.trust_remote_code)
        residence = OnDisk(model, find_structure(model.network), partial, device)
        record = compress_arm(spec, recipe.text, recipe, model, progress, residence)
        with progress.step(f"saving {folder}", 1) as advance:
            write_from_disk(model, record, residence, partial)
            advance(1)
    return record
