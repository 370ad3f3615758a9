"""What engines that read and write tokens share: a model that scores lines of tokens and continues them.

`TokenEngine` answers requests with any such model. How a context is split from its options, how long texts are cut,
which random numbers draw a completion and where it stops are decided above this protocol, once for all engines.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from crushtest.engines.base import Reference
from crushtest.engines.likelihood import LogLikelihood, Part
from crushtest.engines.packing import Line
from crushtest.records import Completion, Passage, Sampling

if TYPE_CHECKING:
    from typing import TypeAlias

    from crushtest.engines.generation import Text

    Tokens: TypeAlias = array[int]
else:
    # Four bytes per token: a list would take nine times that, and questions with examples come by the thousand.
    Tokens = array

Ability = Literal["scores", "first_token", "generates", "distributions"]
"""What a model can be asked for.

scores         log-likelihoods of given tokens
first_token    log-likelihoods of the likeliest first tokens of a continuation, and of no others
generates      continuations
distributions  whole next-token distributions, compared with the dense model's
"""


class Tokenizer(Protocol):
    """Turns texts into tokens and back as the model expects them."""

    @property
    def start(self) -> int:
        """The token that stands before a text: beginning of sequence, else its end. EngineError if there is neither."""
        ...

    @property
    def start_text(self) -> str:
        """The start token's text; a text that begins with it brings its own."""
        ...

    @property
    def special(self) -> Collection[int]:
        """Tokens that stand for no text."""
        ...

    @property
    def has_template(self) -> bool:
        """True if there is a chat template."""
        ...

    @property
    def variables(self) -> Mapping[str, Any]:
        """What the chat template is given besides the messages."""
        ...

    def encode(self, texts: Sequence[str], *, add_special: bool) -> list[Tokens]:
        """Return the tokens of each text; special tokens written out in it are read as such.

        add_special  put those in front and at the end that the model was trained with
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, special ones left out."""
        ...

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return a conversation in the chat template, up to where the assistant begins."""
        ...

    def text_ends(self, text: str, *, add_special: bool) -> list[int] | None:
        """Return for each token of a text the character where its own text ends; None if that is not known.

        An added token ends at 0. Each piece of a character ends where the character does.
        """
        ...


class BatchLimits(NamedTuple):
    """Prompts that are continued at once, and the tokens that they may have together with their continuations."""

    prompts: int
    tokens: int


class TokenModel(Protocol):
    """Scores lines of tokens and continues prompts. It may be `Closing`, as an engine may.

    can      what it can be asked for
    context  tokens that it takes at once
    batch    how many prompts it continues at once
    """

    @property
    def can(self) -> frozenset[Ability]: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def context(self) -> int: ...
    @property
    def batch(self) -> BatchLimits: ...

    def score(self, groups: Sequence[Sequence[Line]], done: Container[int]) -> Iterator[tuple[int, list[float]]]:
        """Yield (index of a group, log-likelihood in nats of each of its lines) as groups are completed.

        Work is laid out from all groups; what only done groups need is left out, and these are never yielded.
        """
        ...

    def continue_batch(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Text], sampling: Sampling
    ) -> Iterator[tuple[int, Completion]]:
        """Yield (`Text.index`, completion) of one batch of prompts; `texts` says which, and by which random numbers."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what ran, for the manifest (JSON values); `sampling` if the model draws tokens by itself."""
        ...


@runtime_checkable
class LaysOut(Protocol):
    """A model that says how it would lay lines out. One that does not is taken to run every line by itself."""

    def layout(self, groups: Sequence[Sequence[Line]]) -> Sequence[Part]:
        """Return the parts in which `score` runs the lines of these groups. Runs nothing."""
        ...

    def read_to_continue(self, prompts: Sequence[Sequence[int]]) -> int:
        """Return how many tokens are read before a batch of prompts is continued, padding included."""
        ...


class Observed(LogLikelihood, Protocol):
    """Log-likelihoods that also look at whole next-token distributions."""

    def take(self, passage: int, lines: range) -> dict[str, Any]:
        """Return what the PassageScore of a passage of these lines has of its distributions, and forget it."""
        ...


class Comparison(Protocol):
    """Compares next-token distributions with those of the dense model, for models that can give them."""

    def attach_reference(self, reference: Reference | None) -> None:
        """Compare with this reference from now on; see `Engine.attach_reference`."""
        ...

    def observe(self, requests: Sequence[Passage], groups: Sequence[Sequence[Line]]) -> Observed | None:
        """Return log-likelihoods that compare; None if there is nothing that these tokens can be compared with."""
        ...
