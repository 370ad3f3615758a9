"""A GGUF file's text is cut as llama.cpp cuts it, and a file whose way of cutting is not known is refused."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from crushtest.errors import ModelError
from crushtest.models import demo
from crushtest.models.find import check_model
from crushtest.models.gguf_header import GgufHeader
from crushtest.models.gguf_tokenizer import PRE_TOKENIZERS, mend_tokenizer
from crushtest.models.load import load_tokenizer
from support import tiny_gguf
from support.tiny_models import tokenizer

TEXT = "It's 1995,\n   12  é!  "

# Pieces as llama.cpp b11739 has them (a space is Ġ, a new line Ċ).
PIECES = {
    "gpt-2": ["It", "'s", "Ġ1995", ",", "ĊĠĠ", "Ġ12", "Ġ", "ĠÃ©", "!", "ĠĠ"],
    "smollm": ["It", "'s", "Ġ", "1", "9", "9", "5", ",", "ĊĠĠĠ", "1", "2", "Ġ", "ĠÃ©", "!", "ĠĠ"],
    "llama-bpe": ["It", "'s", "Ġ", "199", "5", ",Ċ", "ĠĠ", "Ġ", "12", "Ġ", "ĠÃ©", "!", "ĠĠ"],
    "qwen2": ["It", "'s", "Ġ", "1", "9", "9", "5", ",Ċ", "ĠĠ", "Ġ", "1", "2", "Ġ", "ĠÃ©", "!", "ĠĠ"],
}

# Tokens of the demo file as llama.cpp b11739 has them.
DEMO_TOKENS: dict[str, list[int]] = {
    "a  12 b   345\n\n 6\t7": [81, 256, 33, 34, 278, 333, 35, 36, 37, 8866, 38, 197, 39],
    "In 1995,\n   12 of 30 people": [788, 216, 33, 41, 41, 37, 28, 472, 33, 34, 282, 216, 35, 32, 701],
    "x = 1   2": [104, 446, 216, 33, 333, 34],
    " <|im_start|>user\n  5 apples<|im_end|>": [216, 1, 4093, 11181, 37, 13855, 2],
}


def write_gguf(path: Path, pre: str | None) -> Path:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", PIECES)
def test_text_is_cut_by_the_pre_tokenizer_that_a_file_names(name: str) -> None:
    made = deepcopy(tokenizer())
    mend_tokenizer(made, Path("a.gguf"), GgufHeader("gpt2", name, says_begin=True, tensors=()))
    assert [piece for piece, _ in made.backend_tokenizer.pre_tokenizer.pre_tokenize_str(TEXT)] == PIECES[name]


@pytest.mark.parametrize("name", sorted(PRE_TOKENIZERS))
def test_every_pre_tokenizer_loses_nothing(name: str) -> None:
    made = deepcopy(tokenizer())
    mend_tokenizer(made, Path("a.gguf"), GgufHeader("gpt2", name, says_begin=True, tensors=()))
    texts = [TEXT, "", " \t\n 1 22 333 4444\r\n\r\n", "日本 １２ ½ ٣ ``` a_b <|x|> don't DON'T", "\u00a0x\u200b🎉"]
    assert [made.decode(made(text)["input_ids"]) for text in texts] == texts


def test_a_text_begins_with_the_begin_token_where_llama_cpp_has_it() -> None:
    for says, begins in ((False, True), (True, False)):
        made = deepcopy(tokenizer())
        mend_tokenizer(made, Path("a.gguf"), GgufHeader("gpt2", "llama-bpe", says_begin=says, tensors=()))
        assert (made("The dog")["input_ids"][0] == made.bos_token_id) is begins


def test_a_vocabulary_whose_kind_is_not_named_is_left_alone() -> None:
    made = deepcopy(tokenizer())
    before = made.backend_tokenizer.to_str()
    mend_tokenizer(made, Path("a.gguf"), GgufHeader("", "", says_begin=False, tensors=()))
    assert made.backend_tokenizer.to_str() == before


def test_an_unknown_pre_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pre-tokenizer 'smolm' is not known; did you mean 'smollm'\?"):
        check_model(str(write_gguf(tmp_path / "a.gguf", "smolm")))
    with pytest.raises(ModelError, match=r"it names no pre-tokenizer"):
        check_model(str(write_gguf(tmp_path / "b.gguf", None)))
    check_model(str(write_gguf(tmp_path / "c.gguf", "smollm")))


@pytest.mark.demo_model
def test_the_demo_reads_texts_in_the_tokens_of_llama_cpp() -> None:
    try:
        demo.find_gguf()
    except ModelError as error:
        pytest.skip(str(error))
    made = load_tokenizer("demo")
    assert {text: made(text)["input_ids"] for text in DEMO_TOKENS} == DEMO_TOKENS


SENTENCES = [
    "the cat",
    " the cat",
    "  the  dog",
    "In 1995,\n  12",
    "café 日本",
    "<s>the</s> cat",
    "",
    "\n\nthe",
    "a</s>the",
]


@pytest.mark.parametrize("prefix", [None, True, False])
def test_sentence_piece_puts_spaces_where_llama_cpp_does(prefix: bool | None, tmp_path: Path) -> None:
    from crushtest import load_engine
    from crushtest.engines.llamacpp.library import is_installed

    if not is_installed():
        pytest.skip("no llama.cpp")
    add = None if prefix is None else lambda writer: writer.add_add_space_prefix(prefix)
    path = str(tiny_gguf.write_gguf(tmp_path / "a.gguf", sentence_piece=True, add=add))
    here, there = load_tokenizer(path), load_engine(path, engine="llamacpp").model.tokenizer  # type: ignore[attr-defined]
    for special in (True, False):
        expected = [list(tokens) for tokens in there.encode(SENTENCES, add_special=special)]
        assert [here.encode(text, add_special_tokens=special) for text in SENTENCES] == expected


def test_another_kind_of_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tiny_gguf.write_gguf(tmp_path / "a.gguf", sentence_piece=True)
    path.write_bytes(path.read_bytes().replace(kind(b"llama"), kind(b"plamo")))
    with pytest.raises(ModelError, match=r"vocabularies of kind 'plamo' .* are not read \(allowed: gpt2, llama\)"):
        load_tokenizer(str(path))


def kind(name: bytes) -> bytes:
    """The metadata of a file that name its kind of vocabulary: a text (8) of five bytes."""
    return b"tokenizer.ggml.model" + (8).to_bytes(4, "little") + (5).to_bytes(8, "little") + name
