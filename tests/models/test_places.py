"""Where weights go: what `--device` may name, and how a model is spread when one device is too small for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crushtest.errors import ModelError, UsageError
from crushtest.models import placement, places
from crushtest.models.free_memory import free_host_bytes
from crushtest.models.placement import Placement, lay_out, place, room_on, spread
from crushtest.models.places import Place, first_device, needs_disk, read_places
from support.tiny_models import network

CONFIG = network("llama", num_hidden_layers=8).config
SKELETON = lay_out(CONFIG, torch.float32, trust_remote_code=False)
BYTES = sum(parameter.numel() * 4 for parameter in SKELETON.parameters())


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    here = ["cpu", "cuda", "cuda:0", "cuda:1"]
    for module in (places, placement):
        monkeypatch.setattr(module, "devices_here", lambda: here)
        monkeypatch.setattr(module, "default_device", lambda: "cuda")


def free(monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    """Let each device have room for that many bytes of weights, the GPUs being called `gpu0` and `gpu1`."""
    rooms = {name.replace("gpu", "cuda:"): size for name, size in sizes.items()}
    rooms["cuda"] = rooms.get("cuda:0", 0)
    monkeypatch.setattr(placement, "room_on", lambda device: rooms[device])


def placed(device: str, config: Any = CONFIG) -> Placement:
    plain: Any = SimpleNamespace(quantization=None, format="safetensors", weights=())
    return place("tiny", plain, device, dtype=torch.float32, read_config=lambda: config, trust_remote_code=False)


def test_places_are_read_in_their_order_with_their_limits(two_gpus: None) -> None:
    assert read_places("auto") == ()
    assert read_places("cuda") == (Place("cuda"),)
    assert read_places("cuda, cuda:1") == (Place("cuda:0"), Place("cuda:1"))
    assert read_places("cuda:1=500MB,cpu=1.5gb,disk") == (
        Place("cuda:1", 500_000_000),
        Place("cpu", 1_500_000_000),
        Place("disk"),
    )
    assert (first_device("auto"), first_device("cuda:1,cpu")) == ("cuda", "cuda:1")
    assert needs_disk("cpu=1GB,disk")
    assert not needs_disk("cuda:0,cpu")


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("cuda:0,cuda:2", "device 'cuda:2' is not on this machine"),
        ("cuda,cuda:0", "cuda:0 is named twice"),
        ("disk", "nothing is computed on the disk"),
        ("disk,cpu", "nothing is computed on the disk"),
        ("cpu=8,disk", "write a limit as cpu=8GB"),
        ("cpu=-8GB", "write a limit"),
        ("cpu,disk=8GB", "none for the disk"),
        ("auto,cpu", "device 'auto,cpu': auto stands alone"),
        ("auto=8GB", "device 'auto=8GB': auto stands alone"),
        ("", "device '' is not on this machine"),
    ],
)
def test_what_is_no_place_is_refused_in_one_line(two_gpus: None, device: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_places(device)


def test_a_model_that_fits_one_gpu_stays_there(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, gpu0=BYTES, gpu1=10 * BYTES, cpu=10 * BYTES)
    assert placed("auto") == Placement("cuda")


def test_a_model_too_large_for_one_gpu_is_spread_evenly(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, gpu0=BYTES - 1, gpu1=BYTES - 1, cpu=10 * BYTES)
    spread_over = placed("auto")
    assert spread_over.device == "cuda:0"
    layers = [where for name, where in (spread_over.device_map or {}).items() if ".layers." in name]
    assert layers == sorted(layers)  # in order, so that hidden states cross once
    assert 3 <= layers.count(0) <= 5
    assert 3 <= layers.count(1) <= 5


def test_what_two_gpus_do_not_hold_waits_in_the_hosts_memory(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, gpu0=BYTES // 2, gpu1=BYTES // 3, cpu=10 * BYTES)
    assert set((placed("auto").device_map or {}).values()) == {0, 1, "cpu"}


def test_a_model_that_fits_nowhere_is_refused_with_the_way_out(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, gpu0=BYTES // 4, gpu1=BYTES // 4, cpu=1000)
    with pytest.raises(ModelError, match=r"do not fit .*cuda:0 takes .* --device cuda:0,cuda:1,cpu,disk"):
        placed("auto")


def test_named_gpus_are_both_used_although_one_would_do(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, gpu0=10 * BYTES, gpu1=10 * BYTES)
    assert set((placed("cuda:0,cuda:1").device_map or {}).values()) == {0, 1}


@given(st.integers(0, 2 * BYTES))
def test_no_place_takes_more_than_its_limit(limit: int) -> None:
    spread_over = spread("tiny", SKELETON, (Place("cpu", limit), Place("disk")))
    modules = spread_over.device_map or {"": spread_over.device}
    in_memory = [name for name, where in modules.items() if where == "cpu"]
    held = sum(
        parameter.numel() * 4
        for name, parameter in SKELETON.named_parameters()
        if any(not module or f"{name}.".startswith(f"{module}.") for module in in_memory)
    )
    assert held <= limit
    assert spread_over.on_disk == (held < BYTES)


def test_a_gguf_file_cannot_stay_on_the_disk() -> None:
    packed: Any = SimpleNamespace(quantization=None, format="gguf", weights=())
    with pytest.raises(ModelError, match="safetensors files that are not quantized only \\(got gguf\\)"):
        place(
            "x.gguf",
            packed,
            "cpu=1KB,disk",
            dtype=torch.float32,
            read_config=lambda: CONFIG,
            trust_remote_code=False,
        )


def test_room_is_left_to_compute_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, room in [(80 * 2**30, 72 * 2**30), (4 * 2**30, 3 * 2**30), (2**20, 0)]:
        monkeypatch.setattr(placement, "free_bytes", lambda device, size=available: size)
        assert room_on("cuda:0") == pytest.approx(room, rel=1e-9)


def test_free_memory_is_the_hosts_or_what_a_control_group_leaves(tmp_path: Path) -> None:
    meminfo, groups, mounts = tmp_path / "meminfo", tmp_path / "groups", tmp_path / "mounts"
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:   3000 kB\n")
    groups.write_text("0::/mine\n")
    assert free_host_bytes(meminfo, mounts, groups) == 3000 * 1024
    (mounts / "mine").mkdir(parents=True)
    for name, text in {"max": "2000000", "current": "1900000", "stat": "anon 5\ninactive_file 600000\n"}.items():
        (mounts / "mine" / f"memory.{name}").write_text(text)
    assert free_host_bytes(meminfo, mounts, groups) == 700_000
    (mounts / "mine" / "memory.max").write_text("max\n")
    assert free_host_bytes(meminfo, mounts, groups) == 3000 * 1024
    assert free_host_bytes(tmp_path / "none", mounts, tmp_path / "none") is None
