"""Cut text as a GGUF file's tokenizer does before it merges: by the pre-tokenizer that its metadata name.

transformers knows some of the names and falls back to GPT-2's expression for the others. The model is then asked in
tokens that it was not trained on (SmolLM splits digits first). The expressions are llama.cpp's (`llama-vocab.cpp`);
where it had to work around the limits of its own engine, those of the models' tokenizer.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from crushtest.errors import ModelError
from crushtest.models.gguf_header import GgufHeader

BYTE_LEVEL = "gpt2"
"""`tokenizer.ggml.model` of byte-level BPE, the only kind whose files name a pre-tokenizer."""
SENTENCE_PIECE = "llama"
"""`tokenizer.ggml.model` of SentencePiece, which cuts nothing beforehand and puts a space before a text."""

SPACE = "\u2581"
"""How SentencePiece writes a space."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
_QWEN2 = rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
_QWEN35 = rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
)
_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDINGS}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDINGS}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
)
_DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}"
)


@dataclass(frozen=True)
class PreTokenizer:
    """How text is cut, by each expression in turn: what it matches, and what lies between, are pieces of their own.

    whole_words  whether a piece that is in the vocabulary is one token, even if no merges lead there
    begins       whether a text begins with the begin token, in a file that does not say
    """

    expressions: tuple[str, ...]
    whole_words: bool = False
    begins: bool = False


_FAMILIES: tuple[tuple[str, PreTokenizer], ...] = (
    ("gpt-2 phi-2 gigachat mellum a.x-4.0 exaone4 mpt olmo jais trillion granite-docling", PreTokenizer((_GPT2,))),
    ("smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", PreTokenizer((r"\p{N}", _GPT2))),
    (
        "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2",
        PreTokenizer((_LLAMA3,), whole_words=True, begins=True),
    ),
    ("dbrx smaug-bpe glm4 chatglm-bpe", PreTokenizer((_LLAMA3,))),
    ("qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2", PreTokenizer((_QWEN2,))),
    ("qwen35", PreTokenizer((_QWEN35,))),
    ("tekken", PreTokenizer((_TEKKEN,), whole_words=True, begins=True)),
    ("gpt-4o llama4 kanana2 talkie minimax-m2", PreTokenizer((_GPT4O,))),
    (
        "deepseek-v3 hunyuan-dense joyai-llm",
        PreTokenizer((r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", _DEEPSEEK3)),
    ),
)
PRE_TOKENIZERS: dict[str, PreTokenizer] = {name: cut for names, cut in _FAMILIES for name in names.split()}


def pre_tokenizer_of(path: Path, header: GgufHeader) -> PreTokenizer | None:
    """Return how a file's tokenizer cuts text, None for a kind of vocabulary that cuts by itself alone.

    ModelError for byte-level BPE whose pre-tokenizer is not known, or not named, and for other kinds of vocabulary.
    """
    if header.tokenizer not in (BYTE_LEVEL, SENTENCE_PIECE, ""):
        raise ModelError(
            f"model file {str(path)!r}: vocabularies of kind {header.tokenizer!r} (tokenizer.ggml.model) are not read "
            f"(allowed: {BYTE_LEVEL}, {SENTENCE_PIECE})"
        )
    if header.tokenizer != BYTE_LEVEL:
        return None
    name = header.pre_tokenizer
    if name in PRE_TOKENIZERS:
        return PRE_TOKENIZERS[name]
    near = get_close_matches(name, PRE_TOKENIZERS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    wrong = f"its pre-tokenizer {name!r} is not known{hint}" if name else "it names no pre-tokenizer"
    raise ModelError(
        f"model file {str(path)!r}: {wrong}, so text would be cut into other tokens than the model was trained on "
        f"(tokenizer.ggml.pre; allowed: {', '.join(sorted(PRE_TOKENIZERS))})"
    )


def mend_tokenizer(tokenizer: Any, path: Path, header: GgufHeader) -> None:
    """Make a tokenizer that transformers built from a GGUF file cut text as llama.cpp does. Raises ModelError."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    cut, backend = pre_tokenizer_of(path, header), tokenizer.backend_tokenizer
    if header.tokenizer == SENTENCE_PIECE:
        # transformers' own puts no space before a text that begins with one, and one where the file wants none.
        front = [normalizers.Prepend(SPACE)] if header.space_prefix else []
        backend.normalizer = normalizers.Sequence([*front, normalizers.Replace(" ", SPACE)])
        backend.pre_tokenizer = None
    if cut is None:
        return
    splits = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in cut.expressions]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*splits, to_bytes])
    backend.model.ignore_merges = cut.whole_words
    if cut.begins and not header.says_begin:
        tokenizer.add_bos_token = True
