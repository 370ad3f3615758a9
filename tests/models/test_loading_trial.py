"""What would keep a found model from loading is said before anything is measured."""

from __future__ import annotations

import json
from collections import namedtuple
from importlib import util
from pathlib import Path

import pytest
import torch

from crushtest.errors import ModelError
from crushtest.models import hub, trial
from crushtest.models.options import ModelOptions
from crushtest.models.quantization import FORMATS
from support.in_process import crushtest
from support.tiny_models import network, tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network().save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(file: Path, **settings: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def test_no_weight_is_read_and_torch_is_left_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    monkeypatch.setattr("safetensors.safe_open", lambda *given, **named: read.append(given))
    monkeypatch.setattr("safetensors.torch.load_file", lambda *given, **named: read.append(given))
    trial.try_out(str(folder), ModelOptions())
    assert not read
    assert torch.empty(1).device.type == "cpu"


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("config.json", {"model_type": "no-such-family"}),
        ("config.json", {"num_attention_heads": 7}),  # does not divide the width
        ("config.json", {"hidden_act": "no-such-function"}),
    ],
)
def test_what_cannot_be_laid_out_is_one_line(file: str, settings: dict[str, object], folder: Path) -> None:
    change(folder / file, **settings)
    with pytest.raises(ModelError, match="transformers cannot") as raised:
        trial.try_out(str(folder), ModelOptions())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("quantized", [entry for entry in FORMATS if entry.package], ids=lambda entry: entry.method)
def test_a_missing_package_is_named_with_how_to_install_it(quantized: object, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.require_package("m", quantized)  # type: ignore[arg-type]
    monkeypatch.setattr(trial, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=rf"pip install 'crushtest\[{quantized.package}\]'"):  # type: ignore[attr-defined]
        trial.require_package("m", quantized)  # type: ignore[arg-type]


def test_the_packages_of_formats_are_importable_names() -> None:
    names = {entry.package.replace("-", "_") for entry in FORMATS if entry.package}
    assert names
    assert all(util.find_spec(name) for name in names)


@pytest.mark.parametrize(
    ("file", "settings", "says"),
    [
        ("config.json", {"hidden_act": "no-such-function"}, "no-such-function"),
        ("tokenizer.json", {"model": {"type": "WordLevel"}}, "tokenizer.json"),
    ],
)
def test_a_found_arm_that_cannot_load_ends_the_run_before_dense(
    file: str, settings: dict[str, object], says: str, folder: Path, tmp_path: Path
) -> None:
    network(seed=1).save_pretrained(tmp_path / "found")
    tokenizer().save_pretrained(tmp_path / "found")
    change(tmp_path / "found" / file, **settings)
    arguments = ["run", str(folder), "--arm", str(tmp_path / "found"), "--suite", "probe_qa", "--limit", "4"]
    ran = crushtest(*arguments, "-o", str(tmp_path / "s"))
    assert ran.returncode != 0
    assert len(ran.stderr.splitlines()) == 1
    assert says in ran.stderr
    assert not (tmp_path / "s").exists()


def test_a_model_larger_than_the_disk_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**10, 9 * 10**9, 10**9))
    hub.refuse_full_disk("org/name", 10**9)
    with pytest.raises(ModelError, match=r"2\.0 GB to fetch, 1\.0 GB left .*HF_HOME moves it"):
        hub.refuse_full_disk("org/name", 2 * 10**9)
