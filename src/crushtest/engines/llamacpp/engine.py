"""The `llamacpp` engine: a GGUF file in llama.cpp, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from crushtest.engines.thinking import Thinking, with_thinking
from crushtest.errors import EngineError, UsageError
from crushtest.models import copies
from crushtest.models.copies import is_gguf, is_stored
from crushtest.registry import Answers, engine

if TYPE_CHECKING:
    from crushtest.engines.llamacpp.model import LlamaModel
    from crushtest.engines.token_engine import TokenEngine
    from crushtest.models.load import LoadedModel

ANSWERS: tuple[Answers, ...] = ("choices", "passages", "prompts")


def check_model(model: str, **options: Any) -> dict[str, Any]:
    """Return what any GGUF file answers.

    Raises EngineError if there is no such file or llama.cpp is not installed, UsageError for options that exclude
    each other.
    """
    from crushtest.engines.llamacpp.library import require_package

    if options["kv"] in ("q8_0", "q4_0") and options["flash"] == "off":
        raise UsageError(f"engine 'llamacpp': kv={options['kv']} needs flash attention; leave out flash=off")
    if is_stored(model) and is_gguf(model):
        copies.check(model)
    else:
        gguf_path(model)
    require_package()
    return {"answers": ANSWERS}


@engine(
    "llamacpp",
    runs="a GGUF file in llama.cpp, as it is deployed (package `crushtest[llamacpp]`)",
    answers=ANSWERS,
    runs_files=True,
    facts=check_model,
)
def llamacpp(
    model: str | LoadedModel,
    *,
    kv: Literal["f32", "f16", "q8_0", "q4_0"] = "f16",
    flash: Literal["auto", "on", "off"] = "auto",
    context: Annotated[int, Ge(2)] | None = None,
    batch: Annotated[int, Ge(1)] = 512,
    gpu_layers: Annotated[int, Ge(0)] = 0,
    threads: Annotated[int, Ge(1)] | None = None,
    pack_tokens: Annotated[int, Ge(1)] = 512,
    batch_size: Annotated[int, Ge(1), Le(255)] = 64,
    thinking: Thinking | None = None,
) -> TokenEngine[LlamaModel]:
    """Scoring with shared prefixes, rolling perplexity and batched generation, in llama.cpp.

    kv           type of the stored keys and values; types of 8 and 4 bits need flash attention
    flash        fused attention; `auto` leaves it to llama.cpp
    context      tokens that the model takes at once; default: as many as it was trained on
    batch        tokens computed together (llama.cpp's n_ubatch)
    gpu_layers   layers on the GPU, if llama.cpp was built for one
    threads      default: as many as torch uses
    pack_tokens  tokens of a pack when scoring: llama.cpp attends to the whole of it and masks, so larger is slower
    batch_size   prompts continued at once
    thinking     `on`, `off` or a number of tokens, if the chat template has a switch for it
    """
    import torch

    from crushtest.engines.llamacpp.library import load_library
    from crushtest.engines.llamacpp.model import SPARE, LlamaModel, facts_of
    from crushtest.engines.llamacpp.model_file import ModelFile, Settings
    from crushtest.engines.llamacpp.tokenizer import GgufTokenizer
    from crushtest.engines.token_engine import TokenEngine
    from crushtest.engines.token_model import BatchLimits

    if not isinstance(model, str):
        raise EngineError("engine 'llamacpp' runs GGUF files, not models that are loaded already; give the file's path")
    check_model(model, kv=kv, flash=flash)
    path, library = gguf_path(model), load_library()
    call = library.call
    file = ModelFile.load(library, path, gpu_layers=gpu_layers)
    settings = Settings(
        kv=kv,
        flash=flash,
        threads=threads or torch.get_num_threads(),
        batch=batch,
        sequences=int(call.llama_max_parallel_sequences()) if file.shares_prefixes else batch_size + 1,
        on_gpu=gpu_layers > 0,
    )
    longest = context or file.trained_context
    runs = LlamaModel(
        file=file,
        tokenizer=with_thinking(GgufTokenizer(file), thinking, f"model {model!r}"),
        settings=settings,
        context=longest,
        batch=BatchLimits(batch_size, longest + SPARE),
        pack_tokens=pack_tokens,
        facts={"model": model, **facts_of(file, path, library.supplier, gpu_layers)},
    )
    return TokenEngine(runs)


def gguf_path(model: str) -> Path:
    """Return the GGUF file of a MODEL: a path, a copy of what is at an address, or the demo's.

    EngineError for anything else.
    """
    if model == "demo":
        from crushtest.models.demo import find_gguf

        return find_gguf()
    if is_stored(model) and is_gguf(model):
        return copies.fetch(model, unread=True).weights[0]
    path = Path(model).expanduser()
    if path.suffix != ".gguf" or not path.is_file():
        raise EngineError(f"engine 'llamacpp' runs GGUF files; there is no file {model!r} that ends in .gguf")
    return path
