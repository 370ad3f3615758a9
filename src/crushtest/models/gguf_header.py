"""The header of a GGUF file: which tokenizer it describes, and how its tensors are stored. No torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crushtest.errors import ModelError, first_error_line


@dataclass(frozen=True)
class StoredTensor:
    """How one tensor is stored: its kind (`Q4_1`, `F32`), how many numbers it has, how many bytes they take."""

    name: str
    kind: str
    elements: int
    size_bytes: int


@dataclass(frozen=True)
class GgufHeader:
    """What is read of a GGUF file beside its weights; a text that the metadata lack is empty.

    tokenizer      `tokenizer.ggml.model`: the kind of vocabulary, such as `gpt2` for byte-level BPE
    pre_tokenizer  `tokenizer.ggml.pre`: how text is cut before it merges
    says_begin     whether the file says if a text begins with the begin token
    """

    tokenizer: str
    pre_tokenizer: str
    says_begin: bool
    tensors: tuple[StoredTensor, ...]

    @property
    def weight_kind(self) -> str:
        """Return the kind of tensor that most weights are stored as."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors:
            sizes[tensor.kind] += tensor.elements
        return sizes.most_common(1)[0][0]


def read_header(path: Path) -> GgufHeader:
    """Return the header of a GGUF file. ModelError for another kind of file, or one that is not whole."""
    from gguf import GGUFReader

    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"model file {str(path)!r} is not a GGUF file (it does not begin with 'GGUF')")
    try:
        reader = GGUFReader(path)
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise ModelError(f"model file {str(path)!r} is truncated or damaged ({first_error_line(error)})") from None
    if not reader.tensors:
        raise ModelError(f"model file {str(path)!r} holds no tensors; vocabulary-only files cannot be run")
    return GgufHeader(
        tokenizer=_text(reader, "tokenizer.ggml.model"),
        pre_tokenizer=_text(reader, "tokenizer.ggml.pre"),
        says_begin="tokenizer.ggml.add_bos_token" in reader.fields,
        tensors=tuple(
            StoredTensor(str(tensor.name), str(tensor.tensor_type.name), int(tensor.n_elements), int(tensor.n_bytes))
            for tensor in reader.tensors
        ),
    )


def _text(reader: Any, key: str) -> str:
    field = reader.fields.get(key)
    return bytes(field.parts[field.data[0]]).decode("utf-8", "replace") if field is not None else ""
