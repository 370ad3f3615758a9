"""A page in a real browser that notes everything it says or asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DRAWN_WITHIN_MS = 300_000


class Seen:
    """A page, and everything it said or asked for that it should not have."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.address = path.as_uri()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if request.url.partition("#")[0] != self.address:
            self.complaints.append(f"asked for {request.url}")

    def draw_all(self) -> None:
        """Wait until every figure is drawn. Figures are drawn as they come near the screen or the browser has time."""
        from playwright import sync_api

        every = self.page.locator(".canvas").count()
        sync_api.expect(self.page.locator(".canvas.drawn")).to_have_count(every, timeout=DRAWN_WITHIN_MS)
