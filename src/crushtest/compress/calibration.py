"""Calibration: the text that a compression method looks at, as token windows of equal length."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.data.corpora import CORPORA, Text, read_corpus, read_documents
from crushtest.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

BUILT_IN = ("pydoc", *CORPORA)


@dataclass(frozen=True)
class Calibration:
    """Which text, how much of it, and the seed that draws it.

    source     `pydoc` (built in), `c4`, `wikitext2`, or a path: `.jsonl`, `.jsonl.gz` (`text` per line) or text
    sequences  how many windows
    length     tokens per window
    """

    source: str = "pydoc"
    sequences: int = 16
    length: int = 512
    seed: int = 0

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

    From documents, a window begins at a random place of a document that is longer than the window, each such document
    once before any is used again. A stream is cut into windows that do not overlap, and the windows are drawn from
    those. Special tokens are the tokenizer's own, at the beginning of a document or stream. Raises DataError if the
    text is too short or cannot be read, UsageError if there is no such text.
    """
    import torch

    text = _read(calibration.source)
    draw = random.Random(calibration.seed)
    windows = _from_stream if text.is_stream else _from_documents
    return torch.tensor(windows(text.documents, calibration, tokenizer, draw), dtype=torch.long)


def tokens_sha256(tokens: Tensor) -> str:
    """Return a hash of the tokens' shape and ids (little-endian 64-bit integers), for the manifest."""
    digest = hashlib.sha256(repr(tuple(tokens.shape)).encode())
    digest.update(tokens.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def _from_stream(
    documents: Sequence[str], calibration: Calibration, tokenizer: PreTrainedTokenizerBase, draw: random.Random
) -> list[list[int]]:
    ids = _tokens(tokenizer, "\n\n".join(documents))
    length, wanted = calibration.length, calibration.sequences
    places = len(ids) // length
    if places < wanted:
        raise DataError(
            f"calibration {calibration.source!r}: {len(ids):,} tokens are {places} sequences of {length} "
            f"({wanted} asked for); ask for fewer, for shorter ones, or use another source"
        )
    return [ids[place * length : (place + 1) * length] for place in draw.sample(range(places), wanted)]


def _from_documents(
    documents: Sequence[str], calibration: Calibration, tokenizer: PreTrainedTokenizerBase, draw: random.Random
) -> list[list[int]]:
    length = calibration.length
    windows: list[list[int]] = []
    longest = 0
    while len(windows) < calibration.sequences:
        before = len(windows)
        for document in draw.sample(documents, len(documents)):
            # A token is at least a byte, so most of the short documents need not be tokenized.
            ids = _tokens(tokenizer, document) if len(document.encode()) >= length else []
            longest = max(longest, len(ids))
            if len(ids) > length:
                start = draw.randrange(len(ids) - length)
                windows.append(ids[start : start + length])
            if len(windows) == calibration.sequences:
                return windows
        if len(windows) == before:
            raise DataError(
                f"calibration {calibration.source!r}: none of its {len(documents):,} documents is longer than "
                f"{length} tokens (the longest has {longest}); use a shorter length or another source"
            )
    return windows


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    # Without verbose=False the tokenizer complains that a stream is longer than the model's context.
    return list(tokenizer(text, verbose=False)["input_ids"])


def _read(source: str) -> Text:
    if source == "pydoc":
        from crushtest.data.python_docs import calibration_prose

        return Text(calibration_prose(), is_stream=True)
    if source in CORPORA:
        return read_corpus(source)
    path = Path(source).expanduser()
    if not path.is_file():
        wrong = f"{source!r} is a folder" if path.is_dir() else f"no such text {source!r}"
        raise UsageError(f"calibration: {wrong} (allowed: {', '.join(BUILT_IN)}, or a file)")
    if any(suffix in (".jsonl", ".json") for suffix in path.suffixes):
        return Text(read_documents(path), is_stream=False)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"calibration {source!r} is not UTF-8 text: {error}") from None
    if "\0" in text:
        raise DataError(f"calibration {source!r} is not text: it holds NUL bytes")
    return Text([text], is_stream=True)
