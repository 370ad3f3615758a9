"""llm-compressor's own recipes; only where the package is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_models import loaded, small_network

from crushtest.calibration import Calibration
from crushtest.compress import compress
from crushtest.errors import CompressionError
from crushtest.recipes import parse_recipe

RECIPE = """
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      ignore: [lm_head]
      config_groups:
        group_0: {targets: [Linear], weights: {num_bits: 8, type: int, symmetric: true, strategy: channel}}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


@pytest.mark.filterwarnings("ignore")
def test_its_recipe_files_run(recipe_file: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    pytest.importorskip("llmcompressor")
    small_network("llama").save_pretrained(tmp_path / "model")  # it reads the config again, from where the model came
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    recipe = parse_recipe(f"llmcompressor:file={recipe_file}")
    record = compress(loaded(network), recipe, Calibration(sequences=2, length=16))
    assert len(record.layers) == 14
    assert 8 < record.totals.bits_per_weight < 9


def test_without_the_package_it_says_how_to_get_it(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "llmcompressor", None)
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(CompressionError, match=r"pip install 'crushtest\[llmcompressor\]'"):
        compress(loaded(small_network("llama")), parse_recipe(f"llmcompressor:file={recipe_file}"), Calibration())


def test_it_takes_no_layer_patterns(recipe_file: Path) -> None:
    recipe = parse_recipe(f"llmcompressor:file={recipe_file},skip=q_proj")
    with pytest.raises(CompressionError, match="the recipe file says which layers"):
        compress(loaded(small_network("llama")), recipe, Calibration())
