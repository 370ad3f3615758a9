"""Objects below an address, through fsspec. Every failure is one line that names the object."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from crushtest.errors import StoreError, UnknownName, first_error_line
from crushtest.files.storage.address import Address

INSTALL = "pip install 'crushtest[remote]'"
AT_ONCE = 8
"""Requests on their way at the same time."""
_SECRET = re.compile("key|secret|token|password|credential", re.IGNORECASE)
_MARKS = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "updated", "created")
"""What stores say by which another content of an object is known; the first that one says counts."""


ADVICE = {
    "FileNotFoundError": "is there such a bucket?",
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "EndpointConnectionError": "is AWS_ENDPOINT_URL right?",
    "PermissionError": "do these credentials allow it?",
}
"""What to look at, by the name of an error of a store. s3fs's and botocore's are not imported for it."""


class Facts(NamedTuple):
    """What a store says of an object.

    mark  differs if the content does; empty if the store says nothing of that kind
    """

    size_bytes: int
    mark: str


class Store:
    """The objects below an address, by their names relative to it. Credentials are the store's own business.

    Listings are never kept: another machine may have written since.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._files, self._root = _reached(address)

    def at(self, name: str) -> str:
        """Return the address of an object."""
        return f"{self.address}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return an object's content, None if there is no such object. Raises StoreError if it cannot be read."""
        with self._naming(name, "read"):
            try:
                content: bytes = self._files.cat_file(self._path(name))
            except FileNotFoundError:
                return None
            return content

    def write(self, name: str, content: bytes) -> None:
        """Write an object. Raises StoreError if that fails."""
        with self._naming(name, "written"):
            self._files.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object that is not there yet; return False if it is. Raises StoreError if it cannot be written.

        The store decides, if it has conditional writes. A failure is no failure if the object is there: then a
        request whose answer was lost had written it, or another machine has.
        """
        try:
            with self._naming(name, "written"):
                if self._files.exists(self._path(name)):
                    return False
                self._files.pipe_file(self._path(name), content, mode="create")
        except StoreError:
            there = self.read(name)
            if there is None:
                raise
            return there == content
        return True

    def upload(self, file: Path, name: str) -> None:
        """Write a file's content to an object. Raises StoreError if that fails."""
        with self._naming(name, "written"):
            self._files.put_file(str(file), self._path(name))

    def download(self, name: str, file: Path, *, received: Callable[[int], None] | None = None) -> bool:
        """Write an object's content to a file; return False if there is no such object. Raises StoreError.

        received  is called with the bytes of each piece that has come, and may raise to end it
        """
        with self._naming(name, "read"):
            try:
                self._files.get_file(self._path(name), str(file), **({} if received is None else _calling(received)))
            except FileNotFoundError:
                file.unlink(missing_ok=True)
                return False
        return True

    def copy(self, name: str, target: str) -> bool:
        """Copy an object within the store; return False if it is not there any more. Raises StoreError."""
        with self._naming(target, "written"):
            try:
                self._files.cp_file(self._path(name), self._path(target))
            except FileNotFoundError:
                return False
        return True

    def remove(self, name: str) -> None:
        """Remove an object, if it is there. Raises StoreError if it cannot be removed."""
        with self._naming(name, "removed"), suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the bytes of every object below the address, or below a folder there, by name.

        Raises StoreError if they cannot be listed: no such bucket, no permission, no network.
        """
        return {name: facts.size_bytes for name, facts in self.listed(folder).items()}

    def listed(self, folder: str = "", *, depth: int | None = None) -> dict[str, Facts]:
        """Return what the store says of every object below the address, or below a folder there, by name.

        depth  of folders below that are looked into; None: all. Raises StoreError as `sizes` does.
        """
        top = self._path(folder) if folder else self._root
        with self._naming(folder, "listed"):
            self._files.invalidate_cache()
            listed = self._files.find(top, detail=True, maxdepth=depth)
        below = len(self._root) + 1
        return {
            path[below:]: _facts(facts)
            for path, facts in listed.items()
            if facts.get("type") == "file" and path.startswith(f"{self._root}/") and not path.endswith("/")
        }

    def facts(self, name: str) -> Facts | None:
        """Return what the store says of an object, None if there is no such object. Raises StoreError."""
        with self._naming(name, "read"):
            try:
                return _facts(self._files.info(self._path(name)))
            except FileNotFoundError:
                return None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _naming(self, name: str, done: str) -> Iterator[None]:
        """Turn whatever a store raises into one line. Each has errors of its own, of no common kind."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            place = self.at(name) if name else str(self.address)
            why = without_secrets(first_error_line(error))
            advice = f"; {ADVICE[type(error).__name__]}" if type(error).__name__ in ADVICE else ""
            raise StoreError(f"{place} could not be {done} ({type(error).__name__}: {why}){advice}") from None


def _facts(said: Mapping[str, Any]) -> Facts:
    mark = next((said[name] for name in _MARKS if said.get(name)), "")
    return Facts(int(said.get("size") or 0), str(mark).strip('"'))


def _calling(received: Callable[[int], None]) -> dict[str, Any]:
    """Return the options of a download that calls a function with the bytes of each piece."""
    from fsspec.callbacks import Callback

    class Calling(Callback):  # type: ignore[misc]  # fsspec has no types
        def relative_update(self, inc: int = 1) -> None:
            received(inc)

    return {"callback": Calling()}


def for_each(names: Iterable[str], function: Callable[[str], object], *, stop: Callable[[], object] = bool) -> None:
    """Call a function with every name, several at once. Raises the first error, and begins no further call then.

    stop  is called first at an error, and may end calls that have begun, which are waited for
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [pool.submit(function, name) for name in names]
        try:
            for call in calls:
                call.result()
        except BaseException:
            stop()
            pool.shutdown(cancel_futures=True)
            raise


def without_secrets(text: str) -> str:
    """Return a text without what the environment's keys, tokens and passwords hold."""
    for variable, value in os.environ.items():
        if len(value) >= 6 and _SECRET.search(variable):
            text = text.replace(value, "***")
    return text


def _reached(address: Address) -> tuple[Any, str]:
    """Return the file system of an address and the path there. Raises StoreError if a package is missing."""
    if not (loop := logging.getLogger("asyncio")).handlers:
        # A request that fails is raised here. What it leaves in fsspec's thread would be printed with a traceback.
        loop.addHandler(logging.NullHandler())
    try:
        from fsspec.core import url_to_fs
        from fsspec.registry import get_filesystem_class, known_implementations
    except ModuleNotFoundError:
        raise StoreError(
            f"{address} is in object storage, which a plain installation does not reach; {INSTALL}"
        ) from None
    known = known_implementations.get(address.protocol)
    if known is None:
        raise UnknownName("protocol", address.protocol, known_implementations, where=str(address))
    try:
        get_filesystem_class(address.protocol)
        files, path = url_to_fs(str(address), skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        package = known["class"].partition(".")[0]
        install = {"s3fs": INSTALL, "fsspec": f"install {error.name}"}.get(package, f"pip install {package}")
        raise StoreError(f"{address}: {address.protocol}:// needs a package that is not installed; {install}") from None
    except Exception as error:
        why = without_secrets(first_error_line(error))
        raise StoreError(f"{address} cannot be reached ({type(error).__name__}: {why})") from None
    return files, path.rstrip("/")
