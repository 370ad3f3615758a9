"""What an arm's next-token distributions are compared with: the dense model, or what was kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crushtest.engines.base import Reference
from crushtest.engines.encoding import passage_lines
from crushtest.engines.hf.against_dense import AgainstModel, ObservedScorer, Observer
from crushtest.engines.hf.kept_top_k import AgainstKept, KeepLikeliest, KeptTokens
from crushtest.engines.hf.kivi import Kivi
from crushtest.engines.hf.kv_choice import kv_cache
from crushtest.engines.hf.likelihood import vocabulary_size
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.engines.likelihood import Floats, LogLikelihood, Part
from crushtest.engines.packing import Line
from crushtest.engines.token_model import Observed
from crushtest.records import Passage

if TYPE_CHECKING:
    from crushtest.engines.hf.model import HfModel
    from crushtest.models.load import LoadedModel


@dataclass
class DenseComparison:
    """Compares a model with the dense one.

    dense  the dense model, or what was kept of it; the arm's own model in the dense arm
    keep   where the dense arm keeps its likeliest tokens for others to be compared with
    kv     how the dense arm stores keys and values
    """

    arm: HfModel
    dense: LoadedModel | KeptTokens | None = None
    keep: KeptTokens | None = None
    kv: str = "none"

    def attach_reference(self, reference: Reference | None) -> None:
        """Compare with the reference; a dense model that is loaded already serves every task that needs it whole."""
        from crushtest.models.load import LoadedModel

        if reference is None:
            self.dense = self.keep = None
            return
        kept = None if reference.top_k is None else KeptTokens(reference.folder, reference.top_k)
        self.keep = kept if reference.keep else None
        self.kv = reference.options.get("kv", "none")
        if reference.load is None:
            self.dense = self.arm.loaded
        elif kept is not None:
            self.dense = kept
        elif not isinstance(self.dense, LoadedModel):
            self.dense = reference.load()

    def observe(self, requests: Sequence[Passage], groups: Sequence[Sequence[Line]]) -> Observed | None:
        """Return log-likelihoods that also look at distributions; None if there is nothing to compare with.

        Models that cut the texts into other tokens have no next tokens to compare.
        """
        likelihood, size = self.arm.log_likelihood(groups), vocabulary_size(self.arm.loaded.network)
        observer: Observer
        if self.keep is not None:
            observer = KeepLikeliest(self.keep, requests, groups, size)
        elif self.dense is None:
            return None
        elif self.dense is self.arm.loaded:
            return Itself(likelihood, requests, groups)
        elif isinstance(self.dense, KeptTokens):
            asked = [(request, group) for request, group in zip(requests, groups, strict=True) if group]
            if not all(self.dense.is_of(*one, size) for one in asked):
                return None
            observer = AgainstKept(self.dense, requests, groups)
        else:
            if passage_lines(HfTokenizer(self.dense.tokenizer), requests, self.arm.context) != groups:
                return None
            cache = kv_cache(self.kv, self.dense.network)
            # Not a copy of the arm's own log-likelihoods, which may hold trunks of the arm.
            likelihood = self.arm.padded if isinstance(cache, Kivi) else likelihood
            observer = AgainstModel(likelihood.on(self.dense.network, cache))
        return ObservedScorer(likelihood, observer)


@dataclass(frozen=True)
class Itself:
    """The dense model's own log-likelihoods; it does not differ from itself."""

    likelihood: LogLikelihood
    requests: Sequence[Passage]
    groups: Sequence[Sequence[Line]]

    def plan(self, lines: Sequence[Line]) -> Sequence[Part]:
        """Return the model's layout."""
        return self.likelihood.plan(lines)

    def run(self, plan: Sequence[Part], index: int) -> Floats:
        """Return the log-probability of each edge of one part."""
        return self.likelihood.run(plan, index)

    def take(self, passage: int, lines: range) -> dict[str, Any]:
        """Return a divergence of 0 for each predicted token."""
        if not self.requests[passage].against_dense:
            return {}
        count = sum(len(line.tokens) - line.start for line in self.groups[passage])
        return {"kl": (0.0,) * count, "agree": count}
