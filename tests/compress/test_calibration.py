"""Calibration text: windows that are drawn the same way every time, and texts that cannot give them."""

from __future__ import annotations

import gzip
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crushtest.compress import calibration_text
from crushtest.compress.calibration import Calibration, token_batches, tokens_sha256
from crushtest.data.corpora import Text, read_documents
from crushtest.errors import DataError, UsageError
from support.tiny_models import tokenizer as tiny_tokenizer


class Numbers:
    """A tokenizer whose tokens are the numbers that a text is made of, after a begin-of-text token 0."""

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [0] + [int(word) if word.isdecimal() else len(word) for word in text.split()]}


TOKENIZER: Any = Numbers()


def text_file(folder: Path, numbers: range) -> str:
    path = folder / "text.txt"
    path.write_text(" ".join(map(str, numbers)))
    return str(path)


def jsonl(folder: Path, *documents: str) -> str:
    path = folder / "documents.jsonl.gz"
    lines = "".join(json.dumps({"text": document}) + "\n" for document in documents)
    path.write_bytes(gzip.compress(lines.encode()))
    return str(path)


def test_the_built_in_text_gives_what_is_asked_for() -> None:
    tokens = token_batches(Calibration(sequences=8, length=64), TOKENIZER)
    assert (tuple(tokens.shape), tokens.dtype) == ((8, 64), torch.int64)


def test_the_same_seed_draws_the_same_windows_and_another_seed_others() -> None:
    first = tokens_sha256(token_batches(Calibration(sequences=8, length=64), TOKENIZER))
    assert tokens_sha256(token_batches(Calibration(sequences=8, length=64), TOKENIZER)) == first
    assert tokens_sha256(token_batches(Calibration(sequences=8, length=64, seed=1), TOKENIZER)) != first


def test_the_hash_tells_shapes_apart() -> None:
    assert tokens_sha256(torch.arange(6).reshape(2, 3)) != tokens_sha256(torch.arange(6).reshape(3, 2))


def test_windows_of_a_stream_do_not_overlap(tmp_path: Path) -> None:
    source = text_file(tmp_path, range(1, 100))
    tokens = token_batches(Calibration(source, sequences=10, length=10), TOKENIZER)
    assert sorted(tokens.flatten().tolist()) == list(range(100))
    assert (tokens.diff(dim=1) == 1).all()


def test_windows_of_documents_stay_within_one(tmp_path: Path) -> None:
    documents = [" ".join(str(100 * number + place) for place in range(50)) for number in range(1, 9)]
    tokens = token_batches(Calibration(jsonl(tmp_path, "too short", *documents), sequences=8, length=20), TOKENIZER)
    assert all(len({token // 100 for token in row if token}) == 1 for row in tokens.tolist())
    assert len({int(row[-1]) // 100 for row in tokens}) == 8  # every document once before any is used again
    assert len({int(row[-1]) % 100 for row in tokens}) > 1  # at random places


def test_documents_are_used_again_when_there_are_too_few(tmp_path: Path) -> None:
    source = jsonl(tmp_path, " ".join(map(str, range(1, 60))))
    assert token_batches(Calibration(source, sequences=5, length=20), TOKENIZER).shape == (5, 20)


@pytest.mark.usefixtures("substitutes")
def test_c4_and_wikitext_come_from_the_mirror(data: Path) -> None:
    for source in ("c4", "wikitext2"):
        assert token_batches(Calibration(source, sequences=4, length=256), TOKENIZER).shape == (4, 256)


def test_a_stream_that_is_too_short_says_what_it_holds(tmp_path: Path) -> None:
    source = text_file(tmp_path, range(1, 100))
    with pytest.raises(DataError, match=r"100 tokens are 3 sequences of 30 \(4 asked for\)"):
        token_batches(Calibration(source, sequences=4, length=30), TOKENIZER)


def test_documents_that_fill_no_window_together_say_what_they_have(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its 2 documents have 17 tokens together, which fill no sequence of 20"):
        token_batches(Calibration(jsonl(tmp_path, "1", " ".join(["11"] * 15)), sequences=1, length=20), TOKENIZER)


def test_documents_of_a_corpus_are_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_text, "read_corpus", lambda name: Text(["1 2 3"] * 50, is_stream=False))
    with pytest.raises(DataError, match=r"none of its 50 documents is longer than 20 tokens"):
        token_batches(Calibration("c4", sequences=1, length=20), TOKENIZER)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=40),
    length=st.integers(2, 25),
    sequences=st.integers(1, 6),
    seed=st.integers(0, 3),
)
def test_short_documents_are_joined_and_none_is_twice_in_a_window(
    lengths: list[int], length: int, sequences: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A document is one number, written as often as it has words; a window is runs of these, with the start token."""
    documents = [" ".join([str(number + 1)] * words) for number, words in enumerate(lengths)]
    source = jsonl(tmp_path_factory.mktemp("short"), *documents)
    asked = Calibration(source, sequences=sequences, length=length, seed=seed)
    if 1 + sum(lengths) < length:
        with pytest.raises(DataError, match="fill no sequence"):
            token_batches(asked, TOKENIZER)
        return
    windows = token_batches(asked, TOKENIZER).tolist()
    assert len(windows) == sequences
    for window in windows:
        numbers = [token for token in window if token]
        runs = [number for number, _ in groupby(numbers)]
        assert len(runs) == len(set(runs))
        assert all(len(list(run)) <= lengths[number - 1] for number, run in groupby(numbers))
    assert windows == token_batches(asked, TOKENIZER).tolist()


# ---- in chat ---------------------------------------------------------------------------------------


def lines(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "talks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_conversations_are_read_in_the_models_chat_template(tmp_path: Path) -> None:
    made: Any = tiny_tokenizer(template=True)
    talk = [{"role": "user", "content": "Wer kam zu spät?"}, {"role": "assistant", "content": "Niemand."}]
    source = lines(tmp_path, {"messages": talk}, {"text": "¿Quién llegó tarde?"})
    texts = calibration_text.read_in_chat(source, made).documents
    asked = [{"role": "user", "content": "¿Quién llegó tarde?"}]
    assert texts == [
        made.apply_chat_template(talk, tokenize=False),
        made.apply_chat_template(asked, tokenize=False, add_generation_prompt=True),
    ]
    tokens = token_batches(Calibration(source, sequences=2, length=16, chat=True), made)
    begins = [made(text, add_special_tokens=False)["input_ids"][:8] for text in texts]
    assert all(row[:8] in begins for row in tokens.tolist())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"messages": []}, "object 1 needs a string `text`, or `messages`"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "object 1 needs"),
        ({"messages": [{"role": "user", "content": 3}]}, "object 1 needs"),
        ({"prompt": "a"}, r"it has: prompt"),
    ],
)
def test_a_line_that_is_no_conversation_is_named(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    made: Any = tiny_tokenizer(template=True)
    with pytest.raises(DataError, match=says):
        token_batches(Calibration(lines(tmp_path, row), length=8, chat=True), made)


def test_chat_needs_a_template_that_renders_and_documents(tmp_path: Path) -> None:
    source = lines(tmp_path, {"text": "Who was late?"})
    with pytest.raises(UsageError, match="chat needs a model with a chat template"):
        token_batches(Calibration(source, chat=True), tiny_tokenizer())
    made: Any = tiny_tokenizer(template=True)
    with pytest.raises(UsageError, match="chat needs documents, and 'pydoc' is one text"):
        token_batches(Calibration("pydoc", chat=True), made)
    made.chat_template = "{{ raise_exception('no such role') }}"
    with pytest.raises(DataError, match=r"begins with 'Who was late\?': no such role"):
        token_batches(Calibration(source, chat=True), made)


def test_a_line_ends_where_jsonl_says_and_at_no_other_sign(tmp_path: Path) -> None:
    path = tmp_path / "signs.jsonl"
    path.write_text('{"text": "1 \u2028 2 \x85 3"}\r\n{"text": "4"}\n', encoding="utf-8")
    assert read_documents(path) == ["1 \u2028 2 \x85 3", "4"]


def test_a_line_without_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine"}\n{"prompt": "no text"}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl: object 2 needs a string `text` \(it has: prompt\)"):
        token_batches(Calibration(str(path)), TOKENIZER)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("no.jsonl.gz", b'{"text": "not gzipped"}\n'),
        ("cut.jsonl.gz", gzip.compress(b'{"text": "whole"}\n', mtime=0)[:-9]),
        ("latin.jsonl", b'{"text": "caf\xe9"}\n'),
        ("list.jsonl", b"[1]\n"),
        ("text.jsonl", b"no json\n"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"^calibration: .*{name}"):
        token_batches(Calibration(str(tmp_path / name)), TOKENIZER)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "zeros.txt").write_bytes(("the quick brown fox " * 1000).encode("utf-16-le"))
    with pytest.raises(DataError, match=r"^calibration '.*zeros\.txt' is not text: it holds NUL bytes"):
        token_batches(Calibration(str(tmp_path / "zeros.txt")), TOKENIZER)


def test_a_corpus_that_is_nowhere_names_file_address_and_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("no network")

    monkeypatch.setenv("CRUSHTEST_DATA", str(tmp_path))
    monkeypatch.setenv("CRUSHTEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    for source, parts in (
        ("c4", ("c4_train/en/c4-train.00000-of-01024.json.gz", "huggingface.co/datasets/allenai/c4/resolve/1588ec")),
        ("wikitext2", ("wikitext-2-raw/wiki.train.raw", "pytorch/examples/cf74c8")),
    ):
        with pytest.raises(DataError) as error:
            token_batches(Calibration(source), TOKENIZER)
        for part in (*parts, "no network", "CRUSHTEST_DATA"):
            assert part in str(error.value)


def test_a_corpus_that_has_changed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUSHTEST_DATA", str(tmp_path))
    (tmp_path / "wikitext-2-raw").mkdir()
    (tmp_path / "wikitext-2-raw" / "wiki.train.raw").write_text("the quick brown fox\n" * 10_000)
    with pytest.raises(DataError, match=r"wiki\.train\.raw.*is not the file we know"):
        token_batches(Calibration("wikitext2"), TOKENIZER)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"source": "wikitxt2"}, "no such text 'wikitxt2'"),
        ({"source": str(Path(__file__).parent)}, r"compress' is a folder \(allowed: pydoc, c4, wikitext2, or a file\)"),
        ({"sequences": 0}, "sequences must be at least 1"),
        ({"length": 1}, "length must be at least 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        token_batches(Calibration(**settings), TOKENIZER)
