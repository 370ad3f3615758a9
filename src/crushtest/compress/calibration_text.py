"""The texts that calibration reads: built in, a corpus of the papers, or the user's own, as they are or in chat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crushtest.data.corpora import CORPORA, Text, read_corpus, read_documents
from crushtest.errors import DataError, UsageError, first_error_line
from crushtest.files.json_lines import read_lines

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BUILT_IN = ("pydoc", *CORPORA)
MESSAGES, ROLES = "messages", ("system", "user", "assistant")


def read_text(source: str) -> Text:
    """Return a calibration text. Raises DataError if it cannot be read, UsageError if there is no such text."""
    if source == "pydoc":
        from crushtest.data.python_docs import calibration_prose

        return Text(calibration_prose(), is_stream=True)
    if source in CORPORA:
        return read_corpus(source)
    path = _file(source)
    if _has_lines(path):
        return Text(read_documents(path), is_stream=False, joins=True)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"calibration {source!r} is not UTF-8 text: {error}") from None
    if "\0" in text:
        raise DataError(f"calibration {source!r} is not text: it holds NUL bytes")
    return Text([text], is_stream=True)


def read_in_chat(source: str, tokenizer: PreTrainedTokenizerBase) -> Text:
    """Return a calibration text in the model's chat template, each document as a conversation.

    A document is a line's `messages` (role and content), or a user's message: its `text`. If a user has the last word,
    the text ends where the assistant begins. Raises as `read_text` does, UsageError if the model has no template or
    the source has no documents.
    """
    if not tokenizer.chat_template:
        raise UsageError("calibration: chat needs a model with a chat template, and this one has none")
    return Text([_rendered(turns, source, tokenizer) for turns in _conversations(source)], is_stream=False, joins=True)


def _conversations(source: str) -> list[list[dict[str, str]]]:
    if source not in BUILT_IN and _has_lines(path := _file(source)):
        try:
            return [_turns(row, path, number) for number, row in enumerate(read_lines(path), start=1)]
        except DataError as error:
            raise DataError(f"calibration: {error}") from None
    text = read_text(source)
    if text.is_stream:
        raise UsageError(
            f"calibration: chat needs documents, and {source!r} is one text; use c4, or a .jsonl file with a `text` or "
            f"`{MESSAGES}` per line"
        )
    return [[{"role": "user", "content": document}] for document in text.documents]


def _turns(row: dict[str, Any], path: Path, number: int) -> list[dict[str, str]]:
    """Return the messages of a line. Raises DataError that names it if it has none."""
    if isinstance(row.get("text"), str) and MESSAGES not in row:
        return [{"role": "user", "content": row["text"]}]
    turns = row.get(MESSAGES)
    if not isinstance(turns, list) or not turns or not all(map(_is_message, turns)):
        raise DataError(
            f"{path}: object {number} needs a string `text`, or `{MESSAGES}`: a list of objects with a `role` "
            f"({', '.join(ROLES)}) and a string `content` (it has: {', '.join(row) or 'nothing'})"
        )
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def _is_message(turn: object) -> bool:
    return isinstance(turn, dict) and turn.get("role") in ROLES and isinstance(turn.get("content"), str)


def _rendered(turns: Sequence[dict[str, str]], source: str, tokenizer: PreTrainedTokenizerBase) -> str:
    asked: Any = list(turns)
    begins = turns[-1]["role"] == "user"
    try:
        return str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=begins))
    except Exception as error:  # a template is a program: it raises whatever it likes
        raise DataError(
            f"calibration {source!r}: the model's chat template does not render a conversation that begins with "
            f"{turns[0]['content'][:40]!r}: {first_error_line(error)}"
        ) from None


def _file(source: str) -> Path:
    path = Path(source).expanduser()
    if not path.is_file():
        wrong = f"{source!r} is a folder" if path.is_dir() else f"no such text {source!r}"
        raise UsageError(f"calibration: {wrong} (allowed: {', '.join(BUILT_IN)}, or a file)")
    return path


def _has_lines(path: Path) -> bool:
    return any(suffix in (".jsonl", ".json") for suffix in path.suffixes)
