"""Checkpoints on this machine: what is in a folder or a GGUF file, and whether it is whole. No torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from crushtest.errors import ModelError
from crushtest.models.gguf_header import GgufHeader, read_header
from crushtest.models.gguf_tokenizer import pre_tokenizer_of
from crushtest.models.quantization import Quantization, quantization_of, refuse_integer_weights
from crushtest.printing import quoted

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
SAFETENSORS = "model.safetensors"
PICKLE = "pytorch_model.bin"


@dataclass(frozen=True)
class Checkpoint:
    """Files of one model, checked as far as that goes without reading its weights.

    format        `safetensors`, `pickle` or `gguf`
    gguf          name of the GGUF file in `folder`, or None
    header        of the GGUF file, or None
    revision      the hub's commit, for a model that came from there
    quantization  how config.json says that the weights are quantized, or None; of a GGUF file its tensors say it
    """

    folder: Path
    weights: tuple[Path, ...]
    format: str
    gguf: str | None = None
    revision: str | None = None
    quantization: Quantization | None = None
    header: GgufHeader | None = None


def read_folder(
    folder: Path, *, allow_pickle: bool = False, revision: str | None = None, unread: bool = False
) -> Checkpoint:
    """Return the checkpoint in a folder. ModelError says what is missing or broken, or which format is not read.

    unread  return it whatever it is quantized by, for a program that reads it for itself; `quantization` is then None
    """
    config = read_config(folder)
    if "model_type" not in config:
        raise ModelError(f"model {str(folder)!r}: config.json names no model_type; is it a transformers model?")
    quantization = None if unread else read_quantization(folder)
    weights, kind = _weight_files(folder, allow_pickle)
    headers = [safetensors_header(file) for file in weights] if kind == "safetensors" else []
    if quantization is None and not unread:
        for header in headers:
            refuse_integer_weights(str(folder), header)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(f"model {str(folder)!r}: no tokenizer (one of {', '.join(TOKENIZER_FILES)} is needed)")
    return Checkpoint(folder, weights, kind, revision=revision, quantization=quantization)


def read_quantization(folder: Path) -> Quantization | None:
    """Return how a folder's weights are quantized, None if they are not. ModelError for a format that is not read."""
    modelopt = folder / "hf_quant_config.json"
    stated = _read_json_object(modelopt) if modelopt.is_file() else None
    return quantization_of(str(folder), read_config(folder), stated)


def read_config(folder: Path) -> dict[str, Any]:
    """Return a model folder's config.json. ModelError if it is not there or not an object."""
    path = folder / "config.json"
    if not path.is_file():
        adapter = (folder / "adapter_config.json").is_file()
        hint = "this is an adapter, merge it into its base model first" if adapter else "not a model folder"
        raise ModelError(f"model {str(folder)!r}: no config.json; {hint}")
    return _read_json_object(path)


def _read_json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise ModelError(f"model file {str(path)!r} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"model file {str(path)!r} must hold a JSON object (got {type(value).__name__})")
    return value


def _weight_files(folder: Path, allow_pickle: bool) -> tuple[tuple[Path, ...], str]:
    """Return the weight files and their format; sharded or single, safetensors before pickle."""
    files = _single_or_sharded(folder, SAFETENSORS)
    if files:
        return files, "safetensors"
    files = _single_or_sharded(folder, PICKLE)
    if files and allow_pickle:
        return files, "pickle"
    if files:
        raise ModelError(
            f"model {str(folder)!r}: its weights ({files[0].name}) are pickled, which can run any code when loaded; "
            "allow pickle explicitly if you trust them, or convert them to safetensors"
        )
    ggufs = sorted(path.name for path in folder.glob("*.gguf"))
    hint = f"; to load {ggufs[0]}, name the file itself" if ggufs else f"; {SAFETENSORS} or its shards are needed"
    raise ModelError(f"model {str(folder)!r}: no weights{hint}")


def _single_or_sharded(folder: Path, name: str) -> tuple[Path, ...]:
    index = folder / f"{name}.index.json"
    if not index.is_file():
        return (folder / name,) if (folder / name).is_file() else ()
    shards = _read_json_object(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"model file {str(index)!r} has no weight_map")
    names = sorted(set(map(str, shards.values())))
    if outside := [name for name in names if Path(name).name != name]:
        raise ModelError(f"model file {str(index)!r} names a shard outside its folder: {quoted(outside[0])}")
    files = tuple(folder / name for name in names)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(f"model {str(folder)!r}: {len(missing)} of {len(files)} shards missing, first {missing[0]}")
    return files


def safetensors_header(path: Path) -> dict[str, Any]:
    """Return dtype, shape and offsets by tensor name. ModelError unless its tensors fill the file exactly.

    Format: an 8-byte little-endian header length, that many bytes of JSON, then the tensors' bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if 2 <= length <= size - 8 else b""
    try:
        header = json.loads(text)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError):
        raise ModelError(f"model file {str(path)!r} is not a safetensors file (its header cannot be read)") from None
    if size != expected:
        state = "truncated" if size < expected else "damaged"
        raise ModelError(f"model file {str(path)!r} is {state}: {size:,} bytes, its header says {expected:,}")
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def read_gguf(path: Path, *, unread: bool = False) -> Checkpoint:
    """Return the checkpoint in a GGUF file. ModelError for another file, part of one, or an unknown pre-tokenizer.

    unread  return it whatever its pre-tokenizer, for a program that reads it for itself; of a model in several files
            those that lie beside it as well
    """
    header = read_header(path)
    if unread and header.files > 1:
        return _split_gguf(path, header)
    if header.files > 1:
        raise ModelError(
            f"model file {str(path)!r} is one of {header.files} that hold the model, which are not read here; merge "
            "them (llama-gguf-split --merge), or run them in engine 'llamacpp'"
        )
    if not unread:
        pre_tokenizer_of(path, header)
    return Checkpoint(path.parent, (path,), "gguf", gguf=path.name, header=header)


def _split_gguf(path: Path, header: GgufHeader) -> Checkpoint:
    """Return the checkpoint that several files hold. ModelError if one is missing."""
    stem = path.name.rpartition("-of-")[0].rpartition("-")[0]
    names = [f"{stem}-{number:05}-of-{header.files:05}.gguf" for number in range(1, header.files + 1)]
    files = tuple(path.with_name(name) for name in names)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(f"model file {str(path)!r}: {len(missing)} of {len(files)} parts missing, first {missing[0]}")
    tensors = tuple(tensor for file in files for tensor in read_header(file).tensors)
    return Checkpoint(path.parent, files, "gguf", gguf=path.name, header=replace(header, tensors=tensors))


def weights_id(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return for the manifest the hub's `revision`, or `sha256` of every weight file of a model from elsewhere."""
    if checkpoint.revision:
        return {"revision": checkpoint.revision}
    return {"sha256": {path.name: sha256(path) for path in checkpoint.weights}}


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal, remembered while the file does not change."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
