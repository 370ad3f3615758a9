"""The `hf` engine: a transformers model in this process."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from crushtest.engines.generation import Text, continue_batch
from crushtest.engines.hf.comparison import DenseComparison
from crushtest.engines.hf.decoding import PackedDecoder
from crushtest.engines.hf.generation import continue_plainly, end_tokens
from crushtest.engines.hf.kivi import RESIDUAL, Kivi
from crushtest.engines.hf.kv_cache import BlockCache
from crushtest.engines.hf.kv_choice import KvCache, KvName, check_config, kv_cache
from crushtest.engines.hf.likelihood import PackedLogLikelihood, PaddedLogLikelihood, bytes_per_token
from crushtest.engines.hf.packing_check import pack_limit, why_not_packed
from crushtest.engines.hf.tokenizer import HfTokenizer, context_length
from crushtest.engines.likelihood import score_groups
from crushtest.engines.packing import Line
from crushtest.engines.token_engine import TokenEngine
from crushtest.engines.token_model import Ability, BatchLimits
from crushtest.errors import EngineError
from crushtest.models.memory import keep_freed_memory
from crushtest.records import Completion, Sampling
from crushtest.registry import Answers, engine

if TYPE_CHECKING:
    from crushtest.models.load import LoadedModel


# Bytes of keys and values that a batch of prompts may take.
STORED = 2**29


@dataclass
class HfModel:
    """Scores in prefix-shared packs if the model allows it; `unpacked` says why it does not.

    context  tokens that the model takes at once
    batch    the tokens of a batch are limited by the memory of its keys and values
    limit    tokens up to which packs are exact (a sliding window, say); longer lines are run in padded batches
    """

    loaded: LoadedModel
    packed: PackedLogLikelihood
    padded: PaddedLogLikelihood
    context: int
    batch: BatchLimits
    limit: int | None
    unpacked: str | None

    @property
    def can(self) -> frozenset[Ability]:
        """Everything: the logits are at hand."""
        return frozenset({"scores", "first_token", "generates", "distributions"})

    @property
    def kv(self) -> KvCache | None:
        """How keys and values are stored; None for as they are."""
        return self.padded.kv

    @property
    def tokenizer(self) -> HfTokenizer:
        """The model's own."""
        return HfTokenizer(self.loaded.tokenizer)

    def score(self, groups: Sequence[Sequence[Line]], done: Container[int]) -> Iterator[tuple[int, list[float]]]:
        """Yield each group's log-likelihoods, computed in packs or padded batches."""
        return score_groups(self.log_likelihood(groups), groups, done)

    def log_likelihood(self, groups: Sequence[Sequence[Line]]) -> PackedLogLikelihood | PaddedLogLikelihood:
        """Return what runs lines of these lengths: packs, or padded batches if packs are not exact."""
        if isinstance(self.kv, Kivi):
            return self.padded  # what a token reads depends on where its own line began to be written
        longest = max((len(line.tokens) for group in groups for line in group), default=0)
        return self.packed if self._packs(longest) else self.padded

    def continue_batch(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Yield the completions of one batch."""
        if not self._packs(max(map(len, prompts)) + sampling.max_tokens):
            assert not isinstance(self.kv, Kivi)
            return continue_plainly(self.loaded, self.tokenizer, prompts, texts, sampling, self.kv)
        ends = end_tokens(self.loaded)
        return continue_batch(self.packed_decoder(), self.tokenizer, ends, prompts, texts, sampling)

    def packed_decoder(self) -> PackedDecoder:
        """Return a decoder for one batch."""
        return PackedDecoder(self.loaded.network, self.packed.size, self.kv)

    def describe(self) -> dict[str, Any]:
        """Return the model's facts, the path that scoring took, and on how many of torch's threads."""
        import torch

        path = (
            f"plain batches: {self.unpacked}" if self.unpacked else f"prefix-shared packs of {self.packed.size} tokens"
        )
        if self.limit is not None and not self.unpacked:
            path += f", lines beyond {self.limit} tokens in plain batches"
        if isinstance(self.kv, Kivi):
            path = f"plain batches: {self.kv.name} is exact up to {RESIDUAL} tokens and for the first that is scored"
        return {
            "engine": "hf",
            "model": self.loaded.spec,
            **self.loaded.facts,
            "scoring": path,
            **({"kv": self.kv.name} if self.kv else {}),
            "threads": torch.get_num_threads(),
        }

    def _packs(self, longest: int) -> bool:
        return self.unpacked is None and (self.limit is None or longest <= self.limit)


ANSWERS: tuple[Answers, ...] = ("choices", "passages", "prompts", "distributions")


def check_model(model: str, **options: Any) -> dict[str, Any]:
    """Return what any model answers. Raises EngineError for one that `kv` does not fit; its weights are not read."""
    from crushtest.models.load import peek_config

    # Only a study knows what is trusted. If that is needed to read the configuration, loading the model checks it.
    if options["kv"] != "none" and (config := peek_config(model)) is not None:
        check_config(options["kv"], config)
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
    pack_tokens: Annotated[int, Ge(1)] = 2048,
    batch_size: Annotated[int, Ge(1)] = 64,
    kv: KvName = "none",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> TokenEngine[HfModel]:
    """Scoring with shared prefixes, rolling perplexity and batched generation, in PyTorch on a CPU or GPU.

    pack_tokens  tokens run at once when scoring; memory grows with it
    batch_size   prompts continued at once
    kv           precision of the stored keys and values: `none` as the model's dtype, `q8_0` and `q4_0` as llama.cpp
                 reads them, `kivi4` and `kivi2` as KIVI does, for tokens written after the prompt
    The other options are those of `load_model`; a model that is loaded already stays as it is.
    """
    from crushtest.models.load import load_model

    if isinstance(model, str):
        model = load_model(
            model, dtype=dtype, device=device, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle
        )
    keep_freed_memory()
    network = model.network
    unpacked = why_not_packed(
        model, PackedLogLikelihood(network, pack_tokens), PaddedLogLikelihood(network, pack_tokens)
    )
    limit, cache = pack_limit(network.config), kv_cache(kv, network)
    if isinstance(cache, Kivi) and (unpacked or limit is not None):
        raise EngineError(
            f"kv={kv} needs a model that runs in prefix-shared packs of any length; "
            + (unpacked or f"this one's packs are exact for {limit} tokens only")
        )
    runs = HfModel(
        loaded=model,
        packed=PackedLogLikelihood(network, pack_tokens, cache if isinstance(cache, BlockCache) else None),
        padded=PaddedLogLikelihood(network, pack_tokens, cache),
        context=context_length(network.config, model.tokenizer),
        batch=BatchLimits(batch_size, max(STORED // bytes_per_token(network), 1)),
        limit=limit,
        unpacked=unpacked,
    )
    return TokenEngine(runs, comparison=DenseComparison(runs))
