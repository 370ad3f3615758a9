"""A sliding window limits faster ways unless every layer that slides hands it to its attention."""

from __future__ import annotations

import pytest
from transformers import AutoConfig

from crushtest.engines.hf.limits import exact_until
from crushtest.engines.hf.variants import Variant

WINDOWED, FULL = Variant(None, window=16), Variant(None)


@pytest.mark.parametrize(
    ("kinds", "variants", "limit"),
    [
        ("sf", [WINDOWED, FULL], None),
        ("ss", [WINDOWED, WINDOWED], None),
        ("ss", [WINDOWED, FULL], 16),
        ("ss", [FULL, FULL], 16),
        ("ff", [FULL, FULL], 16),
        ("sf", None, 16),
    ],
)
def test_each_sliding_layer_speaks_for_itself(kinds: str, variants: list[Variant] | None, limit: int | None) -> None:
    names = {"s": "sliding_attention", "f": "full_attention"}
    layers = [names[kind] for kind in kinds]
    config = AutoConfig.for_model("gemma2", sliding_window=16, num_hidden_layers=len(layers), layer_types=layers)
    assert exact_until(config, variants) == limit


@pytest.mark.parametrize(("variants", "limit"), [([WINDOWED, WINDOWED], None), ([WINDOWED, FULL], 16)])
def test_without_kinds_of_layers_all_must_slide(variants: list[Variant], limit: int | None) -> None:
    assert exact_until(AutoConfig.for_model("mistral", sliding_window=16), variants) == limit
