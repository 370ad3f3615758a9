"""A server on this machine with a model of bytes, which behaves as real servers do, and misbehaves as they do."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from support.loopback import QuietHandler, serving_on_loopback

BOS, EOS, VOCABULARY = 256, 257, 258
TEMPLATE = "{chat}"


@cache
def distribution(before: tuple[int, ...]) -> np.ndarray:
    """The model: log-probabilities of the next byte, which follow from the three before it. Letters are likely."""
    seed = int.from_bytes(hashlib.sha256(repr(before[-3:]).encode()).digest()[:8], "little")
    logits = np.random.default_rng(seed).normal(size=VOCABULARY) * 2
    logits[32:127] += 3
    logits[65:69] += 3
    return logits - np.log(np.exp(logits).sum())


def encode(text: str) -> list[int]:
    """A token per byte; `<s>` and `</s>` are read as special."""
    special = {"<s>": [BOS], "</s>": [EOS]}
    parts = re.split("(</?s>)", text)
    return [token for part in parts for token in special.get(part, part.encode())]


def piece(token: int) -> str:
    return {BOS: "<s>", EOS: "</s>"}.get(token) or (chr(token) if token < 128 else "\ufffd")


def decode(tokens: Sequence[int]) -> str:
    return bytes(token for token in tokens if token < 256).decode("utf-8", "replace")


def log_likelihood(tokens: Sequence[int], start: int) -> float:
    """The oracle: the sum over tokens from `start` on."""
    return float(sum(distribution(tuple(tokens[max(at - 3, 0) : at]))[tokens[at]] for at in range(start, len(tokens))))


@dataclass
class Stub:
    """A server. `kind`: llama.cpp, vllm, ollama, openai.

    echoes        honours `echo`
    biases        honours `logit_bias`
    shifted       echoes every log-probability one token late
    likeliest     how many likeliest tokens it gives; 0 for none
    completes     knows /v1/completions; else chat only
    cuts_to       reads so many tokens of a prompt and drops the others
    doubles_bos   puts a beginning-of-text token before token ids as well
    wraps         puts prompts into its chat template
    failing       so many of ten requests fail, in each way in turn
    failing_after after so many scored requests three of ten fail
    version       of the program
    drip_s        waits so long after every byte
    becomes       after so many scored requests, another build answers
    key           wants this key
    odd           replies in place of those of some paths
    says          what it says in chat, one text after another, before it writes by itself; asked for log-probabilities,
                  it says none of them
    switch        the variable of its chat template that opens and closes a thinking part if it is false
    thought       what it thinks before it speaks in chat, which it tells apart, under this name of its message
    finish        the reason that it gives in chat for having ended, in place of the true one
    """

    kind: str = "openai"
    echoes: bool = True
    biases: bool = True
    shifted: bool = False
    likeliest: int = 20
    completes: bool = True
    cuts_to: int | None = None
    doubles_bos: bool = False
    wraps: bool = False
    failing: int = 0
    failing_after: int | None = None
    version: str = "b1"
    drip_s: float = 0.0
    becomes: int | None = None
    key: str | None = None
    odd: dict[str, Any] = field(default_factory=dict)
    says: list[str] = field(default_factory=list)
    switch: str | None = None
    thought: tuple[str, str] | None = None
    finish: object = ""
    context: int = 2048
    model: str = "stub"
    requests: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)
    chats: list[dict[str, Any]] = field(default_factory=list)
    seeds: set[int] = field(default_factory=set)
    contexts: set[int | None] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    busiest: int = 0
    _busy: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    # ---- replies

    def reply(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        with self._lock:
            self.requests[path] += 1
            number = sum(self.requests.values())
        if self.failing_after is not None and self._scored() > self.failing_after:
            self.failing = 3
        if self.failing and method == "POST" and path.startswith("/v1") and number % 10 < self.failing:
            return self._fail()
        if path in self.odd:
            return 200, {}, json.dumps(self.odd[path]).encode()
        handler = self._routes().get(path)
        if handler is None:
            return 404, {}, b"{}"
        try:
            return 200, {}, json.dumps(handler(body)).encode()
        except PermissionError as error:
            return 400, {}, json.dumps({"error": {"message": str(error)}}).encode()

    def _fail(self) -> tuple[int, dict[str, str], bytes]:
        kinds = {
            "429": (429, {"Retry-After": "0.01"}, b"slow down"),
            "500": (500, {}, b"oops"),
            "broken": (200, {}, b'{"choices": ['),
            "null": (200, {}, b"null"),
            "empty": (200, {}, b'{"choices": []}'),
            "usage": (200, {}, b'{"choices": [{"message": {"content": "a"}, "text": "a"}], "usage": "x"}'),
            "gzip": (200, {"Content-Encoding": "gzip"}, b"no gzip"),
            "nested": (200, {}, b"[" * 100_000),
        }
        with self._lock:
            kind = sorted(kinds)[sum(self.failures.values()) % len(kinds)]
            self.failures[kind] += 1
        return kinds[kind]

    def _routes(self) -> dict[str, Any]:
        routes: dict[str, Any] = {"/v1/models": lambda body: {"data": [self._listed()]}}
        routes["/v1/chat/completions"] = self._chat
        if self.completes:
            routes["/v1/completions"] = self._completions
        if self.kind == "vllm":
            routes |= {"/version": lambda body: {"version": self._build()}, "/tokenize": self._vllm_tokenize}
            routes["/detokenize"] = lambda body: {"prompt": "".join(map(piece, body["tokens"]))}
        if self.kind == "ollama":
            routes |= {"/api/version": lambda body: {"version": self._build()}, "/api/generate": self._generate}
        if self.kind == "llama.cpp":
            routes |= {"/props": lambda body: self._props(), "/completion": self._completion}
            routes |= {
                "/tokenize": self._llama_tokenize,
                "/detokenize": lambda body: {"content": decode(body["tokens"])},
                "/apply-template": lambda body: {"prompt": self._render(body["messages"], body)},
            }
        return routes

    def _listed(self) -> dict[str, Any]:
        # As vLLM does, which makes its list anew for each request; two may fall into one second here.
        created = int(time.time()) + self.requests["/v1/models"]
        return {"id": self.model, "created": created, "owned_by": self._build(), "max_model_len": self.context}

    def _build(self) -> str:
        return "b2" if self.becomes is not None and self._scored() > self.becomes else self.version

    def _scored(self) -> int:
        return sum(self.requests[path] for path in ("/completion", "/v1/completions", "/v1/chat/completions"))

    def _props(self) -> dict[str, Any]:
        return {
            "default_generation_settings": {"n_ctx": self.context},
            "build_info": self._build(),
            "model_path": "/home/somebody/models/stub.gguf",
            "chat_template": TEMPLATE,
            "bos_token": "<s>",
            "eos_token": "</s>",
        }

    def _render(self, messages: Sequence[dict[str, str]], body: dict[str, Any] | None = None) -> str:
        off = (body or {}).get("chat_template_kwargs", {}).get(self.switch) is False
        turns = "".join(f"[{message['role']}]{message['content']}\n" for message in messages)
        return f"<s>{turns}[assistant]" + "<think></think>" * off

    def _llama_tokenize(self, body: dict[str, Any]) -> dict[str, Any]:
        tokens = [BOS] * body.get("add_special", False) + encode(body["content"])
        if not body.get("with_pieces"):
            return {"tokens": tokens}
        return {"tokens": [{"id": t, "piece": piece(t) if t < 128 or t > 255 else [t]} for t in tokens]}

    def _vllm_tokenize(self, body: dict[str, Any]) -> dict[str, Any]:
        if "messages" in body:
            return {"tokens": encode(self._render(body["messages"], body))}
        return {"tokens": [BOS] * body.get("add_special_tokens", True) + encode(body["prompt"])}

    def _read(self, prompt: Any) -> list[int]:
        """The tokens that the server reads of a prompt."""
        if isinstance(prompt, str):
            prompt = self._render([{"role": "user", "content": prompt}]) if self.wraps else prompt
            tokens = [BOS] * (not prompt.startswith("<s>")) + encode(prompt)
        else:
            tokens = [BOS] * self.doubles_bos + list(prompt)
            tokens = encode(self._render([{"role": "user", "content": decode(prompt)}])) if self.wraps else tokens
        return tokens if self.cuts_to is None else tokens[-self.cuts_to :]

    def _write(self, tokens: list[int], body: dict[str, Any], count: int) -> tuple[list[int], str]:
        written: list[int] = []
        seed = int(body.get("seed") or 0)
        self.seeds.add(seed)
        random = np.random.default_rng(seed)
        for _ in range(count):
            values = distribution(tuple((tokens + written)[-3:]))
            greedy = not body.get("temperature")
            token = int(values.argmax() if greedy else random.choice(VOCABULARY, p=np.exp(values)))
            if token == EOS:
                return written, "eos"
            written.append(token)
        return written, "length"

    def _top(self, tokens: Sequence[int], count: int) -> list[tuple[int, float]]:
        values = distribution(tuple(tokens[-3:]))
        return [(int(token), float(values[token])) for token in np.argsort(-values)[:count]]

    def _completions(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted = int(body.get("logprobs") or 0)
        if wanted > max(self.likeliest, 1) and not body.get("echo"):
            raise PermissionError(f"at most {self.likeliest} logprobs (key {self.key})")
        tokens = self._read(body["prompt"])
        self.prompts[str(body["prompt"])] += 1
        written, stop = self._write(tokens, body, body["max_tokens"])
        choice: dict[str, Any] = {"text": decode(written), "finish_reason": "length" if stop == "length" else "stop"}
        if wanted and (self.likeliest or body.get("echo")):
            listed = tokens + written if body.get("echo") and self.echoes else written
            first = len(tokens) - len(listed) + len(written)
            values: list[float | None] = [
                log_likelihood((tokens + written)[: at + 1], at) for at in range(first, first + len(listed))
            ]
            if body.get("echo") and self.echoes:
                values[0] = None
                if self.shifted:
                    values = [None, values[1], *values[1:-1]]
            top = [{piece(t): v for t, v in self._top(tokens, wanted)}] if self.likeliest else [None]
            choice["logprobs"] = {
                "tokens": [piece(token) for token in listed],
                "token_logprobs": values,
                "top_logprobs": top,
                "text_offset": [0] * len(listed),
            }
            if body.get("echo") and not self.echoes:
                choice["logprobs"] = {"content": [self._content(tokens, wanted)]}
        usage = {"prompt_tokens": len(tokens), "completion_tokens": len(written)}
        return {"model": self.model, "choices": [choice], "usage": usage | {"total_tokens": sum(usage.values())}}

    def _content(self, tokens: Sequence[int], count: int) -> dict[str, Any]:
        top = [{"token": piece(t), "logprob": v} for t, v in self._top(tokens, count)]
        return {"token": top[0]["token"], "logprob": top[0]["logprob"], "top_logprobs": top}

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        tokens = self._read(encode(self._render(body["messages"], body)))
        self.prompts[json.dumps(body["messages"])] += 1
        self.chats.append(body)
        if self.says and not body.get("logprobs"):
            return self._say(self.says.pop(0), len(tokens), body)
        written, stop = self._write(tokens, body, body["max_tokens"])
        choice: dict[str, Any] = {
            "message": {"content": decode(written)},
            "finish_reason": "length" if stop == "length" else "stop",
            "logprobs": None,
        }
        if body.get("logprobs") and self.likeliest:
            if body["top_logprobs"] > self.likeliest:
                raise PermissionError(f"at most {self.likeliest}")
            choice["logprobs"] = {"content": [self._content(tokens, body["top_logprobs"])]}
        usage = {"prompt_tokens": len(tokens), "completion_tokens": len(written)}
        return {"model": self.model, "choices": [choice], "usage": usage}

    def _say(self, text: str, tokens: int, body: dict[str, Any]) -> dict[str, Any]:
        thought = self.thought[1] if self.thought else ""
        room = body["max_tokens"]
        message: dict[str, Any] = {"content": text[: max(room - len(thought), 0)] or None}
        if self.thought:
            message[self.thought[0]] = thought[:room]
        cut = len(thought) + len(text) >= room
        reason: object = ("length" if cut else "stop") if self.finish == "" else self.finish
        choice = {"message": message, "finish_reason": reason, "logprobs": None}
        usage = {"prompt_tokens": tokens, "completion_tokens": min(len(thought) + len(text), room)}
        return {"model": self.model, "choices": [choice], "usage": usage}

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        tokens = self._read(body["prompt"])
        self.prompts[str(body["prompt"])] += 1
        written, stop = self._write(tokens, body, body["n_predict"])
        values = distribution(tuple(tokens[-3:])).copy()
        first = written[0] if written else EOS
        if self.biases:
            biased = values.copy()
            for token, bias in body.get("logit_bias", ()):
                biased[token] += bias
            first = int(biased.argmax()) if body.get("logit_bias") else first
        listed = [{"id": t, "logprob": v} for t, v in self._top(tokens, body.get("n_probs", 0))]
        probabilities = [{"id": first, "logprob": float(values[first]), "top_logprobs": listed}]
        return {
            "model": self.model,
            "content": decode([first] if body.get("logit_bias") else written),
            "tokens_evaluated": len(tokens),
            "tokens_predicted": len(written),
            "stop_type": "limit" if stop == "length" else "eos",
            # As llama-server: none while the text ends within a character.
            **({} if 128 <= first < BOS else {"completion_probabilities": probabilities}),
        }

    def _generate(self, body: dict[str, Any]) -> dict[str, Any]:
        tokens = self._read(encode(body["prompt"]))
        self.prompts[body["prompt"]] += 1
        self.contexts.add(body["options"].get("num_ctx"))
        written, stop = self._write(tokens, body["options"], body["options"]["num_predict"])
        reply = {
            "model": self.model,
            "response": decode(written),
            "done_reason": "length" if stop == "length" else "stop",
        }
        reply |= {"prompt_eval_count": len(tokens), "eval_count": len(written)}
        return reply | {"logprobs": [self._content(tokens, body["top_logprobs"])]} if body.get("logprobs") else reply


@contextmanager
def serving(stub: Stub) -> Iterator[str]:
    """Run it; gives the address."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self._answer("GET", {})

        def do_POST(self) -> None:
            self._answer("POST", json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, method: str, body: dict[str, Any]) -> None:
            given = self.headers.get("authorization", "")
            stub.keys.add(given)
            with stub._lock:
                stub._busy += 1
                stub.busiest = max(stub.busiest, stub._busy)
            if stub.key is not None and given != f"Bearer {stub.key}":
                status, headers, content = 401, dict[str, str](), b"{}"
            else:
                status, headers, content = stub.reply(method, self.path, body)
            with stub._lock:
                stub._busy -= 1
            try:
                self.begin(status, headers, len(content))
                if not stub.drip_s or method == "GET":
                    self.wfile.write(content)
                    return
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(stub.drip_s)
            except (BrokenPipeError, ConnectionResetError):  # the client has given up waiting
                pass

    with serving_on_loopback(Handler) as address:
        yield address


def nats(text: str) -> float:
    """A text's log-likelihood after the beginning-of-text token."""
    return log_likelihood([BOS, *encode(text)], 1)
