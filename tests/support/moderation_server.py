"""A moderation endpoint on this machine that fails as real ones do."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.loopback import QuietHandler, serving_on_loopback

CATEGORIES = ("harassment", "hate", "sexual", "violence")
POISON = "POISON"
"""A text with this word makes the endpoint refuse the whole request."""
PATIENCE_S = 3.0
"""How long a client waits for a reply. One that comes late counts as given here, so it must be late only once."""


def score(text: str, category: str) -> float:
    """What this endpoint says of a text: a number that follows from the text alone."""
    return int.from_bytes(hashlib.sha256(f"{category} {text}".encode()).digest()[:4]) / 2**32


class Endpoint:
    """Answers, or fails with a chance of `failing`, in every way it knows in turn.

    answered   how often a text was in a request that got its whole answer
    requests   how many there were; `keys` the keys they came with
    """

    def __init__(self, *, failing: float = 0.0, seed: int = 0, always: Callable[[list[str]], int | None] | None = None):
        self.failing = failing
        self.always = always
        self.answered: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.requests = 0
        self.keys: set[str] = set()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def reply(self, texts: list[str]) -> tuple[int, dict[str, str], bytes, float]:
        """Status, headers, body, and seconds to wait before they are sent."""
        with self._lock:
            self.requests += 1
            status = self.always(texts) if self.always else None
            if status is None and any(POISON in text for text in texts):
                status = 400
            if status is not None:
                return status, {}, b'{"error": {"message": "no"}}', 0.0
            if self._random.random() < self.failing:
                return self._failure(texts)
            self.answered.update(texts)
            return 200, {}, json.dumps(self._answer(texts)).encode(), 0.0

    def _answer(self, texts: list[str]) -> dict[str, Any]:
        results = [
            {"flagged": score(text, "hate") > 0.9, "category_scores": {name: score(text, name) for name in CATEGORIES}}
            for text in texts
        ]
        return {"id": "modr-1", "model": "omni-moderation-2024-09-26", "results": results}

    def _failure(self, texts: list[str]) -> tuple[int, dict[str, str], bytes, float]:
        whole = self._answer(texts)
        invented = {**whole, "results": [{"flagged": False, "category_scores": {"hate": float("nan")}} for _ in texts]}
        kinds: dict[str, tuple[int, dict[str, str], bytes, float]] = {
            "429": (429, {"Retry-After": "0.02"}, b"slow down", 0.0),
            "500": (500, {}, b"oops", 0.0),
            "503": (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"", 0.0),
            "timeout": (200, {}, json.dumps(whole).encode(), PATIENCE_S + 1),
            "html": (200, {}, b"<html>gateway</html>", 0.0),
            "cut": (200, {}, json.dumps(whole).encode()[:-20], 0.0),
            "too few": (200, {}, json.dumps({**whole, "results": whole["results"][1:]}).encode(), 0.0),
            "not a number": (200, {}, json.dumps(invented).encode(), 0.0),
            "null": (200, {}, b"null", 0.0),
        }
        kind = sorted(kinds)[sum(self.failures.values()) % len(kinds)]
        if kind == "timeout" and self.failures[kind]:
            kind = "500"  # one is waited for
        self.failures[kind] += 1
        return kinds[kind]


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[str]:
    """Run it; gives the base address."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.keys.add(self.headers.get("authorization", ""))
            status, headers, body, wait_s = endpoint.reply(content["input"])
            time.sleep(wait_s)
            try:
                self.begin(status, headers, len(body))
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):  # the client has given up waiting
                pass

    with serving_on_loopback(Handler) as address:
        yield address
