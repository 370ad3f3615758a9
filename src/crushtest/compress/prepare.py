"""What studies and `crushtest compress` share: checks that need no weights, loading, and compressing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crushtest.compress.calibration import Calibration, CalibrationTokens, calibration_tokens
from crushtest.compress.recipes import Recipe
from crushtest.models.options import ModelOptions
from crushtest.progress import Progress

if TYPE_CHECKING:
    from crushtest.compress import CompressionRecord
    from crushtest.compress.layers.offload import Residence
    from crushtest.models.load import LoadedModel

LOADING, COMPRESSING = "loading", "compressing"
"""Kinds of work that a run may announce: models, and hundredths of a compression."""


def check_recipe(options: ModelOptions, model: str, recipe: Recipe, *, to_save: bool = False) -> None:
    """Raise what `compress.check` raises for a recipe and the shapes of a model. No weight is read."""
    from crushtest import compress

    config = options.load_config(model)
    compress.check(recipe, config, to_save=to_save, trust_remote_code=options.trust_remote_code)


def read_calibration(options: ModelOptions, model: str, calibration: Calibration) -> CalibrationTokens:
    """Return the calibration text as tokens of a model. No weight is read.

    Raises DataError for a text that cannot be fetched or read, or gives too few tokens; UsageError for no such text.
    """
    return calibration_tokens(calibration, options.load_tokenizer(model))


def load_base(options: ModelOptions, model: str, title: str, progress: Progress) -> LoadedModel:
    """Return a model in memory, and show under a title that it is being loaded."""
    with progress.step(f"{title} · loading {model}", 1, kind=LOADING) as advance:
        loaded = options.load(model)
        advance(1)
    return loaded


def compress_base(
    model: LoadedModel,
    recipe: Recipe,
    calibration: CalibrationTokens,
    title: str,
    progress: Progress,
    residence: Residence | None = None,
) -> CompressionRecord:
    """Compress a loaded model in place, wherever its weights are, and show under a title how far it has come."""
    from crushtest.compress import compress

    shown = 0
    with progress.step(f"{title} · compressing", 100, kind=COMPRESSING, percent=True) as advance:

        def show(what: str, done: int, total: int) -> None:
            nonlocal shown
            percent = 100 * done // total
            advance(max(0, percent - shown))
            shown = max(shown, percent)

        return compress(model, recipe, calibration, residence=residence, on_progress=show)
