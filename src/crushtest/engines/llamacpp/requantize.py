"""GGUF files of other types, made by llama.cpp from a file. A publisher starts from the original weights instead."""

from __future__ import annotations

from pathlib import Path

from crushtest.engines.llamacpp.library import load_library

# llama_ftype
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q4_K_M": 15, "Q6_K": 18}


def requantize(source: Path, target: Path, file_type: str, *, threads: int = 1) -> Path:
    """Write a GGUF file with the weights of another in this type. Weights that are quantized already lose more."""
    library = load_library()
    settings = library.call.llama_model_quantize_default_params()
    settings.ftype, settings.nthread, settings.allow_requantize = FILE_TYPES[file_type], threads, True
    library.warnings.clear()
    pointer = library.pointer_to(settings)
    if library.call.llama_model_quantize(str(source).encode(), str(target).encode(), pointer) != 0:
        raise library.error(f"{str(source)!r} cannot be written as {file_type}")
    return target
