"""The `hf` engine: a transformers model in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from annotated_types import Ge

from crushtest.engines.thinking import Thinking, with_thinking
from crushtest.registry import Answers, engine

if TYPE_CHECKING:
    from crushtest.engines.hf.model import HfModel
    from crushtest.engines.token_engine import TokenEngine
    from crushtest.models.load import LoadedModel


KvName: TypeAlias = Literal["none", "q8_0", "q4_0", "kivi4", "kivi2"]
ANSWERS: tuple[Answers, ...] = ("choices", "passages", "prompts", "distributions")


def check_model(model: str, **options: Any) -> dict[str, Any]:
    """Return what any model answers. Its weights are not read.

    Raises EngineError for one that `kv` does not fit, or whose chat template has no switch for `thinking`.
    """
    from crushtest.engines.hf.kv_choice import check_config
    from crushtest.engines.hf.tokenizer import HfTokenizer
    from crushtest.models.load import load_tokenizer, peek_config

    # Only a study knows what is trusted. If that is needed to read the configuration, loading the model checks it.
    if options["kv"] != "none" and (config := peek_config(model)) is not None:
        check_config(options["kv"], config)
    if options.get("thinking") is not None:
        trust = {name: options[name] for name in ("trust_remote_code", "allow_pickle")}
        with_thinking(HfTokenizer(load_tokenizer(model, **trust)), options["thinking"], f"model {model!r}")
    return {"answers": ANSWERS}


@engine(
    "hf",
    runs="a transformers model in this process, from the hub, a folder or a GGUF file",
    answers=ANSWERS,
    in_process=True,
    takes_recipes=True,
    facts=check_model,
)
def hf(
    model: str | LoadedModel,
    *,
    dtype: str = "float32",
    device: str = "auto",
    pack_tokens: Annotated[int, Ge(1)] | None = None,
    batch_size: Annotated[int, Ge(1)] | None = None,
    batch_tokens: Annotated[int, Ge(1)] | None = None,
    kv: KvName = "none",
    thinking: Thinking | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> TokenEngine[HfModel]:
    """Scoring with shared prefixes, rolling perplexity and batched generation, in PyTorch on a CPU or GPU.

    pack_tokens  tokens run at once when scoring; memory grows with it. At most the length up to which packs are exact.
                 None: 2048 on a CPU unless memory is too small, up to 16384 where an accelerator has room
    batch_size   prompts continued at once. None: 64 on a CPU, 256 on an accelerator
    batch_tokens tokens of the prompts continued at once, with what they are continued by. None: those whose keys and
                 values take 512 MB on a CPU, a quarter of an accelerator's free memory
    kv           precision of the stored keys and values: `none` as the model's dtype, `q8_0` and `q4_0` as llama.cpp
                 reads them, `kivi4` and `kivi2` as KIVI does, for tokens written after the prompt
    thinking     `on`, `off` or a number of tokens, if the chat template has a switch for it
    The other options are those of `load_model`; a model that is loaded already stays as it is.
    """
    from crushtest.engines.hf.model import engine_of
    from crushtest.engines.hf.sizes import Asked
    from crushtest.models.load import load_model

    if isinstance(model, str):
        model = load_model(
            model, dtype=dtype, device=device, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle
        )
    asked = Asked(pack_tokens, batch_size, batch_tokens)
    return engine_of(model, asked, kv=kv, thinking=thinking)
