"""What many tests share: threads, the folders of data beside the repository, and the slow lane's switch."""

from __future__ import annotations

import support.one_thread  # noqa: F401

# isort: split
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from crushtest.data import catalogue
from support.few_resamples import resample_less
from support.substitutes import substituted

# The same examples in every run, and no file of earlier ones.
settings.register_profile("crushtest", derandomize=True, deadline=None, database=None)
settings.load_profile("crushtest")

SHARED = Path(__file__).parents[2] / "shared"
MANY_MODULES = 100


class Imported:
    """Keeps what was imported out of garbage collections, of which every arm of a study asks for one."""

    modules = 0

    def leave_out(self) -> None:
        """Freeze all that is alive, if many modules were imported since this was last done."""
        if len(sys.modules) > self.modules + MANY_MODULES:
            self.modules = len(sys.modules)
            gc.collect()
            gc.freeze()


imported = Imported()


def pytest_collection_finish() -> None:
    imported.leave_out()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("CRUSHTEST_SLOW") != "1":
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="simulations run with CRUSHTEST_SLOW=1"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `gpu`, or `gpu(2)`, on a machine with fewer CUDA GPUs."""
    imported.leave_out()
    marker = item.get_closest_marker("gpu")
    if marker is not None:
        import torch

        needed, here = marker.args[0] if marker.args else 1, torch.cuda.device_count()
        if here < needed:
            pytest.skip(f"needs {needed} CUDA GPU{'s' if needed > 1 else ''}; this machine has {here}")


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """Tests kill processes, not machines, so that what is written need not be on the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _few_resamples(request: pytest.FixtureRequest) -> Iterator[None]:
    """Studies draw few resamples, but where the statistics are what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name != "stats":
            resample_less(patch)
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """The mirror of public data sets named by CRUSHTEST_DATA; the test skips where there is none."""
    folder = os.environ.get("CRUSHTEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CRUSHTEST_DATA names no folder")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def reference() -> Path:
    """Outputs of other people's reference code; the test skips where they are not beside the repository."""
    folder = SHARED / "reference"
    if not folder.is_dir():
        pytest.skip("no ../shared/reference beside the repository")
    return folder


@pytest.fixture
def substitutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read substitutes for the public files that the mirror lacks (see substitutes.py)."""
    data_sets = substituted(catalogue.data_sets())
    monkeypatch.setattr(catalogue, "data_sets", lambda: data_sets)
