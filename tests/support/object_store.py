"""Object storage for tests: moto's server on loopback, and a machine that dies between two requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from crushtest.files.storage.address import Address
from crushtest.files.storage.index import OWN
from crushtest.files.storage.store import Store

_numbers = count()
WRITES = ("write", "create", "upload", "copy", "remove")


class ObjectsInMemory(MemoryFileSystem):
    """Objects that several threads may read at once, as in a real store: fsspec's have one position for all readers."""

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        """Write an object's content to a file. Raises FileNotFoundError."""
        Path(lpath).write_bytes(self.cat_file(rpath))


fsspec.register_implementation("memory", ObjectsInMemory, clobber=True)


def empty_bucket() -> Address:
    """Return an address in this process's memory where nothing is yet."""
    return Address("memory", f"bucket{next(_numbers)}/study")


def upload_folder(folder: Path, address: Address) -> Address:
    """Put the files of a folder at an address, and return it."""
    for path in folder.iterdir():
        Store(address).upload(path, path.name)
    return address


def content_at(address: Address, *, own: bool = False) -> dict[str, bytes]:
    """Return every object at an address; those of the synchronisation only if they are wanted."""
    store = Store(address)
    return {name: store.read(name) or b"" for name in store.sizes() if own or not name.startswith(f"{OWN}/")}


def content_of(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, but for its lock."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


class Killed(BaseException):
    """The machine is dead: nothing it asks of the store arrives any more."""


class DyingMachine:
    """Counts what is written to any store, and dies at one of these requests: before it arrives, or after."""

    def __init__(self, at: int, *, arrives: bool) -> None:
        self.requests = 0
        self._at, self._arrives = at, arrives
        self._guard = threading.Lock()

    def asks(self, request: Callable[[], Any]) -> Any:
        """Carry out a request unless the machine is dead; die if its time has come."""
        with self._guard:
            self.requests += 1
            number = self.requests
        if number > self._at or (number == self._at and not self._arrives):
            raise Killed
        result = request()
        if number == self._at:
            raise Killed
        return result


@contextmanager
def dying(at: int, *, arrives: bool = False) -> Iterator[DyingMachine]:
    """Let this machine die at its `at`-th request that writes; the block ends when it does."""
    machine = DyingMachine(at, arrives=arrives)
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(Store, name, _counted(getattr(Store, name), machine))
        try:
            yield machine
        except Killed:
            return


def _counted(method: Callable[..., Any], machine: DyingMachine) -> Callable[..., Any]:
    def call(store: Store, *arguments: Any) -> Any:
        return machine.asks(lambda: method(store, *arguments))

    return call


@contextmanager
def s3_on_loopback() -> Iterator[dict[str, str]]:
    """Serve S3 from memory until the block ends; yield the environment that leads there, with a bucket `tests`."""
    server_of_moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = server_of_moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "an-identity-of-tests",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()
