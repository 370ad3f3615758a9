"""A transformers tokenizer as engines use it, and the context length that goes with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from crushtest.engines.token_model import Tokens
from crushtest.errors import EngineError
from crushtest.thinking import CLOSING, OPENING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

AT_ONCE = 1024
UNKNOWN_CONTEXT = 2048
REPLY = "Goodbye."
LENGTH_SETTINGS = ("n_positions", "max_position_embeddings", "n_ctx", "max_seq_len")


@dataclass(frozen=True)
class HfTokenizer:
    """A tokenizer of transformers.

    variables  what the chat template is given besides the messages
    """

    tokenizer: PreTrainedTokenizerBase
    variables: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def start(self) -> int:
        """The beginning-of-sequence token, else the end-of-sequence token."""
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        token = bos if bos is not None else eos
        if token is None:
            raise EngineError("the tokenizer has no beginning- or end-of-sequence token to put before a text")
        return int(cast(int, token))

    @property
    def start_text(self) -> str:
        """The start token's text."""
        return str(self.tokenizer.decode(self.start))

    @property
    def special(self) -> Collection[int]:
        """Tokens that stand for no text."""
        return self.tokenizer.all_special_ids

    @property
    def has_template(self) -> bool:
        """True if the tokenizer has a chat template."""
        return bool(self.tokenizer.chat_template)

    def encode(self, texts: Sequence[str], *, add_special: bool) -> list[Tokens]:
        """Return the tokens of each text."""
        tokens: list[Tokens] = []
        for first in range(0, len(texts), AT_ONCE):
            # verbose: no warning about texts longer than the model; that is for us to cut.
            encoded = self.tokenizer(
                list(texts[first : first + AT_ONCE]), add_special_tokens=add_special, verbose=False
            )
            tokens += [Tokens("i", ids) for ids in cast("list[list[int]]", encoded["input_ids"])]
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, special ones left out except the tags around thinking."""
        parts, text = [], list[int]()
        for token in tokens:
            if token in self._tags:
                parts += [self._decode(text), self._tags[token]]
                text = []
            else:
                text.append(token)
        return "".join([*parts, self._decode(text)])

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return a conversation in the chat template, up to where the assistant begins."""
        turns: Any = list(messages)
        return cast(
            str, self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **self.variables)
        )

    def text_ends(self, text: str, *, add_special: bool) -> list[int] | None:
        """Return where the text of each token ends; None for the slow tokenizers, which do not know."""
        if not self.tokenizer.is_fast:
            return None
        encoded = self.tokenizer(text, return_offsets_mapping=True, add_special_tokens=add_special, verbose=False)
        # A token that was added stands nowhere, (0, 0); the pieces of a character all stand for the whole of it.
        return list(accumulate((end for _, end in cast("list[tuple[int, int]]", encoded["offset_mapping"])), max))

    @cached_property
    def _tags(self) -> dict[int, str]:
        """The tags around thinking that are special tokens of this tokenizer."""
        special = set(self.tokenizer.all_special_ids)
        ids = {tag: self.tokenizer.convert_tokens_to_ids(tag) for tag in (OPENING, CLOSING)}
        return {
            token: tag
            for tag, token in ids.items()
            if isinstance(token, int) and token in special and token != self.tokenizer.unk_token_id
        }

    def _decode(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def ends_of(settings: object, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens that end a text: those of a model's generation settings, the tokenizer's, and the turn's."""
    named = [getattr(settings, "eos_token_id", None), tokenizer.eos_token_id, end_of_turn(tokenizer)]
    flat = [token for entry in named for token in (entry if isinstance(entry, list) else [entry])]
    return frozenset(int(token) for token in flat if token is not None)


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the special token that the chat template puts behind an assistant's message; None if it puts none there.

    Not every model names it among the tokens that end a text, and without it a model goes on with the user's part.
    """
    if not tokenizer.chat_template:
        return None
    turns: Any = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": REPLY}]
    try:
        rendered = cast(str, tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception:  # a template is a program: one that renders no reply names no end of it
        return None
    _, reply, after = rendered.rpartition(REPLY)
    tokens = tokenizer.encode(after.lstrip(), add_special_tokens=False) if reply else []
    special = {*tokenizer.all_special_ids, *(i for i, added in tokenizer.added_tokens_decoder.items() if added.special)}
    return tokens[0] if tokens and tokens[0] in special else None


def context_length(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the tokens that the model takes at once: from its configuration, else its tokenizer, else 2048."""
    for source in (config.get_text_config(), config):
        for setting in LENGTH_SETTINGS:
            if (length := getattr(source, setting, None)) is not None:
                return int(length)
    # A tokenizer that does not know says 1e30.
    length = tokenizer.model_max_length
    return int(length) if length is not None and length < 1e9 else UNKNOWN_CONTEXT
