"""A GGUF file that llama.cpp has loaded, and contexts of it that run batches of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crushtest.engines.llamacpp.library import FLASH, GGML_TYPES, Floats32, Library
from crushtest.engines.packing import Ints

# Sequence 0 holds the trunk that packs continue; the others are leaves.
TRUNK = 0
KV_BITS = {"f32": 32, "f16": 16, "q8_0": 8.5, "q4_0": 4.5}
"""Bits per stored value of each type, with the scale of its block."""
# Logits that one call leaves behind, as numbers: 64 MB in float32.
LOGITS = 2**24


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A loaded file. Strings of its metadata are read by key."""

    library: Library
    path: Path
    handle: Any

    @staticmethod
    def load(library: Library, path: Path, *, gpu_layers: int) -> ModelFile:
        """Load a GGUF file; EngineError if llama.cpp does not take it, or it is no decoder of text."""
        settings = library.call.llama_model_default_params()
        settings.n_gpu_layers = gpu_layers
        library.warnings.clear()
        handle = library.call.llama_model_load_from_file(str(path).encode(), settings)
        if not handle:
            raise library.error(f"{str(path)!r} cannot be loaded")
        if library.call.llama_model_has_encoder(handle):
            library.call.llama_model_free(handle)
            raise library.error(f"{str(path)!r} is an encoder-decoder model; only decoders are scored")
        return ModelFile(library, path, handle)

    def __del__(self) -> None:
        self.library.call.llama_model_free(self.handle)

    @cached_property
    def vocabulary(self) -> Any:
        """The handle of its tokens."""
        return self.library.call.llama_model_get_vocab(self.handle)

    @cached_property
    def vocabulary_size(self) -> int:
        """How many tokens it has."""
        return int(self.library.call.llama_vocab_n_tokens(self.vocabulary))

    @cached_property
    def trained_context(self) -> int:
        """Tokens of the longest text it was trained on."""
        return int(self.library.call.llama_model_n_ctx_train(self.handle))

    @cached_property
    def shares_prefixes(self) -> bool:
        """False for recurrent models: their state is not made of keys and values that sequences can share."""
        call = self.library.call
        return not (call.llama_model_is_recurrent(self.handle) or call.llama_model_is_hybrid(self.handle))

    @cached_property
    def kv_numbers(self) -> int | None:
        """The numbers of a token's keys and values over all layers; None if not all layers keep the same of both."""
        prefix = self.metadata("general.architecture")
        if not self.shares_prefixes or any(
            self.metadata(f"{prefix}.attention.{key}") for key in ("kv_lora_rank", "shared_kv_layers")
        ):
            return None
        layers, width, heads = (
            self._count(f"{prefix}.{key}") for key in ("block_count", "embedding_length", "attention.head_count")
        )
        if layers is None or width is None or not heads:
            return None
        key_heads = self._count(f"{prefix}.attention.head_count_kv", heads)
        sizes = [self._count(f"{prefix}.attention.{key}_length", width // heads) for key in ("key", "value")]
        return None if key_heads is None or None in sizes else layers * key_heads * sum(filter(None, sizes))

    def _count(self, key: str, default: int | None = None) -> int | None:
        """Return a count of the metadata, `default` without one; None for one per layer."""
        text = self.metadata(key)
        return default if text is None else int(text) if text.isdecimal() else None

    def metadata(self, key: str) -> str | None:
        """Return a string or number of the file's metadata as text; None if it has none of that name."""
        size = 2**10
        while True:
            buffer = np.zeros(size, dtype=np.int8)
            address = self.library.address_of(buffer, "char *")
            length = int(self.library.call.llama_model_meta_val_str(self.handle, key.encode(), address, size))
            if length < size:
                return None if length < 0 else buffer[:length].tobytes().decode("utf-8", "replace")
            size = length + 1


@dataclass(frozen=True)
class Settings:
    """How contexts run.

    kv         type of the stored keys and values
    flash      fused attention: `auto` as llama.cpp decides
    threads    that a batch is run on
    batch      tokens that are computed together at most
    sequences  that a context tells apart
    """

    kv: str
    flash: str
    threads: int
    batch: int
    sequences: int
    on_gpu: bool


class Context:
    """Keys and values of sequences of tokens, in `cells` places, and the logits of the last batch."""

    def __init__(self, model: ModelFile, settings: Settings, cells: int) -> None:
        self.model, self.settings, self.cells = model, settings, cells
        self._call = model.library.call
        options = self._call.llama_context_default_params()
        options.n_ctx, options.n_ubatch, options.n_seq_max = cells, settings.batch, settings.sequences
        # llama.cpp makes room for the logits of a token per sequence, of which there may be no more than n_batch.
        options.n_batch = max(settings.batch, settings.sequences)
        options.n_threads = options.n_threads_batch = settings.threads
        options.type_k = options.type_v = GGML_TYPES[settings.kv]
        options.flash_attn_type = FLASH[settings.flash]
        # One store for all sequences: a token may then belong to several. A sliding window keeps all it has seen,
        # because a trunk is continued more than once.
        options.kv_unified = options.swa_full = True
        options.no_perf = True
        # Without these a CUDA build moves large products and the store to the GPU with no layer on it.
        options.op_offload = options.offload_kqv = settings.on_gpu
        model.library.warnings.clear()
        self._handle = self._call.llama_init_from_model(model.handle, options)
        if not self._handle:
            raise model.library.error(f"no context of {cells} tokens with kv={settings.kv}, flash={settings.flash}")
        self._memory = self._call.llama_get_memory(self._handle)
        self._ids = np.arange(settings.sequences, dtype=np.int32)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._call.llama_free(self._handle)

    def run(self, tokens: Ints, positions: Ints, first: Ints, count: Ints, wanted: Ints) -> Floats32:
        """Run tokens that are given in an order in which each stands after those it continues.

        first, count  [tokens] a token belongs to sequences first..first + count - 1
        wanted        indexes of tokens whose logits are returned, ascending: [wanted, vocabulary]
        """
        size = self.model.vocabulary_size
        logits = np.empty((len(wanted), size), dtype=np.float32)
        begin = 0
        while begin < len(tokens):
            end = self._end(begin, len(tokens), wanted)
            low, high = np.searchsorted(wanted, [begin, end])
            part = slice(begin, end)
            self._decode(tokens[part], positions[part], first[part], count[part], wanted[low:high] - begin)
            if high > low:
                pointer = self._call.llama_get_logits(self._handle)
                logits[low:high] = self.model.library.floats(pointer, (high - low) * size).reshape(high - low, size)
            begin = end
        return logits

    def continue_as(self, source: int, sequences: Iterable[int], stop: int = -1) -> None:
        """Let sequences begin with what `source` holds, up to position `stop`."""
        for sequence in sequences:
            self._call.llama_memory_seq_cp(self._memory, source, sequence, -1, stop)

    def forget(self, sequence: int, begin: int = 0) -> None:
        """Drop a sequence from position `begin` on; what others hold stays."""
        self._call.llama_memory_seq_rm(self._memory, sequence, begin, -1)

    def clear(self) -> None:
        """Drop everything."""
        self._call.llama_memory_clear(self._memory, False)

    def _end(self, begin: int, stop: int, wanted: Ints) -> int:
        """Return where a call that begins here ends: a batch at most, with no more logits than are held at once."""
        most = max(LOGITS // self.model.vocabulary_size, 1)
        past = int(np.searchsorted(wanted, begin)) + most
        return min(begin + self.settings.batch, stop, int(wanted[past]) if past < len(wanted) else stop)

    def _decode(self, tokens: Ints, positions: Ints, first: Ints, count: Ints, wanted: Ints) -> None:
        library = self.model.library
        asks = np.zeros(len(tokens), dtype=np.int8)
        asks[wanted] = 1
        # The ids of a token's sequences follow each other, so its list of them begins somewhere in 0, 1, 2, ...
        lists = self._ids.ctypes.data + 4 * first.astype(np.uint64)
        columns: list[tuple[str, str, Any]] = [
            ("token", "int32_t *", tokens.astype(np.int32)),
            ("pos", "int32_t *", positions.astype(np.int32)),
            ("n_seq_id", "int32_t *", count.astype(np.int32)),
            ("seq_id", "llama_seq_id **", lists.astype(np.uint64)),
            ("logits", "int8_t *", asks),
        ]
        batch = library.batch()
        batch.n_tokens = len(tokens)
        for name, kind, values in columns:
            setattr(batch, name, library.address_of(values, kind))
        library.warnings.clear()
        status = self._call.llama_decode(self._handle, batch)
        if status != 0:
            raise library.error(f"a batch of {len(tokens)} tokens failed with code {status}")
