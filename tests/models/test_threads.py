"""Threads come from affinity, the container's quota and the user, in rising order; waiting threads soon sleep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.models import threads

Pretend = Callable[[int, int, float | None], None]
VARIABLES = (threads.BLAS, *threads.COUNTS, *threads.WAITS)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "restored afterwards")  # so that what the code sets is undone
        monkeypatch.delenv(name)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Pretend to be on a machine of so many processors, of which these may be used and the quota pays for so many."""

    def pretend(machine: int, affinity: int, quota: float | None) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: machine)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
        monkeypatch.setattr(threads, "cpu_quota", lambda: quota)

    return pretend


def quota_of(folder: Path, lines: str, files: dict[str, str]) -> float | None:
    for name, content in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "groups").write_text(lines)
    return threads.cpu_quota(folder / "mount", folder / "groups")


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000", "cpu.max": "max 100000"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2),
        ("0::/docker/abc\n", {"cpu.max": "300000 100000"}, 3),  # inside the container the mount is the group
        (
            "4:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "50000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("3:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "50000", "cpuset/cpu.cfs_period_us": "100000"}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_the_quota_is_the_least_of_the_groups_above(
    lines: str, files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    assert quota_of(tmp_path, lines, files) == expected


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert threads.cpu_quota(tmp_path / "mount", tmp_path / "groups") is None


@given(affinity=st.integers(1, 64), quota=st.none() | st.floats(0.01, 128))
def test_processors_are_never_more_than_either_limit(affinity: int, quota: float | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "affinity", lambda: affinity)
        patch.setattr(threads, "cpu_quota", lambda: quota)
        count = threads.processors()
    assert 1 <= count <= affinity
    assert quota is None or count <= max(1, quota)
    assert quota is None or count == affinity or count > quota - 1


@pytest.mark.parametrize(
    ("machine", "affinity", "quota", "expected"),
    [
        (64, 64, None, set()),  # not shared, many: the runtime's own
        (2, 2, None, {"GOMP_SPINCOUNT"}),  # few
        (64, 32, None, {"GOMP_SPINCOUNT"}),  # shared; libraries see the affinity themselves
        (64, 64, 4.0, {"GOMP_SPINCOUNT", *threads.COUNTS}),  # they do not see the quota
    ],
)
def test_what_is_settled(machine: int, affinity: int, quota: float | None, expected: set[str], on: Pretend) -> None:
    on(machine, affinity, quota)
    threads.settle()
    assert {name for name in VARIABLES if name in os.environ} == {threads.BLAS, *expected}
    assert os.environ[threads.BLAS] == "1"  # several of its products run at once
    assert all(os.environ[name] == "4" for name in threads.COUNTS if name in expected)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", threads.BLAS, *threads.COUNTS])
def test_what_the_user_set_stands(name: str, on: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    on(8, 8, 2.0)
    monkeypatch.setenv(name, "7")
    threads.settle()
    assert os.environ[name] == "7"
    assert ("GOMP_SPINCOUNT" in os.environ) == (name != "OMP_WAIT_POLICY")


def test_the_flag_is_above_all_and_what_was_used_is_recorded(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from support.tiny_models import network, tokenizer

    network("llama").save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    arguments = ["evaluate", str(tmp_path / "model"), "--suite", "probe_qa", "--limit", "4", "-o", str(tmp_path / "s")]
    subprocess.run(
        [sys.executable, "-m", "crushtest", *arguments, "--threads", "1"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["arms"]["dense"]["engine"]["threads"] == 1
    if (os.cpu_count() or 1) <= threads.FEW:
        assert manifest["machine"]["thread_waits"] == {"GOMP_SPINCOUNT": str(threads.SPINS)}
