"""Tokenizers that a server offers, as engines use them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

from crushtest.engines.openai.client import Client
from crushtest.engines.openai.recognise import Server
from crushtest.engines.token_model import Tokenizer, Tokens
from crushtest.errors import EngineError


def tokenizer_of(client: Client, server: Server, local: str | None) -> Tokenizer | None:
    """Return the tokenizer named by the user, else the server's own; None if there is neither.

    local  a model whose tokenizer cuts the texts here: a hub id, a folder or a `.gguf` file
    """
    if local is not None:
        from crushtest.engines.hf.tokenizer import HfTokenizer
        from crushtest.models.load import load_tokenizer

        return HfTokenizer(load_tokenizer(local))
    if server.kind == "llama.cpp":
        return LlamaServerTokenizer(client, server.own)
    tells = {"model": server.model, "prompt": "a"}
    if server.kind == "vllm" and client.post_or_none("/tokenize", tells, lambda reply: reply["tokens"]):
        return VllmTokenizer(client, server.model)
    return None


def template_arguments(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a request that gives a server's chat template variables; empty without any."""
    return {"chat_template_kwargs": dict(variables)} if variables else {}


def ids(values: Any) -> Tokens:
    """Return token ids of a reply. Raises TypeError or ValueError for what is none."""
    if not isinstance(values, list):
        raise TypeError
    return Tokens("i", values)


@dataclass(frozen=True)
class LlamaServerTokenizer:
    """llama-server's: /tokenize, /detokenize and /apply-template. `props` is what /props says.

    variables  what the chat template is given besides the messages
    """

    client: Client
    props: Mapping[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def start(self) -> int:
        """The beginning-of-sequence token, else the end-of-sequence token."""
        if not self.start_text:
            raise EngineError("the tokenizer has no beginning- or end-of-sequence token to put before a text")
        return self._encode(self.start_text, False)[0]

    @property
    def start_text(self) -> str:
        """The start token's text."""
        return str(self.props.get("bos_token") or self.props.get("eos_token") or "")

    @property
    def special(self) -> Collection[int]:
        """The start token, the only one that the server names."""
        return (self.start,)

    @property
    def has_template(self) -> bool:
        """True if the file has a chat template."""
        return bool(self.props.get("chat_template"))

    def encode(self, texts: Sequence[str], *, add_special: bool) -> list[Tokens]:
        """Return the tokens of each text."""
        return [self._encode(text, add_special) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return str(self.client.post("/detokenize", {"tokens": list(tokens)}, lambda reply: reply["content"]))

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return a conversation in the chat template, up to where the assistant begins."""
        body = {"messages": [dict(message) for message in messages], **template_arguments(self.variables)}
        return str(self.client.post("/apply-template", body, lambda reply: reply["prompt"]))

    def text_ends(self, text: str, *, add_special: bool) -> list[int] | None:
        """Return where the text of each token ends; None if the pieces do not make up the text."""
        body = {"content": text, "add_special": add_special, "parse_special": True, "with_pieces": True}
        pieces = self.client.post("/tokenize", body, lambda reply: [_piece(token) for token in reply["tokens"]])
        bare = self._encode(text, False)
        added = len(pieces) - len(bare)
        if added not in (0, 1) or b"".join(pieces[added:]) != text.encode():
            return None
        # Characters that have begun before the token ends: a piece of a character stands for the whole of it.
        starts = [0, *accumulate(len(sign.encode()) for sign in text)][:-1]
        ends = [0] * added + list(accumulate(len(piece) for piece in pieces[added:]))
        return [bisect_left(starts, end) for end in ends]

    def _encode(self, text: str, add_special: bool) -> Tokens:
        body = {"content": text, "add_special": add_special, "parse_special": True}
        return self.client.post("/tokenize", body, lambda reply: ids(reply["tokens"]))


def _piece(token: Mapping[str, Any]) -> bytes:
    piece = token["piece"]
    return piece.encode() if isinstance(piece, str) else bytes(piece)


@dataclass(frozen=True)
class VllmTokenizer:
    """vLLM's: /tokenize and /detokenize. It tells its start token only if it puts one before texts.

    variables  what the chat template is given besides the messages
    """

    client: Client
    model: str
    variables: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def start(self) -> int:
        """The token that it puts before a text."""
        front = self._encode("", True)
        if not front:
            raise EngineError(
                "the server does not say which token begins a text, which an empty context needs; name the model's "
                "tokenizer: openai:tokenizer=ORG/MODEL"
            )
        return front[0]

    @cached_property
    def start_text(self) -> str:
        """The start token's text; empty if there is none, and then nothing is put before a text either."""
        front = self._encode("", True)
        return self.decode(front[:1]) if front else ""

    @property
    def special(self) -> Collection[int]:
        """The tokens that are put before a text, the only ones that the server tells."""
        return self._encode("", True)

    @cached_property
    def has_template(self) -> bool:
        """True if the server can render a conversation."""
        body = {"model": self.model, "messages": [{"role": "user", "content": "a"}]}
        return self.client.post_or_none("/tokenize", body, lambda reply: reply["tokens"]) is not None

    def encode(self, texts: Sequence[str], *, add_special: bool) -> list[Tokens]:
        """Return the tokens of each text."""
        return [self._encode(text, add_special) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        body = {"model": self.model, "tokens": list(tokens)}
        return str(self.client.post("/detokenize", body, lambda reply: reply["prompt"]))

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return a conversation in the chat template, up to where the assistant begins."""
        conversation = [dict(message) for message in messages]
        body = {"model": self.model, "messages": conversation, **template_arguments(self.variables)}
        return self.decode(self.client.post("/tokenize", body, lambda reply: ids(reply["tokens"])))

    def text_ends(self, text: str, *, add_special: bool) -> list[int] | None:
        """Return None: the server does not tell where its tokens stand."""
        return None

    def _encode(self, text: str, add_special: bool) -> Tokens:
        body = {"model": self.model, "prompt": text, "add_special_tokens": add_special}
        return self.client.post("/tokenize", body, lambda reply: ids(reply["tokens"]))
