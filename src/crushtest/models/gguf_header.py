"""The header of a GGUF file: which tokenizer it describes, and how its tensors are stored. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    space_prefix   whether a space is put before each piece of text, in SentencePiece files
    architecture   `general.architecture`, such as `llama`
    settings       the architecture's own metadata, without its name in front: `rope.freq_base`, ...
    files          how many files hold the model (`split.count`)
    rope_factors   what the file divides each frequency of rope by (tensor `rope_freqs.weight`); empty without any
    """

    tokenizer: str
    pre_tokenizer: str
    says_begin: bool
    tensors: tuple[StoredTensor, ...]
    space_prefix: bool = True
    architecture: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    rope_factors: tuple[float, ...] = ()
    files: int = 1

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
        architecture = _text(reader, "general.architecture")
        split = reader.fields.get("split.count")
        files = int(split.contents()) if split is not None else 1
        prefix = reader.fields.get("tokenizer.ggml.add_space_prefix")
        space_prefix = prefix is None or bool(prefix.contents())
        settings, factors = _settings(reader, architecture), _rope_factors(reader)
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
        space_prefix=space_prefix,
        architecture=architecture,
        settings=settings,
        rope_factors=factors,
        files=files,
    )


def _settings(reader: Any, architecture: str) -> dict[str, Any]:
    own = f"{architecture}."
    return {key.removeprefix(own): field.contents() for key, field in reader.fields.items() if key.startswith(own)}


def _rope_factors(reader: Any) -> tuple[float, ...]:
    found = next((tensor for tensor in reader.tensors if tensor.name == "rope_freqs.weight"), None)
    return () if found is None else tuple(map(float, found.data.flatten()))


def _text(reader: Any, key: str) -> str:
    field = reader.fields.get(key)
    return bytes(field.parts[field.data[0]]).decode("utf-8", "replace") if field is not None else ""
