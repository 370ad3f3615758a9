"""From a model's name to vLLM running it in this process."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.engines.hf.tokenizer import ends_of
from crushtest.engines.kv_size import config_numbers, stored_bytes
from crushtest.engines.vllm.program import (
    BITS,
    Settings,
    failing,
    importing,
    numbers_environment,
    on_cpu,
    refuse_method,
)
from crushtest.engines.vllm.scoring import Store
from crushtest.models import demo
from crushtest.models.checkpoint import Checkpoint, read_config, weights_id
from crushtest.models.find import model_kind
from crushtest.models.load import find_checkpoint
from crushtest.models.reader import quiet, read_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CPU_BLOCK = 32


@dataclass(frozen=True)
class Running:
    """vLLM with a model.

    store    its places for keys and values
    groups   groups of layers that store keys and values each in blocks of their own; None if vLLM does not tell
    ends     tokens that end a text
    context  tokens of a prompt and its continuation
    facts    for the manifest
    """

    llm: Any
    tokenizer: PreTrainedTokenizerBase
    store: Store
    groups: int | None
    ends: frozenset[int]
    context: int
    facts: dict[str, Any]


def load(model: str, settings: Settings, *, trust_remote_code: bool, allow_pickle: bool) -> Running:
    """Return vLLM running a model. Raises ModelError for its files, EngineError with what vLLM says."""
    checkpoint = find_checkpoint(model, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle, unread=True)
    refuse_method(model, read_config(checkpoint.folder))
    with failing(f"engine 'vllm': {model!r} does not run"):
        with quiet():
            tokenizer = read_tokenizer(checkpoint, trust_remote_code=trust_remote_code)
        with as_it_was():
            llm = _start(checkpoint, settings, trust_remote_code)
    config = llm.llm_engine.vllm_config
    cache, groups = config.cache_config, _groups(llm)
    return Running(
        llm=llm,
        tokenizer=tokenizer,
        store=_store(cache, groups or 1),
        groups=groups,
        ends=_end_tokens(checkpoint, config.model_config.hf_config, tokenizer),
        context=int(config.model_config.max_model_len),
        facts=_facts(model, checkpoint, settings, config, tokenizer),
    )


def _start(checkpoint: Checkpoint, settings: Settings, trust_remote_code: bool) -> Any:
    with importing():
        from vllm import LLM

    block = settings.block or (CPU_BLOCK if on_cpu() else None)
    return LLM(
        model=str(checkpoint.folder),
        trust_remote_code=trust_remote_code,
        # Where there is no safetensors file it would go for the pickled ones.
        load_format="safetensors" if checkpoint.format == "safetensors" else "pt",
        # Its own sampling settings stay out; the end tokens are read here.
        generation_config="vllm",
        dtype=settings.dtype,
        kv_cache_dtype=settings.kv,
        max_model_len=settings.context,
        max_num_batched_tokens=settings.batch,
        max_num_seqs=min(settings.batch_size, settings.batch),
        tensor_parallel_size=settings.tensor_parallel,
        gpu_memory_utilization=settings.gpu_memory,
        enforce_eager=settings.eager,
        enable_prefix_caching=True,
        use_tqdm_on_load=False,
        # They say which requests were interrupted.
        disable_log_stats=False,
        **({"block_size": block} if block else {}),
        # In a worker of Ray it would take Ray for its own processes, and wait for places that nobody has.
        **({"distributed_executor_backend": "mp"} if settings.tensor_parallel > 1 else {}),
    )


def _groups(llm: Any) -> int | None:
    """Return how many groups of layers take blocks; None if the scheduler is in another process."""
    try:
        return len(llm.llm_engine.engine_core.engine_core.scheduler.kv_cache_config.kv_cache_groups)
    except AttributeError:
        return None


def _store(cache: Any, groups: int) -> Store:
    """Return the places of a line that takes its blocks in each group of layers; vLLM keeps one block for itself."""
    return Store((int(cache.num_gpu_blocks) - 1) // max(groups, 1), int(cache.block_size))


def shut_down(llm: Any) -> None:
    """End vLLM's engine, and give back its memory, on an accelerator as well."""
    import torch

    with suppress(Exception):  # a dead engine may fail once more; what it died of is told already
        llm.llm_engine.engine_core.shutdown()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def as_it_was() -> Iterator[None]:
    """Give back what vLLM takes from the rest of the process: on a CPU it replaces `torch.set_num_threads`."""
    import torch

    set_num_threads = torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = set_num_threads


def _end_tokens(checkpoint: Checkpoint, config: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens that end a text."""
    from transformers import GenerationConfig

    source: Any = config
    if (checkpoint.folder / "generation_config.json").is_file():
        source = GenerationConfig.from_pretrained(checkpoint.folder)
    return ends_of(source, tokenizer)


def _facts(
    model: str, checkpoint: Checkpoint, settings: Settings, config: Any, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    import torch
    import vllm

    template, kind = tokenizer.chat_template, model_kind(model)
    weights = {"sha256": demo.SHA256} if kind == "demo" else weights_id(checkpoint)
    cpu, quantization = on_cpu(), config.model_config.quantization
    # A quantized model may bring the type of its keys and values.
    bits = None if settings.kv == "auto" and quantization else BITS.get(settings.kv)
    return {
        "kind": kind,
        "format": "gguf" if kind == "demo" else checkpoint.format,
        "model_sha256": weights.get("sha256"),
        "revision": weights.get("revision"),
        "quantization": quantization,
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "chat_template_sha256": hashlib.sha256(json.dumps(template).encode()).hexdigest() if template else None,
        "device": "cpu" if cpu else str(config.device_config.device_type),
        "kv": settings.kv,
        **stored_bytes(config_numbers(config.model_config.hf_config), bits),
        "tensor_parallel": settings.tensor_parallel,
        "environment": numbers_environment(),
        "program": f"vllm {vllm.__version__}",
        **({"threads": torch.get_num_threads()} if cpu else {}),
        **({"note": demo.NOTE} if kind == "demo" else {}),
    }
