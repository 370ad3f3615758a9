"""One request to a service, bounded in time and size however the service drips."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from crushtest.services.retrying import Transient

if TYPE_CHECKING:
    import httpx


class Reply(NamedTuple):
    """A whole reply; the names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def post(client: httpx.Client, path: str, body: Mapping[str, Any], *, deadline_s: float, most_bytes: int) -> Reply:
    """Return the reply to a request, on a connection of its own.

    Raises Transient for a service that cannot be reached, is silent for longer than the client waits, has not sent all
    of its reply by the deadline, sends more than `most_bytes`, or not what its headers say.
    """
    import httpx

    late = Transient(f"the service's reply was not whole after {deadline_s:g} s")
    began = time.monotonic()
    with _hanging_up_after(deadline_s) as heard:
        try:
            headers = {"connection": "close"}
            with client.stream("POST", path, json=body, headers=headers, extensions={"trace": heard}) as reply:
                content = bytearray()
                for chunk in reply.iter_bytes():
                    content += chunk
                    if len(content) > most_bytes:
                        raise Transient(f"the service's reply is larger than {most_bytes:,} bytes")
            if time.monotonic() - began >= deadline_s:  # a reply without a length ends where it was hung up on
                raise late
            return Reply(reply.status_code, reply.headers, bytes(content))
        except httpx.DecodingError:
            raise Transient("the service's reply is not compressed as it says") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            problem = f"the service could not be reached ({type(error).__name__})"
            raise Transient(problem, of_service=True) from None
        except httpx.TimeoutException:
            raise Transient("the service did not answer in time") from None
        except httpx.RequestError as error:
            if time.monotonic() - began >= deadline_s:
                raise late from None
            raise Transient(f"the service could not be reached ({type(error).__name__})") from None


@contextmanager
def _hanging_up_after(deadline_s: float) -> Iterator[Any]:
    """Yield a listener to a request's events. The connection that it hears of is shut at the deadline.

    A limit per read does not bound a reply that drips: each of its bytes comes in time.
    """
    sockets: list[socket.socket] = []

    def heard(event: str, facts: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            # A second handle, which stays valid when TLS takes the first one over.
            sockets.append(facts["return_value"].get_extra_info("socket").dup())

    def hang_up() -> None:
        for connected in sockets:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(deadline_s, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield heard
    finally:
        timer.cancel()
        for connected in sockets:
            connected.close()
