"""The frozen records that flow through a study, from item to contrast."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Better = Literal["lower", "higher", "zero", "neither"]
Kind = Literal["choices", "passages", "prompts"]
Protocol = Literal["rolling", "pruning", "sliding"]
ChoiceProtocol = Literal["first_apart"]
DENSE = "dense"
"""The arm that is the study's model as it is; the others are compared with it."""


# ---- requests: what an engine is asked -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choices:
    """Score each option as a continuation of the context.

    `context + option` is the text scored, so an option begins with its own separator (" Paris").
    `chat=True` puts the context into the model's chat template, if it has one, after the system message `system`.

    protocol   None: every token is predicted given those before it, and where the context is empty the start token
               before them all
               first_apart: only the first token is predicted given the start token; the others are given the option's
               own tokens and no start token. For empty contexts. StereoSet's authors score like this
    """

    context: str
    options: tuple[str, ...]
    chat: bool = False
    protocol: ChoiceProtocol | None = None
    system: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.protocol == "first_apart" and (self.context or self.chat):
            raise ValueError("protocol 'first_apart' is for options without a context")


@dataclass(frozen=True, slots=True)
class Passage:
    """Score a whole text, its tokens given those before them.

    window     tokens the model reads at a time, None for the longest the engine takes
    protocol   which tokens are predicted, and given what
               rolling: every one, as many at a time as a window holds; given those before it in its window, and the
               first of a window the last one before it (at the start of the text: the start token, see
               docs/agreement.md). lm-evaluation-harness's way, which fills the last window from the front; but where
               the tokenizer adds the start token itself, that one is not predicted
               pruning: the text, with the special tokens that its tokenizer adds, is cut into windows; all but the
               first token of each are predicted, and an incomplete last window is left out. The way of GPTQ,
               SparseGPT and Wanda
               sliding: a window every `stride` tokens; of each, those that the windows before it have not predicted.
               The way of transformers' documentation
    stride     tokens from one sliding window to the next, at most a window
    against_dense   also compare the next-token distributions with the dense model's
    """

    text: str
    window: int | None = None
    protocol: Protocol = "rolling"
    stride: int | None = None
    against_dense: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """Continue a text; `chat=True` makes it a user's message in the model's chat template, if it has one.

    `sample` tells several completions of the same prompt apart: it enters the seed with which each is drawn.

    history   turns of the conversation before this one: what the user said and what the model answered
    follows   id of the item that is the turn before this one; its prompt and its answer then become the history
    system    the system message before the conversation, where it is asked in chat
    reply     what the assistant answered, for a model whose own chat template asks what it says of a conversation
    """

    text: str
    chat: bool = False
    sample: int = 0
    history: tuple[tuple[str, str], ...] = ()
    follows: str | None = None
    system: str | None = field(default=None, repr=False)
    reply: str | None = field(default=None, repr=False)


Request = Choices | Passage | Prompt


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn. `temperature=0` is greedy, and then the seed does not matter.

    What is drawn follows from the seed, the text of the prompt (with the turns before it) and the number of the sample:
    items of one text draw alike, wherever they stand and whatever else is asked.
    """

    max_tokens: int = 32
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


# ---- answers: what an engine gives back ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """Per option: log-likelihood in nats (summed over its tokens), its length in tokens and in UTF-8 bytes.

    token_digest   which tokens were scored, after which (`engines.token_digest`); None if the engine does not know
    """

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    bytes: tuple[int, ...]
    token_digest: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ReadChoice:
    """The option whose letter was read from a reply, in place of log-likelihoods, with the beginning of the reply.

    pick   None if no letter could be read; `reason` then says why
    """

    pick: int | None
    reply: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PassageScore:
    """Log-likelihood in nats of a text's scored tokens, how many they are, and the text's length in UTF-8 bytes.

    kl       KL(dense || arm) of the next-token distributions in nats, one number per scored token, if the passage was
             asked `against_dense`; lower bounds of them if the arm was compared with the tokens the dense model kept
    agree    how many of those tokens both models had the same first choice for
    token_digest   as for ChoiceScores
    """

    logprob: float
    tokens: int
    bytes: int
    kl: tuple[float, ...] | None = None
    agree: int | None = None
    token_digest: str | None = field(default=None, compare=False)


UNKNOWN_STOP = "unknown"
"""Why a completion ended if whoever wrote it does not say."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A text the model wrote, its length in tokens, and why it ended.

    stop   `eos`, `length` (the token limit), `stop` (a stop string) or `unknown`

    token_digest   which tokens the prompt had; None if the engine does not know
    """

    text: str
    tokens: int
    stop: str
    token_digest: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """In place of an answer, the reason why there is none: a served model that refused the request, ..."""

    reason: str


Answer = ChoiceScores | ReadChoice | PassageScore | Completion | Unanswered


# ---- items -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One question, prompt or text.

    id        `<part of the set>/<number>` or the set's own key; unique within its task
    groups    `attribute=value` strings, several allowed, overlaps allowed
    cluster   the template, context or person it came from: what is resampled together
    gold      index of the right option, or None
    facts     what the task's metrics need to know besides (JSON values only: `{"condition": "ambiguous"}`)
    """

    id: str
    groups: tuple[str, ...]
    cluster: str
    request: Request
    gold: int | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The name of what it is resampled with: its cluster, or itself alone where it has none."""
        return self.cluster or f"item {self.id}"


# ---- scores ----------------------------------------------------------------------------------------


class Exchange(NamedTuple):
    """What a scorer sees: the prompt and what the model wrote.

    `subject`: the first words of the prompt that name whom it is about ("The gay person"), if the task says so.
    `chat`: the prompt was a user's message. `history`: the (prompt, completion) pairs before it in the conversation.
    `system`: the system message before them all.
    """

    prompt: str
    completion: str
    subject: str = ""
    chat: bool = False
    history: tuple[tuple[str, str], ...] = ()
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A scorer's number for one completion, or None and the reason why it is missing. NaN and infinity are none."""

    value: float | None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a score has either a value or a reason")
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "reason", f"the scorer gave {self.value}")
            object.__setattr__(self, "value", None)

    @property
    def brief(self) -> str | None:
        """The reason up to what it quotes, which a model may have written: fit for tables, cards and terminals.

        >>> Score(None, "the judge's answer has no verdict: 'As you asked, here is how'").brief
        "the judge's answer has no verdict"
        """
        return None if self.reason is None else re.split(": ['\"]", self.reason, maxsplit=1)[0]
