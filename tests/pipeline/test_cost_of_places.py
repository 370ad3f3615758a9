"""A dry run of a model that is spread says what each place holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from crushtest.cli.cost import devices
from crushtest.models.memory import forget_peak_memory, peak_memory_bytes
from crushtest.pipeline.cost.dry_run import dry_run
from crushtest.pipeline.cost.records import ArmCost, Spent, StudyCost
from crushtest.study.spec import build_spec
from support.tiny_models import network, tokenizer


def test_weights_on_the_disk_are_named_and_take_no_memory(tmp_path: Path) -> None:
    network().save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    content = {"model": str(tmp_path / "model"), "suite": [{"probe_facts": {"limit": 2}}], "device": "cpu=400KB,disk"}
    cost = dry_run(build_spec(content, where="test"), tmp_path / "s")
    weights = cost.arms[0].weights_bytes
    assert min(weights["cpu"], weights["disk"]) > 10_000
    assert cost.arms[0].memory_bytes.keys() == {"process"}
    [here, disk] = sorted(devices(cost))
    assert here.startswith("cpu: holds one arm at a time, ")
    assert disk.endswith("stay there, and are read for every pack")


def test_the_memory_of_several_accelerators_is_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [3 * 2**30, 5 * 2**30]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", held.__getitem__)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: held.__setitem__(device, 0))
    assert peak_memory_bytes()["accelerator"] == 8 * 2**30
    arm = ArmCost("dense", "hf", (), {"cuda:0": 2**30, "cuda:1": 2**30}, peak_memory_bytes())
    monkeypatch.setattr("crushtest.pipeline.cost.devices.room_on", lambda device: None)
    cost = StudyCost(arms=(arm,), before=Spent(), after=Spent(), scorers=(), refused=(), notes=())
    assert list(devices(cost))[1] == (
        "cuda:1: holds one arm at a time, 1.0 GB of weights, at most 8.0 GB on all accelerators together"
    )
    forget_peak_memory()
    assert peak_memory_bytes()["accelerator"] == 0
