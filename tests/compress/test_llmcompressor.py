"""llm-compressor's own recipes; most tests run only where the package is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from crushtest.compress import CompressionRecord, compress
from crushtest.compress.calibration import Calibration, calibration_tokens
from crushtest.compress.kernels.grids import ForeignWeight
from crushtest.compress.recipes import parse_recipe
from crushtest.compress.record import Storage
from crushtest.compress.save import save
from crushtest.errors import CompressionError, UsageError
from support.small_models import TOKENIZER, loaded, small_network

SCALED = """
quant_stage:
  quant_modifiers:
    {modifier}:
      ignore: [lm_head]
      config_groups:
        group_0: {{targets: [Linear], weights: {{num_bits: {bits}, type: int, symmetric: {symmetric}, {grid}}}}}
"""
GROUPS = "strategy: group, group_size: 16"
EIGHT = SCALED.format(modifier="QuantizationModifier", bits=8, symmetric="true", grid="strategy: channel")
FOUR = SCALED.format(modifier="GPTQModifier", bits=4, symmetric="true", grid=GROUPS)
FOUR_ASYMMETRIC = SCALED.format(modifier="GPTQModifier", bits=4, symmetric="false", grid=GROUPS)
FLOAT = "q_stage: {q_modifiers: {QuantizationModifier: {scheme: FP8_DYNAMIC, targets: Linear, ignore: [lm_head]}}}"
FOUR_FLOAT = "q_stage: {q_modifiers: {QuantizationModifier: {scheme: NVFP4A16, targets: Linear, ignore: [lm_head]}}}"
PRUNING = "s_stage: {s_modifiers: {SparseGPTModifier: {sparsity: 0.5, mask_structure: '2:4', ignore: [lm_head]}}}"
CALIBRATION = calibration_tokens(Calibration(sequences=2, length=16), TOKENIZER)
IDS = torch.arange(1, 25).reshape(2, 12)

needs_it = pytest.mark.skipif(find_spec("llmcompressor") is None, reason="llmcompressor is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from transformers import AutoModelForCausalLM

    small_network("llama").save_pretrained(tmp_path / "model")  # it reads the config again, from where the model came
    return loaded(AutoModelForCausalLM.from_pretrained(tmp_path / "model").requires_grad_(False))


def in_file(recipe: str, folder: Path) -> str:
    path = folder / "recipe.yaml"
    path.write_text(recipe)
    return f"llmcompressor:file={path}"


def run(model: Any, text: str) -> CompressionRecord:
    return compress(model, parse_recipe(text), CALIBRATION)


@needs_it
@pytest.mark.parametrize(
    ("recipe", "bits"),
    [
        (EIGHT, 8 + 16 * (32 * 3 + 16 * 2 + 64 * 2) / (32 * 32 * 2 + 32 * 16 * 2 + 32 * 64 * 3)),
        (FOUR, 4 + 16 / 16),
        (FOUR_ASYMMETRIC, 4 + (16 + 4) / 16),
        (FOUR_FLOAT, 4 + 8 / 16),  # its scales have 8 bits
        (PRUNING, 16 * 0.5),
    ],
)
def test_weights_scales_and_zero_points_are_counted(recipe: str, bits: float, model: Any, tmp_path: Path) -> None:
    record = run(model, in_file(recipe, tmp_path))
    assert len(record.layers) == 14
    assert record.totals.bits_per_weight == pytest.approx(bits)


@needs_it
def test_what_is_counted_as_changed_is_what_the_layers_compute_with(model: Any, tmp_path: Path) -> None:
    record = run(model, in_file(EIGHT, tmp_path))
    # it keeps the weights as they are, and rounds them whenever a layer runs
    assert all(0.9 < layer.changed / (layer.shape[0] * layer.shape[1]) <= 1 for layer in record.layers)


@needs_it
def test_a_recipe_that_changes_nothing_is_an_error(model: Any, tmp_path: Path) -> None:
    for name, parameter in model.network.named_parameters():
        if "_proj" in name:
            parameter.zero_()
    with pytest.raises(CompressionError, match="changed no weight"):
        run(model, in_file(EIGHT, tmp_path))


def test_weights_that_a_method_brings_back_are_counted() -> None:
    storage = Storage(100, kept=100)
    storage.enter(50, None)
    storage.enter(60, ForeignWeight(torch.empty(0), 4, 0))
    assert storage.stored_bits == 50 * 4 + 100  # ten more on the grid's 0 still take their bits
    storage.enter(30, ForeignWeight(torch.empty(0), 4, 0))
    assert storage.stored_bits == 70 * 4 + 100


@needs_it
@pytest.mark.parametrize(
    ("recipe", "form"),
    [(FOUR, "pack-quantized"), (EIGHT, "pack-quantized"), (FLOAT, "float-quantized"), (PRUNING, "dense")],
)
def test_reloaded_it_says_the_same(recipe: str, form: str, model: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    record = run(model, in_file(recipe, tmp_path))
    before = model.network(IDS).logits.log_softmax(-1)
    save(model, record, tmp_path / "out")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out").requires_grad_(False)
    torch.testing.assert_close(again(IDS).logits.log_softmax(-1), before, rtol=0, atol=1e-4)
    assert json.loads((tmp_path / "out" / "compression.json").read_text())["saved"]["format"] == form


@pytest.mark.parametrize("content", ["x: [", "", "- a", "just words", "\x00"])
def test_a_file_that_is_no_recipe_is_refused_as_it_is_read(content: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be a recipe file of llm-compressor: a mapping in YAML"):
        parse_recipe(in_file(content, tmp_path))


@needs_it
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("q_stage: {q_modifiers: {GPTQModifier: {nosuch: 3, scheme: W4A16}}}", "nosuch Extra inputs are not permitted"),
        ("q_stage: {q_modifiers: {NoSuchModifier: {}}}", "NoSuchModifier"),
        ("foo: {bar: {NoSuchModifier: {}}}", "holds no modifier"),
        ("q_stage: {q_modifiers: {QuantizationModifier: {scheme: W4A16, targets: Linear}}}", "recipe.yaml'"),
    ],
)
def test_what_it_says_of_its_recipe_is_one_line(content: str, said: str, model: Any, tmp_path: Path) -> None:
    with pytest.raises(CompressionError, match=said) as raised:
        run(model, in_file(content, tmp_path))
    assert "\n" not in str(raised.value)


@needs_it
def test_its_log_is_not_among_the_results(model: Any, tmp_path: Path) -> None:
    program = f"""
import sys
sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
from test_llmcompressor import CALIBRATION, loaded, run
from transformers import AutoModelForCausalLM
run(loaded(AutoModelForCausalLM.from_pretrained({str(tmp_path / "model")!r})), {in_file(FOUR, tmp_path)!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "recipe.yaml" in done.stderr


@pytest.mark.parametrize("text", ["{0}+rtn", "rtn:layers=q_proj+{0}", "{0}+{0}", "int8:layers=q_proj+{0}"])
def test_it_is_the_only_step_that_quantizes(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'llmcompressor' must be the last step, and the only one that quantizes"):
        run(loaded(small_network("llama")), text.format(in_file(FOUR, tmp_path)))


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "llmcompressor", None)
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(CompressionError, match=r"pip install 'crushtest\[llmcompressor\]'"):
        run(loaded(small_network("llama")), in_file(FOUR, tmp_path))


def test_it_takes_no_layer_patterns(tmp_path: Path) -> None:
    with pytest.raises((CompressionError, UsageError), match="says which layers"):
        run(loaded(small_network("llama")), in_file(FOUR, tmp_path) + ",skip=q_proj")
