"""The tokenizer and chat template that a GGUF file carries, as llama.cpp reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from crushtest.engines.llamacpp.model_file import ModelFile
from crushtest.engines.token_model import Tokens
from crushtest.errors import EngineError
from crushtest.thinking import CLOSING, OPENING


@dataclass(frozen=True, eq=False)
class GgufTokenizer:
    """llama.cpp's own tokenizer. Special tokens written out in a text are read as such, as transformers does.

    variables  what the chat template is given besides the messages
    """

    file: ModelFile
    variables: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def start(self) -> int:
        """The beginning-of-sequence token, else the end-of-sequence token."""
        call, vocabulary = self.file.library.call, self.file.vocabulary
        token = next((t for t in (call.llama_vocab_bos(vocabulary), call.llama_vocab_eos(vocabulary)) if t >= 0), None)
        if token is None:
            raise EngineError("the tokenizer has no beginning- or end-of-sequence token to put before a text")
        return int(token)

    @cached_property
    def start_text(self) -> str:
        """The start token's text."""
        return self._piece(self.start, special=True).decode("utf-8", "replace")

    @cached_property
    def special(self) -> frozenset[int]:
        """Control tokens."""
        call, vocabulary = self.file.library.call, self.file.vocabulary
        return frozenset(
            token for token in range(self.file.vocabulary_size) if call.llama_vocab_is_control(vocabulary, token)
        )

    @cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end a generation in llama.cpp: those that the file names, and those it knows by their text."""
        call, vocabulary = self.file.library.call, self.file.vocabulary
        return frozenset(
            token for token in range(self.file.vocabulary_size) if call.llama_vocab_is_eog(vocabulary, token)
        )

    @cached_property
    def template(self) -> str | None:
        """The chat template of the file's metadata; None if it has none."""
        return self.file.metadata("tokenizer.chat_template") or None

    @property
    def has_template(self) -> bool:
        """True if the file has a chat template."""
        return self.template is not None

    def encode(self, texts: Sequence[str], *, add_special: bool) -> list[Tokens]:
        """Return the tokens of each text."""
        return [self._encode(text.encode(), add_special) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, control tokens left out except the tags around thinking."""
        return b"".join(self._piece(token, special=token in self._tags) for token in tokens).decode("utf-8", "replace")

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return a conversation in the chat template, rendered in transformers' sandbox."""
        from transformers.utils.chat_template_utils import render_jinja_template

        names = {
            "bos_token": self.file.library.call.llama_vocab_bos(self.file.vocabulary),
            "eos_token": self.file.library.call.llama_vocab_eos(self.file.vocabulary),
        }
        special: dict[str, Any] = {
            name: self._piece(token, special=True).decode("utf-8", "replace")
            for name, token in names.items()
            if token >= 0
        }
        turns = [dict(message) for message in messages]
        rendered: Any = render_jinja_template(
            [turns], chat_template=self.template, add_generation_prompt=True, **special, **self.variables
        )
        return str(rendered[0][0])

    def text_ends(self, text: str, *, add_special: bool) -> list[int] | None:
        """Return where the text of each token ends; None if the pieces do not make up the text."""
        [tokens] = self.encode([text], add_special=add_special)
        [own] = self.encode([text], add_special=False)
        front = next((at for at in range(len(tokens) - len(own) + 1) if tokens[at : at + len(own)] == own), 0)
        pieces = [self._piece(token, special=True) for token in own]
        if b"".join(pieces) != text.encode():
            return None
        behind = len(tokens) - len(own) - front
        ends = np.cumsum([0] * front + [len(piece) for piece in pieces] + [0] * behind)
        starts = np.cumsum([0, *(len(sign.encode()) for sign in text)])[:-1]
        # Characters that have begun before the token ends: a piece of a character stands for the whole of it.
        return [int(end) for end in np.searchsorted(starts, ends, side="left")]

    @cached_property
    def _tags(self) -> frozenset[int]:
        """The tags around thinking, where they are tokens of their own."""
        encoded = [self._encode(tag.encode(), add_special=False) for tag in (OPENING, CLOSING)]
        return frozenset(tokens[0] for tokens in encoded if len(tokens) == 1)

    def _encode(self, text: bytes, add_special: bool) -> Tokens:
        size = len(text) + 8
        while True:
            tokens = np.empty(size, dtype=np.int32)
            count = self.file.library.call.llama_tokenize(
                self.file.vocabulary,
                text,
                len(text),
                self.file.library.address_of(tokens, "int32_t *"),
                size,
                add_special,
                True,
            )
            if count >= 0:
                return Tokens("i", tokens[:count].tobytes())
            size = -count

    def _piece(self, token: int, *, special: bool = False) -> bytes:
        size = 64
        while True:
            buffer = np.empty(size, dtype=np.int8)
            address = self.file.library.address_of(buffer, "char *")
            length = self.file.library.call.llama_token_to_piece(self.file.vocabulary, token, address, size, 0, special)
            if length >= 0:
                return buffer[:length].tobytes()
            size = -length
