"""Become a driver of a Ray cluster that somebody else has started, without what Ray would print and change here."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from crushtest.errors import UsageError, first_error_line

AUTO = "auto"
LOOPBACK = "127.0.0.1"
CONNECTS_S, SPEAKS_S = 5.0, 30.0
"""How long a cluster may take to accept a connection, and to answer on it."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of HTTP/2 begins with, which gRPC and so Ray speaks: the preface, and settings without an entry."""
SETTINGS = b"\4"
"""The fourth byte of what a server of HTTP/2 begins with: the type of its frame."""


def require_package() -> None:
    """Raise UsageError if Ray is not installed."""
    if find_spec("ray") is None:
        raise UsageError("--executor ray needs a package that is not installed; `pip install 'crushtest[ray]'`")


def connect(address: str) -> None:
    """Become a driver of a cluster. Raises UsageError if there is none, or if it refuses: none is ever started here."""
    import ray
    from ray.exceptions import RayError

    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    if address == "local" or "://" in address:
        raise UsageError(
            f"--address is `auto` or HOST:PORT of a cluster that runs (got {address!r}); start one with "
            "`ray start --head`, and run this on one of its nodes"
        )
    own = {"_node_ip_address": LOOPBACK} if address.partition(":")[0] in (LOOPBACK, "localhost") else {}
    refuse_without_cluster(address)
    _print_reports(False)
    try:
        with handler_kept(signal.SIGTERM):
            ray.init(address=address, log_to_driver=False, logging_level="error", **own)
    except (RayError, ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        _print_reports(True)
        raise UsageError(
            f"--executor ray: the cluster at {address!r} could not be joined ({first_error_line(error)}); its token "
            "(RAY_AUTH_MODE, RAY_AUTH_TOKEN), RAY_USE_TLS, and the versions of Ray and Python must be the same here"
        ) from None


def disconnect() -> None:
    """Leave the cluster."""
    import ray

    with handler_kept(signal.SIGTERM):
        ray.shutdown()
    _print_reports(True)


def refuse_without_cluster(address: str) -> None:
    """Raise UsageError unless what listens where Ray will look may be a cluster. Ray itself would try for minutes."""
    if address != AUTO:
        host_and_port(address)
    used = used_by_ray(address)
    named = repr(used) if address in (AUTO, used) else f"{address!r}, which Ray takes for {used!r}"
    way_out = "start a cluster with `ray start --head`, or give --address the HOST:PORT of one that runs"
    host, port = host_and_port(used)
    try:
        connection = socket.create_connection((host, port), timeout=CONNECTS_S)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or first_error_line(error)
        if address != used and listens(LOOPBACK, port):
            way_out = f"what listens on {LOOPBACK} alone needs RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 here as well"
        raise UsageError(f"--executor ray: nothing answers at {named} ({why}); {way_out}") from None
    with connection:
        if not (is_encrypted() or speaks_http2(connection)):
            raise UsageError(
                f"--executor ray: what answers at {named} is not a Ray cluster (one with TLS needs RAY_USE_TLS=1 "
                f"here as well); {way_out}"
            )


def host_and_port(address: str) -> tuple[str, int]:
    """Return what HOST:PORT or [IPv6]:PORT names. Raises UsageError for anything else."""
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host.strip("[]") or (":" in host and not bracketed) or not (port.isdecimal() and 0 < int(port) < 2**16):
        raise UsageError(f"--address is `auto`, HOST:PORT or [IPv6]:PORT of a cluster that runs (got {address!r})")
    return host.strip("[]"), int(port)


def used_by_ray(address: str) -> str:
    """Return the HOST:PORT where Ray looks: not loopback, but this machine's own address. Raises UsageError if none."""
    from ray._private.services import canonicalize_bootstrap_address

    try:
        return str(canonicalize_bootstrap_address(address))
    except (ConnectionError, ValueError) as error:
        raise UsageError(
            f"--executor ray: no cluster answers at {address!r} ({first_error_line(error)}); "
            "start one with `ray start --head`"
        ) from None


def listens(host: str, port: int) -> bool:
    """Return True if something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=CONNECTS_S).close()
    except OSError:
        return False
    return True


def is_encrypted() -> bool:
    """Return True if the cluster speaks TLS, as Ray reads it."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def speaks_http2(connection: socket.socket) -> bool:
    """Return True if what is connected begins as a server of HTTP/2 does (RFC 9113, section 3.4)."""
    connection.settimeout(SPEAKS_S)
    got = b""
    try:
        connection.sendall(PREFACE)
        while len(got) < 4 and (more := connection.recv(4 - len(got))):
            got += more
    except OSError:
        return False
    return got[3:] == SETTINGS


@contextmanager
def handler_kept(number: signal.Signals) -> Iterator[None]:
    """Keep this process's handler of a signal. Ray sets others, one of which prints a stack trace and exits."""
    before: Any = signal.getsignal(number)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(number, before)


def _print_reports(on: bool) -> None:
    """Say whether Ray may print what nodes report, as that a worker died.

    It does so on stdout, whatever `log_to_driver` says. No public option turns that off.
    """
    import ray._private.worker

    ray._private.worker._worker_logs_enabled = on
