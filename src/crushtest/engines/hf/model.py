"""A transformers model that scores and continues in the fastest ways that are right for it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crushtest.engines.generation import Text, continue_batch
from crushtest.engines.hf.comparison import DenseComparison
from crushtest.engines.hf.decoding import PackedDecoder
from crushtest.engines.hf.generation import PlainDecoder, by_length, continue_cached, end_tokens
from crushtest.engines.hf.kivi import RESIDUAL, Kivi
from crushtest.engines.hf.kv_cache import BlockCache
from crushtest.engines.hf.kv_choice import BITS, KvCache, kv_cache
from crushtest.engines.hf.likelihood import PackedLogLikelihood, PaddedLogLikelihood
from crushtest.engines.hf.limits import size_within
from crushtest.engines.hf.routes import ByLength, Way
from crushtest.engines.hf.sizes import Asked, Sizes, fit_sizes, halved
from crushtest.engines.hf.tokenizer import HfTokenizer, context_length
from crushtest.engines.hf.trial import NAMES, Paths, find_paths
from crushtest.engines.kv_size import config_numbers, stored_bytes
from crushtest.engines.likelihood import Part, score_groups
from crushtest.engines.packing import Line, as_line, plan_packs
from crushtest.engines.thinking import Thinking, with_thinking
from crushtest.engines.token_engine import TokenEngine
from crushtest.engines.token_model import Ability, BatchLimits
from crushtest.errors import EngineError
from crushtest.models.devices import input_device
from crushtest.models.free_memory import free_bytes
from crushtest.models.memory import keep_freed_memory
from crushtest.records import Completion, Sampling

if TYPE_CHECKING:
    from crushtest.models.load import LoadedModel


@dataclass
class HfModel:
    """Runs a model in the fastest ways that are right for it.

    alone    scores each line in a forward pass of its own
    context  tokens that the model takes at once
    batch    the tokens of a batch are limited by the memory of its keys and values
    paths    which ways these are
    halved   what was halved for want of memory: `scores`, `generates`
    """

    loaded: LoadedModel
    tokenizer: HfTokenizer
    packed: PackedLogLikelihood
    padded: PaddedLogLikelihood
    alone: PaddedLogLikelihood
    context: int
    batch: BatchLimits
    paths: Paths
    halved: set[Ability] = field(default_factory=set)

    @property
    def sizes(self) -> Sizes:
        """What is run at once."""
        return Sizes(self.packed.size, *self.batch)

    def halve(self, ability: Ability) -> bool:
        """Run half as much at once from now on; return False if that was done before, or cannot be."""
        sizes = halved(self.sizes, writing=ability == "generates")
        if ability in self.halved or sizes == self.sizes:
            return False
        self.halved.add(ability)
        self.packed = PackedLogLikelihood(self.loaded.network, sizes.pack_tokens, self.packed.kv)
        self.padded, self.alone = (replace(one, size=sizes.pack_tokens) for one in (self.padded, self.alone))
        self.batch = BatchLimits(sizes.batch_size, sizes.batch_tokens)
        return True

    @property
    def can(self) -> frozenset[Ability]:
        """Everything: the logits are at hand."""
        return frozenset({"scores", "first_token", "generates", "distributions"})

    @property
    def kv(self) -> KvCache | None:
        """How keys and values are stored; None for as they are."""
        return self.padded.kv

    def score(self, groups: Sequence[Sequence[Line]], done: Container[int]) -> Iterator[tuple[int, list[float]]]:
        """Yield each group's log-likelihoods, computed in packs or padded batches."""
        return score_groups(self.log_likelihood(groups), groups, done)

    def layout(self, groups: Sequence[Sequence[Line]]) -> Sequence[Part]:
        """Return the packs or padded batches that scoring runs."""
        return self.log_likelihood(groups).plan([line for group in groups for line in group])

    def read_to_continue(self, prompts: Sequence[Sequence[int]]) -> int:
        """Return the tokens that are read before a batch of prompts is continued, padding included."""
        match self.paths.writing:
            case "packs":
                return sum(pack.read for pack in plan_packs([as_line(prompt) for prompt in prompts], self.packed.size))
            case "cached":
                return len(prompts) * max(map(len, prompts))
            case _:
                return sum(map(len, prompts))

    def log_likelihood(self, groups: Sequence[Sequence[Line]]) -> Way:
        """Return what runs lines of these lengths."""
        if isinstance(self.kv, Kivi):
            return self.padded  # what a token reads depends on where its own line began to be written
        ways: dict[str, PackedLogLikelihood | PaddedLogLikelihood] = {
            "packs": self.packed,
            "batches": self.padded,
            "alone": self.alone,
        }
        way, limit = ways[self.paths.scoring], self.paths.limit
        longest = max((len(line.tokens) for group in groups for line in group), default=0)
        return way if limit is None or longest <= limit else ByLength(way, self.alone, limit)

    def continue_batch(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Yield the completions of one batch."""
        limit, writing = self.paths.limit, self.paths.writing
        if limit is not None and max(map(len, prompts)) + sampling.max_tokens > limit:
            writing = "anew"
        if writing not in ("packs", "anew"):
            assert not isinstance(self.kv, Kivi)
            run = partial(continue_cached, self.loaded, self.tokenizer, sampling=sampling, kv=self.kv)
            most = 1 if writing == "cached_alone" else len(prompts)
            for rows in [list(range(most))] if writing == "cached" else by_length(prompts, most):
                yield from run([prompts[row] for row in rows], [texts[row] for row in rows])
            return
        decoder = self.packed_decoder() if writing == "packs" else self._plain_decoder()
        yield from continue_batch(decoder, self.tokenizer, end_tokens(self.loaded), prompts, texts, sampling)

    def _plain_decoder(self) -> PlainDecoder:
        assert not isinstance(self.kv, Kivi)
        lines = 1 if self.paths.scoring == "alone" else self.batch.prompts
        return PlainDecoder(self.loaded.network, lines, self.kv)

    def packed_decoder(self) -> PackedDecoder:
        """Return a decoder for one batch."""
        return PackedDecoder(self.loaded.network, self.packed.size, self.kv)

    def describe(self) -> dict[str, Any]:
        """Return the model's facts, the path that scoring took, and on how many of torch's threads."""
        import torch

        paths = self.paths
        scoring = NAMES[paths.scoring] + (f" of {self.packed.size} tokens" if paths.scoring == "packs" else "")
        writing = NAMES[paths.writing]
        if paths.limit is not None:
            scoring += f", lines beyond {paths.limit} tokens alone"
            writing += f", beyond {paths.limit} tokens anew"
        if isinstance(self.kv, Kivi):
            scoring = (
                f"{NAMES['batches']}: {self.kv.name} is exact up to {RESIDUAL} tokens and for the first that is scored"
            )
        if paths.slow_scoring:
            scoring += f" ({paths.slow_scoring})"
        if paths.slow_writing:
            writing += f" ({paths.slow_writing})"
        return {
            "engine": "hf",
            "model": self.loaded.spec,
            **self.loaded.facts,
            "scoring": scoring,
            "generation": writing,
            "sizes": self.sizes._asdict(),
            **({"kv": self.kv.name} if self.kv else {}),
            **stored_bytes(config_numbers(self.loaded.network.config), BITS[self.kv.name if self.kv else "none"]),
            "threads": torch.get_num_threads(),
        }


def why_not_kivi(paths: Paths) -> str | None:
    """Return why KIVI's attention cannot stand in for this model's; None if it can."""
    if paths.scoring != "packs" or paths.writing != "packs":
        return paths.slow_scoring or paths.slow_writing
    if paths.limit is not None:
        return f"this one's packs are exact for {paths.limit} tokens only"
    return None if paths.plain_attention else "this one's attention has a soft cap, sinks or a sliding window"


def engine_of(
    model: LoadedModel, asked: Asked, *, kv: str = "none", thinking: Thinking | None = None
) -> TokenEngine[HfModel]:
    """Return the engine that runs a loaded model.

    EngineError if its attention cannot read keys and values as asked, or its template has no switch for thinking.
    """
    keep_freed_memory()
    tokenizer = with_thinking(HfTokenizer(model.tokenizer), thinking, f"model {model.spec!r}")
    network, device = model.network, input_device(model.network)
    sizes = fit_sizes(network, asked, free=free_bytes(str(device)), accelerator=device.type != "cpu")
    paths, cache = find_paths(model, sizes.pack_tokens), kv_cache(kv, network)
    if paths.limit is not None:
        sizes = sizes._replace(
            pack_tokens=size_within(sizes.pack_tokens, paths.limit),
            batch_size=size_within(sizes.batch_size, paths.limit),  # a pack of a token per prompt
        )
    if isinstance(cache, Kivi) and (reason := why_not_kivi(paths)):
        raise EngineError(f"kv={kv} needs a model that runs in prefix-shared packs of any length; {reason}")
    runs = HfModel(
        loaded=model,
        tokenizer=tokenizer,
        packed=PackedLogLikelihood(network, sizes.pack_tokens, cache if isinstance(cache, BlockCache) else None),
        padded=PaddedLogLikelihood(network, sizes.pack_tokens, cache),
        alone=PaddedLogLikelihood(network, sizes.pack_tokens, cache, lines=1),
        context=context_length(network.config, model.tokenizer),
        batch=BatchLimits(sizes.batch_size, sizes.batch_tokens),
        paths=paths,
    )
    return TokenEngine(runs, comparison=DenseComparison(runs))
