"""Requests to a server: bounded in number, time and size, made again where that may help, counted against a budget."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from crushtest.errors import CrushtestError, ModelChanged, ModelError
from crushtest.services.addresses import Address, is_local
from crushtest.services.replies import AGAIN, AT_FAULT, retry_after_s
from crushtest.services.retrying import Refused, RetryPolicy, Transient, persist

if TYPE_CHECKING:
    import httpx

Result = TypeVar("Result")
SHOWN = 160
"""Characters of a server's complaint that are passed on."""
ODD = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What reading a reply of another shape than expected raises."""
SAID_EVERY_S = 10.0
"""Lines about failed requests are no closer than this: several requests at once fail together."""


class BudgetSpent(ModelError):
    """The requests or tokens that a user allowed are used up."""


@dataclass(frozen=True)
class Limits:
    """What a run may cost.

    timeout_s     longest silence of the server
    deadline_s    longest time for one request, however lively
    reply_bytes   largest reply
    max_requests  requests in all; None for any number
    max_tokens    tokens read and written in all, as the server counts them
    """

    timeout_s: float = 120.0
    deadline_s: float = 600.0
    reply_bytes: int = 2**25
    max_requests: int | None = None
    max_tokens: int | None = None


@dataclass
class Client:
    """Asks one server. May be used by several threads.

    say               prints a line for the user
    requests, tokens  how many have been used
    """

    address: Address
    key: str | None = field(repr=False)
    limits: Limits = field(default_factory=Limits)
    patience: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = field(default_factory=lambda: partial(print, file=sys.stderr, flush=True))
    requests: int = 0
    tokens: int = 0
    _reached: bool = False
    _answering: dict[str, str] = field(default_factory=dict)
    _said_at: float = -math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _http: httpx.Client | None = field(default=None, repr=False)

    def post(self, path: str, body: Mapping[str, Any], read: Callable[[Any], Result]) -> Result:
        """Return what `read` makes of the reply. `path` is below the address if it has no slash in front, else below
        its root.

        A reply that cannot be read (`ODD`, from `read` too) is asked for again. Raises Transient once the attempts are
        spent, Refused for a request at fault, ModelError for what no repetition mends.
        """

        def once() -> Result:
            content = self._exchange("POST", path, body)
            try:
                result = read(content)
                self._count_tokens(content)
            except ODD:
                raise Transient("the server's reply cannot be read") from None
            self._same_model(path, content)
            return result

        return persist(once, self.patience, self.sleep, self._say_again)

    def get(self, path: str) -> Any:
        """Return a reply as JSON; None if the server has no such path, or refuses or cannot read it."""
        try:
            return persist(lambda: self._exchange("GET", path, None), self.patience, self.sleep, self._say_again)
        except (Refused, NoSuchPath):
            return None

    def post_or_none(self, path: str, body: Mapping[str, Any], read: Callable[[Any], Result]) -> Result | None:
        """Return what `read` makes of a reply; None if the server has no such path, or refuses the request."""
        try:
            return self.post(path, body, read)
        except (Refused, NoSuchPath):
            return None

    @contextmanager
    def required(self) -> Iterator[None]:
        """Raise ModelError if what is asked within fails for good, because nothing can go on without it."""
        try:
            yield
        except (Transient, Refused) as problem:
            raise self._for_later(problem) from None

    def _say_again(self, line: str) -> None:
        """Say at once that a request failed and is made again, so that no wait is silent."""
        with self._lock:
            now = time.monotonic()
            if now - self._said_at < SAID_EVERY_S:
                return
            self._said_at = now
        self.say(f"{self.address.base}: {line}")

    def _for_later(self, problem: Exception) -> ModelError:
        advice = "what is answered is kept, run this again later"
        if not self._reached:
            advice = "is the address right, and the server up?"
        return ModelError(f"{self.address.base}: {problem}; {advice}")

    def check_alive(self, problem: Exception) -> None:
        """Raise ModelError if the server answers nothing any more, so that a failure is not the request's own."""
        with self.required():
            try:
                self.get("models")
            except Transient:
                raise Transient(f"the server has stopped answering ({problem})") from None

    def in_parallel(
        self, jobs: Iterable[tuple[int, Callable[[], Result]]], concurrency: int
    ) -> Iterator[tuple[int, Result | str]]:
        """Yield (index, result) of jobs as they end, at most `concurrency` at once; for what the server refused, the
        reason.

        What ends the asking (a spent budget, a request whose attempts are spent, another model) is raised once the
        jobs that run have ended and their results have been yielded.
        """
        waiting, running = iter(jobs), dict[Future[Result], int]()
        last: Exception | None = None
        with ThreadPoolExecutor(concurrency) as pool:
            while True:
                while last is None and len(running) < concurrency and (job := next(waiting, None)) is not None:
                    running[pool.submit(job[1])] = job[0]
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index, result = running.pop(future), self._outcome(future)
                    if isinstance(result, CrushtestError):
                        last = last or result
                    else:
                        yield index, result
        if last is not None:
            raise last

    def _outcome(self, future: Future[Result]) -> Result | str | CrushtestError:
        try:
            return future.result()
        except Refused as problem:
            return str(problem)
        except Transient as problem:
            # The server's trouble, not the request's: as an answer it would never be asked for again.
            return self._for_later(problem)
        except CrushtestError as problem:
            return problem

    def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        import httpx

        self._count_request()
        base = self.address.root if path.startswith("/") else f"{self.address.base}/"
        began = time.monotonic()
        content = bytearray()
        try:
            with self._client().stream(method, base + path, json=body) as reply:
                self._reached = True
                self._check_status(reply, path)
                for chunk in reply.iter_bytes():
                    content += chunk
                    if len(content) > self.limits.reply_bytes:
                        raise Refused(f"the server's reply is larger than {self.limits.reply_bytes} bytes")
                    if time.monotonic() - began > self.limits.deadline_s:
                        raise Transient(f"the server's reply was not whole after {self.limits.deadline_s:g} s")
            return json.loads(content)
        except httpx.TimeoutException:
            raise Transient("the server did not answer in time") from None
        except httpx.DecodingError:
            raise Transient("the server's reply is not compressed as it says") from None
        except httpx.RequestError as error:
            raise Transient(f"no connection: the server could not be reached ({type(error).__name__})") from None
        except (ValueError, RecursionError):
            raise Transient("the server's reply is not JSON") from None

    def _check_status(self, reply: httpx.Response, path: str) -> None:
        status = reply.status_code
        if status in AGAIN or status >= 500:
            wait_s = retry_after_s(reply.headers.get("retry-after"))
            raise Transient(f"the server answered with status {status}", wait_s)
        if status in AT_FAULT:
            raise Refused(f"the server refused the request (status {status}): {self._complaint(reply)}")
        if status in (404, 405, 501):
            raise NoSuchPath(f"{self.address.base}: the server has no {path!r} (status {status})")
        if status in (401, 403):
            raise Denied(f"{self.address.base}: the server answered {path!r} with status {status}; is the key right?")
        if status != 200:
            raise ModelError(f"{self.address.base}: the server answered {path!r} with status {status}")

    def _complaint(self, reply: httpx.Response) -> str:
        """Return the beginning of an error's text, without the key if the server repeats it."""
        text = next((chunk for chunk in reply.iter_bytes(4096)), b"").decode("utf-8", "replace")
        try:
            error = json.loads(text)["error"]
            text = error["message"] if isinstance(error, dict) else str(error)
        except (ValueError, KeyError, TypeError):
            pass
        if self.key:
            text = text.replace(self.key, "***")
        return " ".join(str(text).split())[:SHOWN]

    def _count_request(self) -> None:
        limits = self.limits
        with self._lock:
            if limits.max_requests is not None and self.requests >= limits.max_requests:
                raise BudgetSpent(self._spent("max_requests", self.requests, "requests"))
            if limits.max_tokens is not None and self.tokens >= limits.max_tokens:
                raise BudgetSpent(self._spent("max_tokens", self.tokens, "tokens"))
            self.requests += 1

    def _spent(self, option: str, used: int, what: str) -> str:
        return (
            f"{self.address.base}: the budget is spent ({used} {what}); what is answered is kept, raise {option} and "
            "run this again"
        )

    def _count_tokens(self, content: Any) -> None:
        if not isinstance(content, dict):
            return
        usage = content.get("usage") or {}
        used = usage.get("total_tokens") or sum(
            int(content.get(name) or 0)
            for name in ("tokens_evaluated", "tokens_predicted", "prompt_eval_count", "eval_count")
        )
        with self._lock:
            self.tokens += int(used)

    def _same_model(self, path: str, content: Any) -> None:
        model = content.get("model") if isinstance(content, dict) else None
        if not isinstance(model, str):
            return
        with self._lock:
            before = self._answering.setdefault(path, model)
        if before != model:
            raise ModelChanged(f"{self.address.base}: the model changed from {before!r} to {model!r} while it answered")

    def _client(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._http is None:
                headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
                self._http = httpx.Client(
                    headers=headers, timeout=self.limits.timeout_s, trust_env=not is_local(self.address.base)
                )
            return self._http


class NoSuchPath(ModelError):
    """The server does not know a path."""


class Denied(ModelError):
    """The server wants a key, or another one."""
