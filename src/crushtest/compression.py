"""Compressing outside a study: one model, one recipe, one folder that transformers loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crushtest.arms import check_recipe, compress_arm, load_base
from crushtest.checkpoint import check_new, save
from crushtest.plan import StudySpec
from crushtest.progress import show_progress
from crushtest.recipes import parse_recipe

if TYPE_CHECKING:
    from crushtest.compress import CompressionRecord


def compress_and_save(spec: StudySpec, recipe_text: str, folder: Path) -> CompressionRecord:
    """Compress the model of a spec by one recipe and save it, with compression.json beside the weights.

    Everything that can be wrong is found before the model is loaded: the recipe, its fit to the model's layers, the
    folder. Nothing is left there where a later step fails.
    """
    recipe = parse_recipe(recipe_text)
    check_new(folder)
    check_recipe(spec, spec.model, recipe)
    with show_progress(0) as progress:
        model = load_base(spec, spec.model, recipe.text, progress)
        record = compress_arm(spec, recipe.text, recipe, model, progress)
        with progress.step(f"saving {folder}", 1) as advance:
            save(model, record, folder)
            advance(1)
    return record
