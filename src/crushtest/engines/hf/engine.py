"""The `hf` engine: a transformers model in this process."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from crushtest.engines.base import Reference
from crushtest.engines.hf.against_dense import AgainstModel, ObservedScorer, Observer
from crushtest.engines.hf.decoding import PackedDecoder
from crushtest.engines.hf.encoding import (
    Tokens,
    choice_pairs,
    context_length,
    cut_left,
    encode_options,
    encode_prompts,
    first_text,
    passage_lines,
    scored_bytes,
    scored_parts,
)
from crushtest.engines.hf.generation import Text, batches, continue_batch, continue_plainly, draws
from crushtest.engines.hf.kept_top_k import AgainstKept, KeepLikeliest, KeptTokens
from crushtest.engines.hf.likelihood import PackedScorer, PlainScorer, bytes_per_token, score_groups, vocabulary_size
from crushtest.engines.hf.packing import Line
from crushtest.engines.hf.packing_check import pack_limit, why_not_packed
from crushtest.errors import EngineError
from crushtest.models.memory import keep_freed_memory
from crushtest.records import Choices, ChoiceScores, Completion, Passage, PassageScore, Prompt, Sampling
from crushtest.registry import engine

if TYPE_CHECKING:
    from crushtest.models.load import LoadedModel


# Bytes of keys and values that a batch of prompts may take.
STORED = 2**29


@dataclass
class HfEngine:
    """Scores in prefix-shared packs where the model allows it; `unpacked` says why it does not.

    batch      prompts continued at once, if with what they are continued by they have no more than `batch_tokens`
    context    tokens the model takes at once
    limit      tokens up to which packs are exact (a sliding window, say); longer lines are run plainly
    truncated  lines and prompts that were cut on the left to fit, so far
    dense      what passages asked `against_dense` are compared with: a model, or what was kept of it; the engine's own
               model in the dense arm
    keep       where the dense arm keeps its likeliest tokens for others to be compared with
    """

    model: LoadedModel
    packed: PackedScorer
    plain: PlainScorer
    context: int
    batch: int
    batch_tokens: int
    limit: int | None
    unpacked: str | None
    truncated: int = 0
    dense: LoadedModel | KeptTokens | None = None
    keep: KeptTokens | None = None

    def choices(self, requests: Sequence[Choices], *, done: Container[int] = ()) -> Iterator[tuple[int, ChoiceScores]]:
        """Log-likelihood of each option given its context, split and truncated as lm-evaluation-harness does."""
        tokenizer = self.model.tokenizer
        pairs = [pair for request in requests for pair in choice_pairs(tokenizer, request)]
        lines = iter(encode_options(tokenizer, pairs))
        parts = [
            [[self._fitted(part) for part in scored_parts(next(lines), request)] for _ in request.options]
            for request in requests
        ]
        for index, logprobs in self._scores([list(chain(*options)) for options in parts], done):
            scored = iter(logprobs)
            sums = tuple(sum(islice(scored, len(option))) for option in parts[index])
            tokens = tuple(sum(len(part.tokens) - part.start for part in option) for option in parts[index])
            yield index, ChoiceScores(sums, tokens, tuple(len(o.encode()) for o in requests[index].options))

    def passages(self, requests: Sequence[Passage], *, done: Container[int] = ()) -> Iterator[tuple[int, PassageScore]]:
        """Log-likelihood of texts by the protocol of each, and where asked for, how far it is from the dense model's.

        In the rolling protocol each token of a text is predicted once. A window predicts `Passage.window` tokens
        (default, and at most: the model's context), given one token before it: the text's last token so far, or for
        the first window the prefix token. The last window is shorter and sees as much more before it as makes it as
        long as the others. Sums are over tokens, so it weighs by its own. The other protocols are `Passage`'s.
        """
        groups = passage_lines(self.model.tokenizer, requests, self.context)
        counts = [sum(len(line.tokens) - line.start for line in group) for group in groups]
        first = [0, *accumulate(map(len, groups))]
        observed = self._observed(requests, groups)
        scored = score_groups(observed, groups, done) if observed else self._scores(groups, done)
        for index, logprobs in scored:
            size = scored_bytes(self.model.tokenizer, requests[index], self.context)
            score = PassageScore(float(sum(logprobs)), counts[index], size)
            if observed:
                score = replace(score, **observed.take(index, range(first[index], first[index + 1])))
            elif requests[index].against_dense and self.dense is self.model:
                score = replace(score, kl=(0.0,) * counts[index], agree=counts[index])
            yield index, score

    def generate(
        self, requests: Sequence[Prompt], sampling: Sampling, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Completion]]:
        """Completions, in batches of prompts of similar length."""
        if sampling.max_tokens < 1:
            raise EngineError(f"max_tokens must be at least 1 (got {sampling.max_tokens})")
        prompts = [self._fitted_prompt(tokens, sampling) for tokens in encode_prompts(self.model.tokenizer, requests)]
        for batch in batches(prompts, self.batch, sampling.max_tokens, self.batch_tokens):
            if all(index in done for index in batch):
                continue
            texts = [Text(index, draws(requests[index], sampling)) for index in batch]
            for index, completion in self._continued([prompts[index] for index in batch], texts, sampling):
                if index not in done:
                    yield index, completion

    def attach_reference(self, reference: Reference | None) -> None:
        """Compare with the reference; a dense model that is loaded already serves every task that needs it whole."""
        from crushtest.models.load import LoadedModel

        if reference is None:
            self.dense = self.keep = None
            return
        kept = None if reference.top_k is None else KeptTokens(reference.folder, reference.top_k)
        self.keep = kept if reference.keep else None
        if reference.load is None:
            self.dense = self.model
        elif kept is not None:
            self.dense = kept
        elif not isinstance(self.dense, LoadedModel):
            self.dense = reference.load()

    def describe(self) -> dict[str, Any]:
        """What ran: the model's facts, the path that scoring took, and on how many of torch's threads."""
        import torch

        path = (
            f"plain batches: {self.unpacked}" if self.unpacked else f"prefix-shared packs of {self.packed.size} tokens"
        )
        if self.limit is not None and not self.unpacked:
            path += f", lines beyond {self.limit} tokens in plain batches"
        return {
            "engine": "hf",
            "model": self.model.spec,
            **self.model.facts,
            "scoring": path,
            "threads": torch.get_num_threads(),
            "context_tokens": self.context,
            "start_token": first_text(self.model.tokenizer),
            "truncated": self.truncated,
        }

    def _observed(self, requests: Sequence[Passage], groups: Sequence[Sequence[Line]]) -> ObservedScorer | None:
        """A scorer that also looks at distributions; None where that is not asked for, or there is nothing to see.

        Models that cut the texts into other tokens have no next tokens to compare.
        """
        if not any(request.against_dense for request in requests):
            return None
        scorer, size = self._scorer(groups), vocabulary_size(self.model.network)
        observer: Observer
        if self.keep is not None:
            observer = KeepLikeliest(self.keep, requests, groups, size)
        elif isinstance(self.dense, KeptTokens):
            asked = [(request, group) for request, group in zip(requests, groups, strict=True) if group]
            if not all(self.dense.is_of(*one, size) for one in asked):
                return None
            observer = AgainstKept(self.dense, requests, groups)
        elif self.dense is None or self.dense is self.model:
            return None
        else:
            if passage_lines(self.dense.tokenizer, requests, self.context) != groups:
                return None
            # Not a copy of the arm's own scorer, which may hold trunks of the arm.
            observer = AgainstModel(type(scorer)(self.dense.network, scorer.size))
        return ObservedScorer(scorer, observer)

    def _scores(self, groups: Sequence[Sequence[Line]], done: Container[int]) -> Iterator[tuple[int, list[float]]]:
        return score_groups(self._scorer(groups), groups, done)

    def _scorer(self, groups: Sequence[Sequence[Line]]) -> PackedScorer | PlainScorer:
        longest = max((len(line.tokens) for group in groups for line in group), default=0)
        return self.packed if self._packs(longest) else self.plain

    def _continued(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        if self._packs(max(map(len, prompts)) + sampling.max_tokens):
            return continue_batch(self.packed_decoder(), self.model, prompts, texts, sampling)
        return continue_plainly(self.model, prompts, texts, sampling)

    def packed_decoder(self) -> PackedDecoder:
        """A decoder for one batch."""
        return PackedDecoder(self.model.network, self.packed.size)

    def _packs(self, longest: int) -> bool:
        """Whether lines of up to that many tokens are run in packs."""
        return self.unpacked is None and (self.limit is None or longest <= self.limit)

    def _fitted_prompt(self, tokens: Tokens, sampling: Sampling) -> Tokens:
        room = self.context - sampling.max_tokens
        if room < 1:
            raise EngineError(
                f"max_tokens must be below the model's context, {self.context} (got {sampling.max_tokens})"
            )
        self.truncated += len(tokens) > room
        return tokens[-room:]

    def _fitted(self, line: Line) -> Line:
        fitted = cut_left(line, self.context)
        self.truncated += fitted is not line
        return fitted


@engine(
    "hf",
    runs="a transformers model in this process, from the hub, a folder or a GGUF file",
    answers=("choices", "passages", "prompts", "distributions"),
    in_process=True,
    takes_recipes=True,
)
def hf(
    model: str | LoadedModel,
    *,
    dtype: str = "float32",
    device: str = "auto",
    pack_tokens: Annotated[int, Ge(1)] = 2048,
    batch_size: Annotated[int, Ge(1)] = 64,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> HfEngine:
    """Scoring with shared prefixes, rolling perplexity and batched generation, in PyTorch on a CPU or GPU.

    pack_tokens  tokens run at once when scoring; memory grows with it
    batch_size   prompts continued at once
    The other options are those of `load_model`; a model that is loaded already stays as it is.
    """
    from crushtest.models.load import load_model

    if isinstance(model, str):
        model = load_model(
            model, dtype=dtype, device=device, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle
        )
    keep_freed_memory()
    packed, plain = PackedScorer(model.network, pack_tokens), PlainScorer(model.network, pack_tokens)
    return HfEngine(
        model,
        packed,
        plain,
        context=context_length(model.network.config, model.tokenizer),
        batch=batch_size,
        batch_tokens=max(STORED // bytes_per_token(model.network), 1),
        limit=pack_limit(model.network.config),
        unpacked=why_not_packed(model, packed, plain),
    )
