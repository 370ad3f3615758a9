"""From requests to token sequences, split as lm-evaluation-harness splits them, so that numbers can be compared.

The rules are those of its HFLM (version 0.4.13, default settings), read from its source and checked against it by test:
trailing spaces of a context belong to the option; context and whole text are encoded apart and the option's tokens
are what the whole has beyond the context; an empty context becomes the prefix token.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from crushtest.engines.hf.packing import Line
from crushtest.engines.hf.windows import cut
from crushtest.errors import EngineError
from crushtest.records import Choices, Passage, Prompt

if TYPE_CHECKING:
    from typing import TypeAlias

    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    Tokens: TypeAlias = array[int]
else:
    # Four bytes per token: a list would take nine times that, and few-shot questions come by the thousand.
    Tokens = array

AT_ONCE = 1024
UNKNOWN_CONTEXT = 2048
LENGTH_SETTINGS = ("n_positions", "max_position_embeddings", "n_ctx")


def context_length(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens the model takes at once: from its configuration, else its tokenizer, else 2048."""
    for source in (config.get_text_config(), config):
        for setting in LENGTH_SETTINGS:
            if (length := getattr(source, setting, None)) is not None:
                return int(length)
    # A tokenizer that does not know says 1e30.
    length = tokenizer.model_max_length
    return int(length) if length is not None and length < 1e9 else UNKNOWN_CONTEXT


def prefix_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the start token, which stands before a text: the tokenizer's beginning of sequence, else its end."""
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if token is None:
        raise EngineError("the tokenizer has neither a beginning- nor an end-of-sequence token to put before a text")
    return int(cast(int, token))


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Tokens]:
    """Tokens of each text, with the tokenizer's special tokens unless the text brings its own first one."""
    if not texts:
        return []
    first = first_text(tokenizer)
    tokens = [Tokens("i")] * len(texts)
    for special in (True, False):
        chosen = [index for index, text in enumerate(texts) if text.startswith(first) is not special]
        for some in (chosen[start : start + AT_ONCE] for start in range(0, len(chosen), AT_ONCE)):
            # verbose: no warning about texts longer than the model; that is for us to cut.
            encoded = tokenizer([texts[index] for index in some], add_special_tokens=special, verbose=False)
            for index, ids in zip(some, cast("list[list[int]]", encoded["input_ids"]), strict=True):
                tokens[index] = Tokens("i", ids)
    return tokens


def first_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the start token's text; a text that begins with it brings its own."""
    return str(tokenizer.decode(prefix_token(tokenizer)))


def encode_options(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]) -> list[Line]:
    """A line for each (context, option); the option's tokens are the ones to predict.

    EngineError for an option without tokens of its own: nothing of it could be scored, and 0 nats would win.
    """
    moved = [(context.rstrip(), context[len(context.rstrip()) :] + option) for context, option in pairs]
    contexts = sorted({context for context, _ in moved if context})
    known = dict(zip(contexts, encode(tokenizer, contexts), strict=True))
    wholes = encode(tokenizer, [context + option for context, option in moved])
    prefix = prefix_token(tokenizer)
    lines = []
    for (context, option), whole in zip(moved, wholes, strict=True):
        before = known.get(context, Tokens("i"))
        # Where a token spans context and option, the whole begins otherwise; its tokens are counted off all the same.
        line = Line(before + whole[len(before) :], len(before)) if before else _alone(tokenizer, option, prefix)
        if line.start >= len(line.tokens):
            raise EngineError(f"option {option!r} after {context[-40:]!r} has no tokens of its own to score")
        lines.append(line)
    return lines


def _alone(tokenizer: PreTrainedTokenizerBase, option: str, prefix: int) -> Line:
    """An option after an empty context: after the prefix token, unless it begins with that itself."""
    tokens = cast("list[int]", tokenizer(option, add_special_tokens=False, verbose=False)["input_ids"])
    return Line(Tokens("i", tokens if tokens[:1] == [prefix] else [prefix, *tokens]), 1)


def scored_parts(line: Line, request: Choices) -> list[Line]:
    """The lines whose log-likelihoods add up to an option's, as the request's protocol has it."""
    if request.protocol != "first_apart":
        return [line]
    first, rest = Line(line.tokens[:2], 1), Line(line.tokens[1:], 1)
    return [first, rest] if len(rest.tokens) > 1 else [first]


def choice_pairs(tokenizer: PreTrainedTokenizerBase, request: Choices) -> list[tuple[str, str]]:
    """(context, option) texts of a request, the context in the chat template where that is asked for."""
    in_template = request.chat and tokenizer.chat_template
    context = in_chat(tokenizer, request.context) if in_template else request.context
    return [(context, option) for option in request.options]


def encode_prompts(tokenizer: PreTrainedTokenizerBase, requests: Sequence[Prompt]) -> list[Tokens]:
    """Tokens of each prompt; an empty one becomes the prefix token."""
    encoded = encode(tokenizer, [prompt_text(tokenizer, request) for request in requests])
    return [tokens or Tokens("i", [prefix_token(tokenizer)]) for tokens in encoded]


def prompt_text(tokenizer: PreTrainedTokenizerBase, request: Prompt) -> str:
    """The text a prompt stands for; what was said before it is part of it, as turns or else as paragraphs."""
    if request.chat and tokenizer.chat_template:
        return in_chat(tokenizer, request.text, request.history)
    return "\n\n".join([*(said for turn in request.history for said in turn), request.text])


def in_chat(tokenizer: PreTrainedTokenizerBase, text: str, history: Sequence[tuple[str, str]] = ()) -> str:
    """A user's message in the tokenizer's chat template, up to where the assistant begins."""
    messages = [
        message
        for asked, answered in history
        for message in ({"role": "user", "content": asked}, {"role": "assistant", "content": answered})
    ]
    messages.append({"role": "user", "content": text})
    return cast(str, tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def passage_lines(tokenizer: PreTrainedTokenizerBase, requests: Sequence[Passage], context: int) -> list[list[Line]]:
    """The windows of each passage, as its protocol cuts them; the rolling one has the prefix token in front.

    It is put there unless the tokenizer has done so. lm-evaluation-harness then puts it there twice and predicts the
    second one, which is no part of the text.
    """
    prefix = prefix_token(tokenizer)
    groups = []
    for request, tokens in zip(requests, encode(tokenizer, [request.text for request in requests]), strict=True):
        bare = request.protocol == "rolling" and tokens[:1].tolist() != [prefix]
        whole = Tokens("i", [prefix]) + tokens if bare else tokens
        windows = cut(len(whole), request, context)
        groups.append([Line(whole[window.start : window.stop], window.first - window.start) for window in windows])
    return groups


def scored_bytes(tokenizer: PreTrainedTokenizerBase, request: Passage, context: int) -> int:
    """UTF-8 bytes of the text that the predicted tokens of a passage stand for.

    All of it for the rolling protocol. The others leave tokens out, so bits per byte must leave out their text, too;
    a tokenizer that cannot tell where its tokens stand gives the share of the text that its share of the tokens is.
    """
    size = len(request.text.encode())
    if request.protocol == "rolling":
        return size
    if not tokenizer.is_fast:
        [tokens], special = encode(tokenizer, [request.text]), set(tokenizer.all_special_ids)
        own = [token not in special for token in tokens]
        predicted = sum(sum(own[window.first : window.stop]) for window in cut(len(own), request, context))
        return round(size * predicted / max(sum(own), 1))
    encoded = tokenizer(
        request.text,
        return_offsets_mapping=True,
        add_special_tokens=not request.text.startswith(first_text(tokenizer)),
        verbose=False,
    )
    # Where the text of a token ends. One that was added stands nowhere, (0, 0); the pieces of a character all stand for
    # the whole of it. A token begins where the one before it ends, so no byte is counted twice.
    ends = list(accumulate((end for _, end in cast("list[tuple[int, int]]", encoded["offset_mapping"])), max))
    windows = cut(len(ends), request, context)
    return sum(len(request.text[ends[window.first - 1] : ends[window.stop - 1]].encode()) for window in windows)


def cut_left(line: Line, context: int) -> Line:
    """A line with no more than `context` tokens before its last: what is too much is dropped at its beginning."""
    excess = len(line.tokens) - (context + 1)
    if excess <= 0:
        return line
    if line.start - excess < 1:
        predicted = len(line.tokens) - line.start
        raise EngineError(f"an option of {predicted} tokens is longer than the model's context ({context} tokens)")
    return Line(line.tokens[excess:], line.start - excess)
