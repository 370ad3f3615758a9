"""Completions: the server draws them, with the sampling and the seed that it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crushtest.engines.encoding import conversation, encode_prompts
from crushtest.engines.generation import seed_of
from crushtest.engines.openai.tokenizers import template_arguments
from crushtest.engines.openai.ways.way import Setting
from crushtest.engines.packing import Line
from crushtest.engines.thinking import with_opening
from crushtest.engines.token_digest import digest_of_lines
from crushtest.errors import EngineError
from crushtest.records import UNKNOWN_STOP, Completion, Prompt, Sampling, Unanswered
from crushtest.thinking import CLOSING, OPENING

NEUTRAL = {
    "vllm": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
}
"""Settings that undo what a model's own generation settings would add to the sampling."""
THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers that tell thinking from answers put it (vLLM, SGLang and llama-server; newer vLLM and Ollama)."""
LLAMA_NEUTRAL = {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0}


def added_by_server(setting: Setting) -> dict[str, Any] | None:
    """Return the settings that a server adds to a study's sampling; None if it may add some that it does not tell.

    Those of a model's own generation settings are undone where a request can do that.
    """
    kind = setting.server.kind
    return {} if kind in NEUTRAL or (kind == "llama.cpp" and setting.tokenizer is not None) else None


@dataclass(frozen=True)
class Writing:
    """Continues prompts, as token ids where the server tells its tokens, else as texts and messages."""

    setting: Setting

    def generate(self, requests: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion | Unanswered]]:
        """Yield the completions as they come."""
        if sampling.max_tokens < 1:
            raise EngineError(f"max_tokens must be at least 1 (got {sampling.max_tokens})")
        texts = any(not request.chat for request in requests)
        if texts and self.setting.tokenizer is None and self.setting.server.kind != "ollama":
            self.setting.refuse_wrapped()
        yield from self.setting.each(requests, lambda request: self._write(request, sampling))

    def _write(self, request: Prompt, sampling: Sampling) -> Completion:
        if self.setting.tokenizer is not None:
            prompt = list(encode_prompts(self.setting.tokenizer, [request])[0])
            written = with_opening(self._continue_tokens(prompt, request, sampling), self.setting.tokenizer, prompt)
            return replace(written, token_digest=digest_of_lines([Line(prompt, 1)]))
        if request.chat:
            return self.reply(request, sampling)
        return self._continue_text(request, sampling)

    def _continue_tokens(self, prompt: list[int], request: Prompt, sampling: Sampling) -> Completion:
        context = self.setting.server.context
        if context is not None and len(prompt) + sampling.max_tokens > context:
            raise EngineError(
                f"{self.setting.base}: a prompt of {len(prompt)} tokens and {sampling.max_tokens} to write do not fit "
                f"into the server's context of {context}; give it a longer one"
            )
        if self.setting.server.kind == "llama.cpp":
            return self._llama(prompt, request, sampling)
        body = {"prompt": prompt, **self._common(request, sampling)}
        written, read = self.setting.client.post("completions", body, lambda reply: _read(reply, sampling))
        self.setting.check_read(len(prompt), read)
        return written

    def _llama(self, prompt: list[int], request: Prompt, sampling: Sampling) -> Completion:
        body = {
            "prompt": prompt,
            "n_predict": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed_of(request, sampling),
            "stop": list(sampling.stop),
            # The temperature first, as everywhere here.
            "samplers": ["temperature", "top_p"],
            **LLAMA_NEUTRAL,
        }

        def read(reply: Any) -> tuple[Completion, object]:
            stop = {"eos": "eos", "limit": "length", "word": "stop"}.get(reply["stop_type"], UNKNOWN_STOP)
            count = int(reply["tokens_predicted"])
            return completion(str(reply["content"]), count, stop, sampling), reply.get("tokens_evaluated")

        written, evaluated = self.setting.client.post("/completion", body, read)
        self.setting.check_read(len(prompt), evaluated)
        return written

    def _continue_text(self, request: Prompt, sampling: Sampling) -> Completion:
        text = "\n\n".join([*(part for turn in request.history for part in turn), request.text])
        if self.setting.server.kind == "ollama":
            return self._ollama(text, request, sampling)
        body = {"prompt": text, **self._common(request, sampling)}
        written, read = self.setting.client.post("completions", body, lambda reply: _read(reply, sampling))
        self.setting.check_words(text, read)
        return written

    def _ollama(self, text: str, request: Prompt, sampling: Sampling) -> Completion:
        options = {
            "num_predict": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed_of(request, sampling),
            "stop": list(sampling.stop),
            "top_k": 0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
        }
        if self.setting.server.context is not None:
            options["num_ctx"] = self.setting.server.context
        body = {"model": self.setting.server.model, "prompt": text, "raw": True, "stream": False, "options": options}

        def read(reply: Any) -> tuple[Completion, object]:
            stop = _why(reply["done_reason"], sampling)
            written = completion(str(reply["response"]), int(reply["eval_count"]), stop, sampling)
            return written, reply.get("prompt_eval_count")

        written, evaluated = self.setting.client.post("/api/generate", body, read)
        self.setting.check_words(text, evaluated)
        return written

    def reply(self, request: Prompt, sampling: Sampling) -> Completion:
        """Return the reply to a user's message, which the server puts into its own chat template."""
        messages = conversation(request.text, request.history, request.system, request.reply)
        body = {"messages": messages, **self._common(request, sampling), **template_arguments(self.setting.variables)}
        written, read = self.setting.client.post("chat/completions", body, lambda reply: _read(reply, sampling))
        self.setting.check_words(" ".join(message["content"] for message in messages), read)
        return written

    def _common(self, request: Prompt, sampling: Sampling) -> dict[str, Any]:
        body = {
            "model": self.setting.server.model,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed_of(request, sampling),
            **NEUTRAL.get(self.setting.server.kind, {}),
        }
        return body | {"stop": list(sampling.stop)} if sampling.stop else body


def completion(text: str, tokens: int, stop: str, sampling: Sampling) -> Completion:
    """Return a completion; some servers count the token that ends a text, which is none of its own."""
    limit = sampling.max_tokens if stop in ("length", UNKNOWN_STOP) else sampling.max_tokens - 1
    return Completion(text, sampling.max_tokens if stop == "length" else min(tokens, limit), stop)


def _read(reply: Any, sampling: Sampling) -> tuple[Completion, object]:
    """Return the completion of a reply to /v1/completions or /v1/chat/completions, and how many tokens were read."""
    choice, usage = reply["choices"][0], reply.get("usage") or {}
    stop = _why(choice.get("finish_reason"), sampling)
    if stop == "stop" and "stop_reason" in choice and not choice["stop_reason"]:
        stop = "eos"  # vLLM names the string; others do not say whether a string or the model ended the text
    elif stop == "eos" and choice.get("stop_reason"):
        stop = "stop"
    text = _whole_message(choice["message"], stop) if "message" in choice else str(choice["text"])
    return completion(text, int(usage["completion_tokens"]), stop, sampling), usage.get("prompt_tokens")


def _why(reason: object, sampling: Sampling) -> str:
    """Return why a server says that a completion ended; unknown for what says neither that it ended nor by what."""
    if reason == "length":
        return "length"
    if reason in ("stop", "eos_token"):
        return "stop" if sampling.stop else "eos"
    return UNKNOWN_STOP


def _whole_message(message: dict[str, Any], stop: str) -> str:
    """Return a message with the thinking that the server has cut off it in front, in tags as a model writes it.

    A thought that the token limit ended has no end, and no answer behind it.
    """
    content = str(message["content"] or "")
    thought = next((message[name] for name in THOUGHTS if message.get(name)), None)
    if thought is None:
        return content
    unended = stop == "length" and not content.strip()
    return f"{OPENING}{thought}" + ("" if unended else f"{CLOSING}{content}")
