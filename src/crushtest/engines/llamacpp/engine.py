"""The `llamacpp` engine: a GGUF file in llama.cpp, in this process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from crushtest.engines.generation import Text, continue_batch
from crushtest.engines.likelihood import score_groups
from crushtest.engines.llamacpp.library import load_library, require_package
from crushtest.engines.packing import Line
from crushtest.engines.token_engine import TokenEngine
from crushtest.engines.token_model import Ability, BatchLimits
from crushtest.errors import EngineError, UsageError
from crushtest.records import Completion, Sampling
from crushtest.registry import Answers, engine

if TYPE_CHECKING:
    from crushtest.engines.llamacpp.library import Supplier
    from crushtest.engines.llamacpp.model_file import Context, ModelFile, Settings
    from crushtest.engines.llamacpp.tokenizer import GgufTokenizer
    from crushtest.models.load import LoadedModel

# Places for keys and values beyond what is asked, so that contexts are seldom made anew.
SPARE = 2**12
UNSHARED = "recurrent model: every line by itself"


@dataclass
class LlamaModel:
    """Scores and continues with contexts that are made as large as the work needs.

    pack_tokens  nodes per pack
    facts        of the file and the library, for the manifest
    """

    file: ModelFile
    tokenizer: GgufTokenizer
    settings: Settings
    context: int
    batch: BatchLimits
    pack_tokens: int
    facts: dict[str, Any]
    _context: Context | None = None

    @property
    def can(self) -> frozenset[Ability]:
        """Scores and continuations. Distributions are at hand, but nothing compares them with the dense model's."""
        return frozenset({"scores", "first_token", "generates"})

    def score(self, groups: Sequence[Sequence[Line]], done: Container[int]) -> Iterator[tuple[int, list[float]]]:
        """Yield each group's log-likelihoods, computed in prefix-shared packs."""
        from crushtest.engines.llamacpp.likelihood import SequencesLogLikelihood
        from crushtest.engines.llamacpp.trunks import Trunks

        longest = max((len(line.tokens) for group in groups for line in group), default=0)
        context = self._of(longest + self.pack_tokens)
        likelihood = SequencesLogLikelihood(context, Trunks(context), self.pack_tokens, self.file.shares_prefixes)
        return score_groups(likelihood, groups, done)

    def continue_batch(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Yield the completions of one batch."""
        from crushtest.engines.llamacpp.decoding import SequencesDecoder

        context = self._of(sum(len(prompt) + sampling.max_tokens for prompt in prompts))
        decoder = SequencesDecoder(context, self.pack_tokens, self.file.shares_prefixes)
        return continue_batch(decoder, self.tokenizer, self.tokenizer.ends, prompts, texts, sampling)

    def describe(self) -> dict[str, Any]:
        """Return the file's and the library's facts, the path that scoring takes, and how contexts run."""
        shared = f"prefix-shared packs of {self.pack_tokens} tokens" if self.file.shares_prefixes else UNSHARED
        settings = self.settings
        return {
            "engine": "llamacpp",
            **self.facts,
            "scoring": f"{shared}, {settings.batch} at once; kv {settings.kv}, flash attention {settings.flash}",
            "threads": settings.threads,
        }

    def _of(self, cells: int) -> Context:
        """Return a context of at least so many places. It may be one that was used before."""
        from crushtest.engines.llamacpp.model_file import Context

        if self._context is None or self._context.cells < cells:
            self._context = None  # its memory is free before the next one's is taken
            self._context = Context(self.file, self.settings, -(-(cells + SPARE) // 256) * 256)
        return self._context


ANSWERS: tuple[Answers, ...] = ("choices", "passages", "prompts")


def check_model(model: str, **options: Any) -> dict[str, Any]:
    """Return what any GGUF file answers.

    Raises EngineError if there is no such file or llama.cpp is not installed, UsageError for options that exclude
    each other.
    """
    if options["kv"] in ("q8_0", "q4_0") and options["flash"] == "off":
        raise UsageError(f"engine 'llamacpp': kv={options['kv']} needs flash attention; leave out flash=off")
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
    """
    import torch

    from crushtest.engines.llamacpp.model_file import ModelFile, Settings
    from crushtest.engines.llamacpp.tokenizer import GgufTokenizer

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
        tokenizer=GgufTokenizer(file),
        settings=settings,
        context=longest,
        batch=BatchLimits(batch_size, longest + SPARE),
        pack_tokens=pack_tokens,
        facts={"model": model, **_facts(file, path, library.supplier, gpu_layers)},
    )
    return TokenEngine(runs)


def gguf_path(model: str) -> Path:
    """Return the GGUF file of a MODEL: a path, or the demo's. EngineError for anything else."""
    if model == "demo":
        from crushtest.models.demo import find_gguf

        return find_gguf()
    path = Path(model).expanduser()
    if path.suffix != ".gguf" or not path.is_file():
        raise EngineError(f"engine 'llamacpp' runs GGUF files; there is no file {model!r} that ends in .gguf")
    return path


def _facts(file: ModelFile, path: Path, supplier: Supplier, gpu_layers: int) -> dict[str, Any]:
    from crushtest.models.checkpoint import sha256

    template = file.metadata("tokenizer.chat_template")
    first, split, _ = path.name.partition("-00001-of-")
    parts = sorted(path.parent.glob(f"{escape(first)}-?????-of-?????.gguf")) if split else [path]
    return {
        "model_sha256": {part.name: sha256(part) for part in parts} if len(parts) > 1 else sha256(path),
        "architecture": file.metadata("general.architecture"),
        "file_type": file.metadata("general.file_type"),
        "chat_template_sha256": hashlib.sha256(json.dumps(template).encode()).hexdigest() if template else None,
        "supplier": supplier.package,
        "llama_cpp": supplier.tag,
        "library_sha256": sha256(supplier.path),
        "device": f"gpu ({gpu_layers} layers)" if gpu_layers else "cpu",
    }
