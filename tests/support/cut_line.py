"""A line to a server on loopback that is cut in the middle of what is sent, and mended."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit


class CutLine:
    """Pass bytes on to a server until so many were sent to it; then hang up, and on whoever calls again."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname or "", parts.port or 0)
        self._left: float = float("inf")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def was_cut(self) -> bool:
        return self._left <= 0

    def cut_after(self, sent_bytes: int) -> None:
        self._left = sent_bytes

    def mend(self) -> None:
        self._left = float("inf")

    def __enter__(self) -> CutLine:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._left = 0
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                if self.was_cut:
                    here.close()
                    continue
                there = socket.create_connection(self._server)
                for source, target, counts in ((here, there, True), (there, here, False)):
                    threading.Thread(target=self._pass_on, args=(source, target, counts), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError), source, target:
            while content := source.recv(16384):
                if counts:
                    self._left -= len(content)
                if self.was_cut:
                    break
                target.sendall(content)
            for each in (source, target):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
