"""Calibration: the text that a compression method looks at, as token windows of equal length."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from crushtest.compress.calibration_text import read_in_chat, read_text
from crushtest.data.corpora import Text
from crushtest.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

Encode = Callable[[str], list[int]]

BETWEEN = "\n\n"
"""What stands between the documents of a stream, and between those that are joined."""


@dataclass(frozen=True)
class Calibration:
    """Which text, how much of it, and the seed that draws it.

    source     `pydoc` (built in), `c4`, `wikitext2`, or a path: `.jsonl`, `.jsonl.gz` (`text` per line) or text
    sequences  how many windows
    length     tokens per window
    chat       put each document into the model's chat template: a line's `messages`, or its `text` as a user's message
    """

    source: str = "pydoc"
    sequences: int = 16
    length: int = 512
    seed: int = 0
    chat: bool = False

    def __post_init__(self) -> None:
        if self.sequences < 1:
            raise UsageError(f"calibration: sequences must be at least 1 (got {self.sequences})")
        if self.length < 2:
            raise UsageError(f"calibration: length must be at least 2 tokens (got {self.length})")


@dataclass(frozen=True)
class CalibrationTokens:
    """A calibration text as the tokens of one tokenizer.

    ids    [sequences, length]
    facts  for compression.json: the calibration's fields, and `tokens_sha256`
    """

    ids: Tensor
    facts: dict[str, Any]


def calibration_tokens(calibration: Calibration, tokenizer: PreTrainedTokenizerBase) -> CalibrationTokens:
    """Return a calibration's tokens and what is recorded of them. Raises as `token_batches` does."""
    ids = token_batches(calibration, tokenizer)
    return CalibrationTokens(ids, asdict(calibration) | {"tokens_sha256": tokens_sha256(ids)})


def token_batches(calibration: Calibration, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Return token ids [sequences, length], the same for the same calibration and tokenizer.

    From documents, a window begins at a random place of a document that is longer than the window (in chat: at its
    beginning). Shorter documents of the user's are joined in random order, with a blank line between them (in chat:
    nothing), until they fill a window, which cuts the last; those of C4 are passed over, as in the papers. Each
    document is used once before any is used again, and never twice in a window. A stream is cut into windows that do
    not overlap, and the windows are drawn from those. Special tokens are the tokenizer's own, at the beginning of a
    document or stream, and in chat those of the template. Raises DataError if the text is too short or cannot be read,
    UsageError if there is no such text, or if chat is asked for and the model has no template or the text no documents.
    """
    import torch

    draw = random.Random(calibration.seed)
    text = read_in_chat(calibration.source, tokenizer) if calibration.chat else read_text(calibration.source)
    encode = partial(_tokens, tokenizer, special=not calibration.chat)
    windows = _from_stream if text.is_stream else _from_documents
    return torch.tensor(windows(text, calibration, encode, draw), dtype=torch.long)


def tokens_sha256(tokens: Tensor) -> str:
    """Return a hash of the tokens' shape and ids (little-endian 64-bit integers), for the manifest."""
    digest = hashlib.sha256(repr(tuple(tokens.shape)).encode())
    digest.update(tokens.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def _from_stream(text: Text, calibration: Calibration, encode: Encode, draw: random.Random) -> list[list[int]]:
    ids = encode(BETWEEN.join(text.documents))
    length, wanted = calibration.length, calibration.sequences
    places = len(ids) // length
    if places < wanted:
        raise DataError(
            f"calibration {calibration.source!r}: {len(ids):,} tokens are {places} sequences of {length} "
            f"({wanted} asked for); ask for fewer, for shorter ones, or use another source"
        )
    return [ids[place * length : (place + 1) * length] for place in draw.sample(range(places), wanted)]


def _from_documents(text: Text, calibration: Calibration, encode: Encode, draw: random.Random) -> list[list[int]]:
    windows: list[list[int]] = []
    while len(windows) < calibration.sequences:
        more = list(islice(_one_pass(text, calibration, encode, draw), calibration.sequences - len(windows)))
        if not more:
            raise DataError(f"calibration {calibration.source!r}: {_too_short(text, calibration, encode)}")
        windows += more
    return windows


def _one_pass(text: Text, calibration: Calibration, encode: Encode, draw: random.Random) -> Iterator[list[int]]:
    """Yield the windows that documents give, each used once, in random order; what fills no window is left over."""
    length, between = calibration.length, "" if calibration.chat else BETWEEN
    joined, tokens = list[str](), 0
    for document in draw.sample(text.documents, len(text.documents)):
        # A token is at least a byte, so most of the short documents need not be tokenized.
        if not text.joins and len(document.encode()) < length:
            continue
        ids = encode(document)
        if len(ids) > length:
            start = 0 if calibration.chat else draw.randrange(len(ids) - length)
            yield ids[start : start + length]
        elif text.joins and document.strip():
            joined, tokens = [*joined, document], tokens + len(ids)
            # The sum is near what the whole has, which is encoded when it may be enough.
            if tokens >= length and len(whole := encode(between.join(joined))) >= length:
                yield whole[:length]
                joined, tokens = [], 0


def _too_short(text: Text, calibration: Calibration, encode: Encode) -> str:
    count, length = len(text.documents), calibration.length
    if text.joins:
        tokens = len(encode(("" if calibration.chat else BETWEEN).join(text.documents)))
        return (
            f"its {count:,} documents have {tokens:,} tokens together, which fill no sequence of {length}; use a "
            "shorter length or more text"
        )
    long = (document for document in text.documents if len(document.encode()) >= length)
    longest = max((len(encode(document)) for document in long), default=0)
    return (
        f"none of its {count:,} documents is longer than {length} tokens (the longest has {longest}); use a shorter "
        "length or another source"
    )


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool) -> list[int]:
    # Without verbose=False the tokenizer complains that a stream is longer than the model's context.
    return list(tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])
