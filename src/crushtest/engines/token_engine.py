"""The engine over any `TokenModel`: requests become lines of tokens, their scores become answers."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, islice
from typing import Any, Generic, TypeVar

from crushtest.engines.base import Reference, close
from crushtest.engines.encoding import (
    choice_lines,
    cut_left,
    encode_prompts,
    passage_lines,
    scored_bytes,
)
from crushtest.engines.generation import Text, batches, draws, seed_of
from crushtest.engines.likelihood import completed_by, score_groups
from crushtest.engines.packing import Line
from crushtest.engines.thinking import with_opening
from crushtest.engines.token_digest import digest_of_lines, digest_of_scored
from crushtest.engines.token_model import Ability, Comparison, LaysOut, TokenModel, Tokens
from crushtest.errors import EngineError
from crushtest.records import Choices, ChoiceScores, Completion, Passage, PassageScore, Prompt, Request, Sampling

Model = TypeVar("Model", bound=TokenModel)

DRAWN_HERE = {"drawn": "here", "added": {}}
"""What becomes of a study's `Sampling` unless the model says otherwise: tokens are drawn above the model, and a model's
own defaults add nothing."""


@dataclass
class TokenEngine(Generic[Model]):
    """Answers requests with a model of tokens.

    comparison  compares next-token distributions with the dense model's; None if the model gives none
    truncated   lines and prompts that were cut on the left to fit, so far
    """

    model: Model
    comparison: Comparison | None = None
    truncated: int = 0

    def choices(self, requests: Sequence[Choices], *, done: Container[int] = ()) -> Iterator[tuple[int, ChoiceScores]]:
        """Yield each option's log-likelihood given its context, split and cut as lm-evaluation-harness does."""
        self._require("scores")
        parts, cut = self.option_lines(requests)
        self.truncated += cut
        for index, logprobs in self.model.score([list(chain(*options)) for options in parts], done):
            scored = iter(logprobs)
            sums = tuple(sum(islice(scored, len(option))) for option in parts[index])
            tokens = tuple(sum(len(part.tokens) - part.start for part in option) for option in parts[index])
            sizes = tuple(len(option.encode()) for option in requests[index].options)
            yield index, ChoiceScores(sums, tokens, sizes, digest_of_lines(chain(*parts[index])))

    def passages(self, requests: Sequence[Passage], *, done: Container[int] = ()) -> Iterator[tuple[int, PassageScore]]:
        """Yield the log-likelihood of each text by its protocol and, if asked for, its distance from the dense model's.

        In the rolling protocol each token of a text is predicted once. A window predicts `Passage.window` tokens
        (default, and at most: the model's context), given one token before it: the text's last token so far, or for
        the first window the start token. The last window is shorter and reads back far enough to be as long as the
        others. Sums are over tokens, so it weighs by its own. `Passage` describes the other protocols.
        """
        self._require("scores")
        groups = passage_lines(self.model.tokenizer, requests, self.model.context)
        counts = [sum(len(line.tokens) - line.start for line in group) for group in groups]
        first = [0, *accumulate(map(len, groups))]
        asked = self.comparison is not None and any(request.against_dense for request in requests)
        observed = self.comparison.observe(requests, groups) if self.comparison and asked else None
        scored = score_groups(observed, groups, done) if observed else self.model.score(groups, done)
        for index, logprobs in scored:
            size = scored_bytes(self.model.tokenizer, requests[index], self.model.context)
            score = PassageScore(
                float(sum(logprobs)), counts[index], size, token_digest=digest_of_scored(groups[index])
            )
            if observed:
                score = replace(score, **observed.take(index, range(first[index], first[index + 1])))
            yield index, score

    def generate(
        self, requests: Sequence[Prompt], sampling: Sampling, *, done: Container[int] = ()
    ) -> Iterator[tuple[int, Completion]]:
        """Yield completions, in batches of prompts of similar length."""
        self._require("generates")
        prompts, cut = self.fitted_prompts(requests, sampling)
        self.truncated += cut
        for batch in self.batches(prompts, sampling):
            if all(index in done for index in batch):
                continue
            texts = [Text(at, draws(requests[at], sampling), seed_of(requests[at], sampling)) for at in batch]
            for index, completion in self.model.continue_batch([prompts[index] for index in batch], texts, sampling):
                if index not in done:
                    prompt = prompts[index]
                    written = with_opening(completion, self.model.tokenizer, prompt)
                    yield index, replace(written, token_digest=digest_of_lines([Line(prompt, 1)]))

    def option_lines(self, requests: Sequence[Choices]) -> tuple[list[list[list[Line]]], int]:
        """Return the lines of each option of each request, and how many had to lose their beginning.

        Raises EngineError for an option longer than the context.
        """
        whole = choice_lines(self.model.tokenizer, requests)
        context = self.model.context
        fitted = [[[cut_left(line, context) for line in option] for option in options] for options in whole]
        cut = sum(len(line.tokens) > context + 1 for options in whole for option in options for line in option)
        return fitted, cut

    def fitted_prompts(self, requests: Sequence[Prompt], sampling: Sampling) -> tuple[list[Tokens], int]:
        """Return the prompts' tokens, with room for what is to be written, and how many had to lose their beginning.

        Raises EngineError if the context has no room for what is to be written.
        """
        room = self.model.context - sampling.max_tokens
        if sampling.max_tokens < 1:
            raise EngineError(f"max_tokens must be at least 1 (got {sampling.max_tokens})")
        if room < 1:
            raise EngineError(
                f"max_tokens must be below the model's context, {self.model.context} (got {sampling.max_tokens})"
            )
        whole = encode_prompts(self.model.tokenizer, requests)
        return [tokens[-room:] for tokens in whole], sum(len(tokens) > room for tokens in whole)

    def batches(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[list[int]]:
        """Return the indexes of prompts that are continued together."""
        size, tokens = self.model.batch
        return batches(prompts, size, sampling.max_tokens, tokens)

    def parts(self, requests: Sequence[Request], sampling: Sampling) -> list[list[int]]:
        """Return the requests by the pack or batch that completes them; all in one if only the model knows them."""
        if not isinstance(self.model, LaysOut):
            return [list(range(len(requests)))]
        if prompts := [request for request in requests if isinstance(request, Prompt)]:
            return self.batches(self.fitted_prompts(prompts, sampling)[0], sampling)
        options, _ = self.option_lines([request for request in requests if isinstance(request, Choices)])
        passages = [request for request in requests if isinstance(request, Passage)]
        groups = [
            *(list(chain(*each)) for each in options),
            *passage_lines(self.model.tokenizer, passages, self.model.context),
        ]
        return completed_by(self.model.layout(groups), groups)

    def attach_reference(self, reference: Reference | None) -> None:
        """Compare with the reference, if the model gives distributions."""
        if self.comparison is not None:
            self.comparison.attach_reference(reference)

    def halve(self, kind: str) -> bool:
        """Run half as much at once for a kind of request (`choices`, `passages`, `prompts`).

        Returns False if that was done before, or the model cannot.
        """
        halve = getattr(self.model, "halve", None)
        return halve is not None and bool(halve("generates" if kind == "prompts" else "scores"))

    def close(self) -> None:
        """Close the model, if it holds what would outlive it."""
        close(self.model)

    def describe(self) -> dict[str, Any]:
        """Return what ran: the model's own facts, and what is the same for every model of tokens."""
        return {
            "sampling": DRAWN_HERE,
            **self.model.describe(),
            "context_tokens": self.model.context,
            "start_token": self.model.tokenizer.start_text,
            "thinking": dict(self.model.tokenizer.variables) or None,
            "truncated": self.truncated,
        }

    def _require(self, ability: Ability) -> None:
        if ability not in self.model.can:
            able = ", ".join(sorted(self.model.can))
            raise EngineError(f"{self.model.describe()['model']!r} cannot give {ability!r}; it can: {able}")
