"""The `vllm` engine: a model in vLLM, in this process, as it is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from crushtest.engines.thinking import Thinking
from crushtest.engines.vllm.program import Settings, Stored, refuse_method, require_package
from crushtest.errors import EngineError
from crushtest.registry import Answers, engine
from crushtest.services.addresses import is_address

if TYPE_CHECKING:
    from crushtest.engines.token_engine import TokenEngine
    from crushtest.engines.vllm.model import VllmModel
    from crushtest.models.load import LoadedModel

ANSWERS: tuple[Answers, ...] = ("choices", "passages", "prompts")


def check_model(model: str, *, kv: Stored, allow_pickle: bool, **_: Any) -> dict[str, Any]:
    """Return what any model answers. No weight is read.

    Raises EngineError if vLLM is not installed, or is known not to run this model or not to run it right; ModelError
    for a model that is not there or not whole.
    """
    from crushtest.models import copies, find
    from crushtest.models.checkpoint import read_config
    from crushtest.models.copies import is_gguf

    if is_address(model):
        raise EngineError(f"engine 'vllm' runs models in this process; {model!r} is run by engine 'openai'")
    kind = find.model_kind(model)
    if is_gguf(model):
        raise EngineError(f"engine 'vllm' reads no GGUF files (got {model!r}); run it in engine 'llamacpp' or 'hf'")
    require_package(kv)
    find.check_model(model, allow_pickle=allow_pickle, unread=True)
    if kind == "folder":
        folder = find.local_checkpoint(model, kind, allow_pickle=allow_pickle, unread=True).folder
        refuse_method(model, read_config(folder))
    elif kind == find.ADDRESS:
        refuse_method(model, read_config(copies.without_weights(model, unread=True).folder))
    return {"answers": ANSWERS}


@engine(
    "vllm",
    runs="a model in vLLM, in this process, as it is deployed (package `crushtest[vllm]`)",
    answers=ANSWERS,
    facts=check_model,
)
def vllm(
    model: str | LoadedModel,
    *,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    kv: Stored = "auto",
    context: Annotated[int, Ge(4)] | None = None,
    batch: Annotated[int, Ge(1)] = 2048,
    batch_size: Annotated[int, Ge(1)] = 256,
    block: Annotated[int, Ge(1)] | None = None,
    share: bool = True,
    tensor_parallel: Annotated[int, Ge(1)] = 1,
    gpu_memory: Annotated[float, Gt(0), Le(1)] = 0.85,
    eager: bool = False,
    thinking: Thinking | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> TokenEngine[VllmModel]:
    """Scoring with shared prefixes, rolling perplexity and batched generation, in vLLM.

    dtype            of weights and activations; `auto` is vLLM's choice, which turns float32 into 16 bits
    kv               type of the stored keys and values (vLLM's kv_cache_dtype)
    context          tokens that vLLM takes at once (max_model_len); default: as many as the model was trained on
    batch            tokens computed together (max_num_batched_tokens); memory for log-probabilities grows with it
    batch_size       lines and prompts that run at once (max_num_seqs), and prompts continued at once
    block            tokens per block of the store, which are shared or not as a whole; default: 32 on CPU, else vLLM's
    share            compute what lines begin with in common once
    tensor_parallel  GPUs that share the model (tensor_parallel_size)
    gpu_memory       share of the memory that vLLM takes (gpu_memory_utilization), on a CPU of the machine's
    eager            do not compile the model: starts sooner, runs slower (enforce_eager)
    thinking         `on`, `off` or a number of tokens, if the chat template has a switch for it
    In a study, `trust_remote_code` and `allow_pickle` are the study's.
    """
    if not isinstance(model, str):
        raise EngineError("engine 'vllm' loads its models itself, not one that is loaded already; give its name")
    check_model(model, kv=kv, allow_pickle=allow_pickle)
    from crushtest.engines.token_engine import TokenEngine
    from crushtest.engines.vllm.loading import load, shut_down
    from crushtest.engines.vllm.model import model_of

    settings = Settings(
        dtype=dtype,
        kv=kv,
        context=context,
        batch=batch,
        batch_size=batch_size,
        block=block,
        tensor_parallel=tensor_parallel,
        gpu_memory=gpu_memory,
        eager=eager,
    )
    running = load(model, settings, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    try:
        return TokenEngine(model_of(model, running, settings, share=share, thinking=thinking))
    except EngineError:
        shut_down(running.llm)
        raise
