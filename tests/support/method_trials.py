"""What each compression method makes of one small network: it runs and is saved as the same model, or why not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from inspect import Parameter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from crushtest import load_engine
from crushtest.compress import CompressionRecord, check, compress
from crushtest.compress.calibration import CalibrationTokens
from crushtest.compress.recipes import Recipe, parse_recipe
from crushtest.compress.save import save
from crushtest.engines.packing import Line
from crushtest.errors import CrushtestError
from crushtest.models.load import LoadedModel, load_model
from crushtest.registry import METHODS
from support.tiny_models import WORDS

SCORED_BY = "wanda"
"""The method whose saved model is run in the engine too: one for each network, as that takes the longest."""
TOKENS = torch.tensor([(WORDS * 3)[start : start + 48] for start in (0, 20, 40, 60)])
"""What methods calibrate on and models are compared on [sequences, length]."""
LATE = "after work had begun: "


class Trial(NamedTuple):
    """What one method did with one network.

    refused  the reason, which begins with LATE where its check had passed; empty if it ran
    differs  by how many nats a token's log-likelihood differs at most between the model in memory and the saved one;
             None where it was not saved
    """

    method: str
    refused: str
    differs: float | None = None


@cache
def recipes() -> dict[str, Recipe]:
    """Return a recipe for each method that needs no file of its own, with groups that fit any width."""
    made = {}
    for entry in map(METHODS.get, METHODS.names()):
        if all(option.default is not Parameter.empty for option in entry.options.values()):
            made[entry.name] = parse_recipe(entry.name + ":group_size=channel" * ("group_size" in entry.options))
    return made


@cache
def packages() -> frozenset[str]:
    """Return the packages that these methods, and saving what they make, need beside those of an installation."""
    return frozenset(
        {"compressed_tensors", *filter(None, (METHODS.get(name).about.needs_package for name in recipes()))}
    )


@cache
def saved_ones() -> frozenset[str]:
    """Return one method for each way of storing what it made, whose model is saved and loaded again."""
    abouts = {name: METHODS.get(name).about for name in recipes()}
    return frozenset({(about.stores, about.replaces_layers): name for name, about in abouts.items()}.values())


def tried(make: Callable[[], LoadedModel], *, scored: bool) -> list[Trial]:
    """Try every method on a fresh copy of a model; `scored` says whether the engine takes the dense one."""
    return [_tried(name, recipe, make(), scored) for name, recipe in recipes().items()]


def _tried(name: str, recipe: Recipe, model: LoadedModel, scored: bool) -> Trial:
    try:
        check(recipe, model.network.config, to_save=True)
    except CrushtestError as error:
        return Trial(name, str(error))
    try:
        record = compress(model, recipe, CalibrationTokens(TOKENS, {}))
        return Trial(name, "", _differs(model, record, scored and name == SCORED_BY) if name in saved_ones() else None)
    except CrushtestError as error:
        return Trial(name, f"{LATE}{error}")
    except Exception as error:  # one that no user should meet
        return Trial(name, f"{LATE}{type(error).__name__}: {error}")


def _differs(model: LoadedModel, record: CompressionRecord, scored: bool) -> float:
    """Return by how many nats a saved model differs from the one in memory, at the token where it differs most."""
    expected = log_likelihoods(model.network)
    with tempfile.TemporaryDirectory(prefix="crushtest-trial-") as folder:
        save(model, record, Path(folder) / "saved")
        again = load_model(f"{folder}/saved", dtype="float32", device="cpu")
    differs = float((log_likelihoods(again.network) - expected).abs().max())
    return max(differs, _engine_differs(again, expected)) if scored else differs


def log_likelihoods(network: Any) -> Tensor:
    """Return the log-likelihood in nats of each token but the first [sequences, length - 1], a line at a time."""
    with torch.inference_mode():
        logits = torch.cat([network(input_ids=line[None, :-1], use_cache=False).logits for line in TOKENS])
    return logits.double().log_softmax(-1).gather(-1, TOKENS[:, 1:, None]).squeeze(-1)


def _engine_differs(model: LoadedModel, expected: Tensor) -> float:
    """Return by how much lines that the engine scores differ from their tokens' sum, per token."""
    engine: Any = load_engine(model)
    scores = dict(engine.model.score([[Line(line.tolist(), 1)] for line in TOKENS], ()))
    return max(abs(scores[number][0] - float(row.sum())) / len(row) for number, row in enumerate(expected))
