"""A saved model is whole, loads in transformers, and says the same; one that could not be saved leaves nothing."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from crushtest.compress import compress
from crushtest.compress.calibration import Calibration, calibration_tokens
from crushtest.compress.kernels.grids import QuantizedWeight
from crushtest.compress.new_folder import check_new
from crushtest.compress.packed import side_by_side
from crushtest.compress.recipes import parse_recipe
from crushtest.compress.save import save
from crushtest.errors import CompressionError
from support.small_models import TOKENIZER, loaded, small_network

CALIBRATION = calibration_tokens(Calibration(sequences=4, length=24), TOKENIZER)
IDS = torch.arange(1, 25).reshape(2, 12)
BLOCKS = ((2, "0.*"), (3, "1.mlp.*"), (8, "1.self_attn.*"))
SEARCHED = "+".join(f"rtn:bits={bits},group_size=16,layers=layers.{where}" for bits, where in BLOCKS)
MIXED = "rtn:bits=8,group_size=16,layers=*mlp*{0}+rtn:bits=4,group_size=32,skip=*mlp*{0}"


def logprobs(network: Any) -> Tensor:
    with torch.no_grad():
        result: Tensor = network(IDS).logits.log_softmax(-1)
    return result


def saved(kind: str, recipe: str, folder: Path) -> Tensor:
    """Compress, save, and return what the model in memory says."""
    model = loaded(small_network(kind))
    save(model, compress(model, parse_recipe(recipe), CALIBRATION), folder)
    return logprobs(model.network)


def reloaded(kind: str, recipe: str, folder: Path) -> tuple[float, dict[str, Any]]:
    """How far a saved model's log-probabilities are from those in memory, and what its compression.json says."""
    from transformers import AutoModelForCausalLM

    pytest.importorskip("compressed_tensors")
    before = saved(kind, recipe, folder)
    after = logprobs(AutoModelForCausalLM.from_pretrained(folder))
    return float((after - before).abs().max()), json.loads((folder / "compression.json").read_text())


@pytest.mark.parametrize(
    ("kind", "recipe", "form"),
    [
        ("llama", "wanda:sparsity=0.5", "dense"),
        ("llama", "wanda:pattern=2:4+gptq:group_size=16", "pack-quantized"),
        ("llama", "gptq:bits=3,group_size=16,act_order=true", "pack-quantized"),
        ("llama", "rtn:bits=5,group_size=channel,symmetric=true", "pack-quantized"),
        ("llama", "rtn:group_size=channel", "pack-quantized"),
        ("llama", "rtn:group_size=32", "pack-quantized"),
        ("llama", MIXED.format(",symmetric=true"), "pack-quantized"),
        ("llama", MIXED.format(""), "mixed-precision"),
        ("llama", SEARCHED, "mixed-precision"),
        ("llama", "rtn:bits=3,group_size=16,layers=layers.0.*+rtn:bits=4,group_size=16,layers=*1.*", "pack-quantized"),
        ("qwen2", "rtn:bits=8,group_size=32,skip=down_proj", "pack-quantized"),
        ("opt", "gptq:group_size=16,symmetric=true", "pack-quantized"),
        ("gpt2", "rtn:group_size=16", "dense"),
    ],
)
def test_reloaded_it_says_the_same(kind: str, recipe: str, form: str, tmp_path: Path) -> None:
    difference, facts = reloaded(kind, recipe, tmp_path / "out")
    assert difference <= 1e-4
    assert facts["saved"]["format"] == form
    assert facts["recipe"] == recipe


@pytest.mark.parametrize(
    ("recipe", "form"),
    [
        # no integers are left of a layer that was rounded again, to numbers that are not packed
        ("rtn:group_size=32,symmetric=true+nf4", "dense"),
        ("awq:group_size=16,symmetric=true+nf4:layers=q_proj", "pack-quantized"),
        # one folder has one quantization config
        ("int8:layers=*mlp*+rtn:group_size=32,symmetric=true,skip=*mlp*", "bitsandbytes"),
    ],
)
def test_reloaded_it_says_the_same_with_bitsandbytes(recipe: str, form: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    difference, facts = reloaded("llama", recipe, tmp_path / "out")
    assert difference <= 1e-4
    assert facts["saved"]["format"] == form


def test_int8_layers_are_saved_as_they_are(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    pytest.importorskip("bitsandbytes")
    before = saved("llama", "int8:skip=down_proj", tmp_path / "out")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(again.model.layers[0].mlp.up_proj).__name__ == "Linear8bitLt"
    torch.testing.assert_close(logprobs(again), before, rtol=0, atol=1e-4)


def test_packed_weights_take_the_room_that_was_counted(tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    saved("llama", "rtn:bits=4,group_size=16,symmetric=true", tmp_path / "packed")
    saved("llama", "wanda", tmp_path / "dense")
    sizes = [sum(f.stat().st_size for f in (tmp_path / name).glob("*.safetensors")) for name in ("packed", "dense")]
    weights = json.loads((tmp_path / "packed" / "compression.json").read_text())["totals"]["linear_weights"]
    # float32 against 4 bits and a float32 scale a group of 16; headers and shapes are small beside that
    assert sizes[1] - sizes[0] == pytest.approx(weights * (4 - 0.5 - 4 / 16), rel=0.1)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CompressionError, match="is not empty; name a new folder"):
        saved("llama", "wanda", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written_is_found_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CompressionError, match=r"file cannot be written \(Not a directory\); name another folder"):
        check_new(tmp_path / "file" / "below" / "out")
    check_new(tmp_path / "new" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_in_the_place_of_the_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(CompressionError, match=r"taken' is a file; name a new folder"):
        check_new(tmp_path / "taken")


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    saved("llama", "wanda", tmp_path / "out")
    assert (tmp_path / "out" / "config.json").is_file()


@pytest.mark.parametrize("link_to", ["empty", "nowhere"])
def test_a_link_leads_to_where_the_model_is_saved(link_to: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / link_to)
    saved("llama", "wanda", tmp_path / "link")
    assert (tmp_path / link_to / "config.json").is_file()
    assert (tmp_path / "link").is_symlink()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["", ".", "../here", "link"])
def test_the_folder_one_is_in_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(CompressionError, match=r"is the folder that this runs in; name a new folder"):
        check_new(Path(name) if name != "link" else tmp_path / name)


def test_a_mount_point_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.ismount", lambda path: str(path) == str(tmp_path))
    with pytest.raises(CompressionError, match=r"is a mount point; name a new folder in it"):
        check_new(tmp_path)


@pytest.mark.parametrize("name", ["out", "above/below/out"])
def test_a_full_disk_leaves_nothing_behind(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(small_network("llama"))
    record = compress(model, parse_recipe("wanda"), CALIBRATION)
    write_all = model.network.save_pretrained

    def write_some(folder: Path) -> None:
        write_all(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model.network, "save_pretrained", write_some)
    with pytest.raises(CompressionError, match="No space left on device; nothing was left there"):
        save(model, record, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_at_the_tokenizer_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(small_network("llama"))
    record = compress(model, parse_recipe("wanda"), CALIBRATION)

    def full(folder: Path) -> None:
        raise Exception("No space left on device (os error 28)")  # what the package tokenizers raises

    monkeypatch.setattr(model.tokenizer, "save_pretrained", full)
    with pytest.raises(CompressionError, match=r"No space left on device .*nothing was left there"):
        save(model, record, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.integers(2, 8), min_size=2, max_size=4, unique=True), st.booleans(), st.integers(0, 2**31 - 1))
def test_grids_side_by_side_are_the_same_weights(widths: list[int], alike: bool, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    weights = {
        str(bits): QuantizedWeight(
            codes=torch.randint(0, 2**bits, (4, 16), generator=random).to(torch.uint8),
            scale=torch.rand(4, 2 if alike else 16 // (4 << place % 2), generator=random),
            zero=torch.randint(0, 2**bits, (4, 2 if alike else 16 // (4 << place % 2)), generator=random).to(
                torch.uint8
            ),
            bits=bits,
            group_size=8 if alike else 4 << place % 2,
            symmetric=False,
        )
        for place, bits in enumerate(widths)
    }
    stored = side_by_side(weights)
    for name, weight in stored.items():
        assert torch.equal(weight.dequantize(), weights[name].dequantize())
        assert int(weight.codes.max()) < 2**weight.bits
        assert weight.bits == max(widths) or weight.bits <= weights[name].bits + 1
    assert len({(weight.bits, weight.group_size) for weight in stored.values()}) == 1 or all(
        weight.symmetric or weight.bits == 8 for weight in stored.values()
    )


def test_a_mix_takes_a_bit_more_than_was_counted(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    pytest.importorskip("compressed_tensors")
    saved("llama", SEARCHED, tmp_path / "mix")
    widths = {"0.self_attn.q_proj": 2, "1.mlp.up_proj": 3, "1.self_attn.q_proj": 8}
    tensors = load_file(tmp_path / "mix" / "model.safetensors")
    for name, bits in widths.items():
        layer = f"model.layers.{name}"
        if bits == 8:
            assert tensors[f"{layer}.weight"].dtype == torch.int8
        else:
            assert tensors[f"{layer}.weight_packed"].shape[1] * 32 == 32 * (bits + 1)
