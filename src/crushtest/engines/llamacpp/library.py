"""The functions of llama.cpp's C interface that the engine calls, over either of two packages that carry it.

`llama-cpp-python` (ctypes) and `llama-cpp-py-sync` (cffi) name functions, structures and fields as the C header does.
They differ in how memory is handed over, which is what `Library` hides.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crushtest.errors import EngineError

Ints32 = NDArray[np.int32]
Floats32 = NDArray[np.float32]

INSTALL = "pip install 'crushtest[llamacpp]' (compiles llama.cpp), or the wheel: pip install llama-cpp-py-sync==0.11739"
GGML_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
FLASH = {"auto": -1, "off": 0, "on": 1}
WARNING, CONTINUED = 3, 5  # ggml_log_level


class Supplier(NamedTuple):
    """What carries llama.cpp: package and version, llama.cpp's own tag if the package says it, and the library file."""

    package: str
    tag: str | None
    path: Path


@dataclass(frozen=True, eq=False)
class Library:
    """llama.cpp, loaded.

    call        its functions, by their C names
    address_of  a numpy array's memory as the C type `int32_t *`, `int8_t *`, `char *` or `llama_seq_id **`
    pointer_to  a pointer to a structure
    batch       an empty `llama_batch`, to be filled and passed by value
    floats      the memory of `count` floats that a pointer points to
    text        the text at a `const char *`; None for NULL
    warnings    the last lines that llama.cpp logged as warnings or errors
    """

    supplier: Supplier
    call: Any
    address_of: Callable[[NDArray[Any], str], Any]
    pointer_to: Callable[[Any], Any]
    batch: Callable[[], Any]
    floats: Callable[[Any, int], Floats32]
    text: Callable[[Any], str | None]
    warnings: deque[str] = field(default_factory=lambda: deque(maxlen=8))
    kept: list[Any] = field(default_factory=list)

    def log(self, level: int, line: str) -> None:
        """Keep a warning or an error for the message of what fails next; drop everything else."""
        if level >= WARNING and level != CONTINUED and line.strip():
            self.warnings.append(line.strip())

    def error(self, what: str) -> EngineError:
        """Return an error that ends with what llama.cpp said last."""
        reason = f" ({self.warnings[-1]})" if self.warnings else ""
        return EngineError(f"llama.cpp: {what}{reason}")


def is_installed() -> bool:
    """Return True if a package that carries llama.cpp can be imported."""
    return any(importlib.util.find_spec(name) for name in ("llama_cpp", "llama_cpp_py_sync"))


def require_package() -> None:
    """Raise EngineError if no package that carries llama.cpp is installed."""
    if not is_installed():
        raise EngineError(f"engine 'llamacpp' needs llama.cpp; run: {INSTALL}")


@cache
def load_library() -> Library:
    """Return llama.cpp, silenced; EngineError if no package carries it."""
    require_package()
    library = _through_ctypes() if importlib.util.find_spec("llama_cpp") else _through_cffi()
    library.call.llama_backend_init()
    return library


def _through_cffi() -> Library:
    from llama_cpp_py_sync import __llama_cpp_tag__, __version__, _cffi_bindings

    ffi, functions = _cffi_bindings.get_ffi(), _cffi_bindings.get_lib()
    types = {"int32_t *": "int32_t *", "int8_t *": "int8_t *", "char *": "char *", "llama_seq_id **": "int32_t **"}

    def text(pointer: Any) -> str | None:
        return None if pointer == ffi.NULL else bytes(ffi.string(pointer)).decode("utf-8", "replace")

    library = Library(
        supplier=Supplier(
            f"llama-cpp-py-sync {__version__}", __llama_cpp_tag__, Path(str(_cffi_bindings._find_library()))
        ),
        call=functions,
        address_of=lambda array, kind: ffi.cast(types[kind], array.ctypes.data),
        pointer_to=ffi.addressof,
        batch=lambda: ffi.new("struct llama_batch *")[0],
        floats=lambda pointer, count: np.frombuffer(ffi.buffer(pointer, 4 * count), dtype=np.float32),
        text=text,
    )
    callback = ffi.callback(
        "void(enum ggml_log_level, const char *, void *)", lambda level, line, _: library.log(level, text(line) or "")
    )
    library.kept.append(callback)  # llama.cpp has its address
    functions.llama_log_set(callback, ffi.NULL)
    return library


def _through_ctypes() -> Library:
    import ctypes

    import llama_cpp

    types: dict[str, Any] = {
        "int32_t *": ctypes.POINTER(ctypes.c_int32),
        "int8_t *": ctypes.POINTER(ctypes.c_int8),
        "char *": ctypes.c_char_p,
        "llama_seq_id **": ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)),
    }
    library = Library(
        supplier=Supplier(f"llama-cpp-python {llama_cpp.__version__}", None, Path(llama_cpp.llama_cpp._lib._name)),
        call=llama_cpp,
        address_of=lambda array, kind: array.ctypes.data_as(types[kind]),
        pointer_to=ctypes.byref,
        batch=llama_cpp.llama_batch,
        floats=lambda pointer, count: np.ctypeslib.as_array(pointer, (count,)),
        text=lambda value: None if value is None else value.decode("utf-8", "replace"),
    )
    callback = llama_cpp.llama_log_callback(lambda level, line, _: library.log(level, line.decode("utf-8", "replace")))
    library.kept.append(callback)  # llama.cpp has its address
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    return library
