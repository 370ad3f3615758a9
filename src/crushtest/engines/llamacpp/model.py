"""A GGUF file that scores and continues in llama.cpp."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from crushtest.engines.generation import Text, continue_batch
from crushtest.engines.kv_size import stored_bytes
from crushtest.engines.likelihood import Part, score_groups
from crushtest.engines.llamacpp.decoding import SequencesDecoder
from crushtest.engines.llamacpp.library import Supplier
from crushtest.engines.llamacpp.likelihood import SequencesLogLikelihood
from crushtest.engines.llamacpp.model_file import KV_BITS, Context, ModelFile, Settings
from crushtest.engines.llamacpp.tokenizer import GgufTokenizer
from crushtest.engines.llamacpp.trunks import Trunks
from crushtest.engines.packing import Line, as_line
from crushtest.engines.token_model import Ability, BatchLimits
from crushtest.models.checkpoint import sha256
from crushtest.records import Completion, Sampling

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
        return score_groups(self._likelihood(groups), groups, done)

    def layout(self, groups: Sequence[Sequence[Line]]) -> Sequence[Part]:
        """Return the packs that scoring runs."""
        return self._likelihood(groups).plan([line for group in groups for line in group])

    def continue_batch(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Yield the completions of one batch."""
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
            **stored_bytes(self.file.kv_numbers, KV_BITS[settings.kv]),
            "threads": settings.threads,
        }

    def read_to_continue(self, prompts: Sequence[Sequence[int]]) -> int:
        """Return the tokens that are read before a batch of prompts is continued."""
        return sum(pack.read for pack in self.layout([[as_line(prompt)] for prompt in prompts]))

    def _likelihood(self, groups: Sequence[Sequence[Line]]) -> SequencesLogLikelihood:
        longest = max((len(line.tokens) for group in groups for line in group), default=0)
        context = self._of(longest + self.pack_tokens)
        return SequencesLogLikelihood(context, Trunks(context), self.pack_tokens, self.file.shares_prefixes)

    def _of(self, cells: int) -> Context:
        """Return a context of at least so many places. It may be one that was used before."""
        if self._context is None or self._context.cells < cells:
            self._context = None  # its memory is free before the next one's is taken
            self._context = Context(self.file, self.settings, -(-(cells + SPARE) // 256) * 256)
        return self._context


def facts_of(file: ModelFile, path: Path, supplier: Supplier, gpu_layers: int) -> dict[str, Any]:
    """Return what the manifest holds of a file, of the library that runs it, and where it runs."""
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
