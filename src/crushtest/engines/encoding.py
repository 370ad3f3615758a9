"""From requests to token sequences, split as lm-evaluation-harness splits them, so that numbers can be compared.

The rules are those of its HFLM (version 0.4.13, default settings), read from its source and checked against it by test:
trailing spaces of a context belong to the option; context and whole text are encoded apart and the option's tokens
are what the whole has beyond the context; an empty context becomes the start token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crushtest.engines.packing import Line
from crushtest.engines.token_model import Tokenizer, Tokens
from crushtest.engines.windows import cut
from crushtest.errors import CrushtestError, EngineError, first_error_line
from crushtest.records import Choices, Passage, Prompt

LONGEST_RENDERED = 1_000_000
"""Characters that a chat template may add to messages."""


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tokens]:
    """Return the tokens of each text, with the special ones that the tokenizer adds unless it brings its first one."""
    if not texts:
        return []
    tokens = [Tokens("i")] * len(texts)
    start = tokenizer.start_text
    for special in (True, False):
        chosen = [index for index, text in enumerate(texts) if text.startswith(start) is not special]
        encoded = tokenizer.encode([texts[index] for index in chosen], add_special=special)
        for index, ids in zip(chosen, encoded, strict=True):
            tokens[index] = ids
    return tokens


def encode_options(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[Line]:
    """Return a line for each (context, option); the option's tokens are the ones to predict.

    EngineError for an option without tokens of its own: nothing of it could be scored, and 0 nats would win.
    """
    moved = [(context.rstrip(), context[len(context.rstrip()) :] + option) for context, option in pairs]
    contexts = sorted({context for context, _ in moved if context})
    tokens_of = dict(zip(contexts, encode(tokenizer, contexts), strict=True))
    wholes = encode(tokenizer, [context + option for context, option in moved])
    lines = []
    for (context, option), whole in zip(moved, wholes, strict=True):
        before = tokens_of.get(context, Tokens("i"))
        # Where a token spans context and option, the whole begins otherwise; its tokens are counted off all the same.
        line = Line(before + whole[len(before) :], len(before)) if before else _alone(tokenizer, option)
        if line.start >= len(line.tokens):
            raise EngineError(f"option {option!r} after {context[-40:]!r} has no tokens of its own to score")
        lines.append(line)
    return lines


def _alone(tokenizer: Tokenizer, option: str) -> Line:
    """Return an option with an empty context: after the start token, unless it begins with that itself."""
    [tokens] = tokenizer.encode([option], add_special=False)
    start = Tokens("i", [tokenizer.start])
    return Line(tokens if tokens[:1] == start else start + tokens, 1)


def choice_lines(tokenizer: Tokenizer, requests: Sequence[Choices]) -> list[list[list[Line]]]:
    """Return for each request and option the lines whose log-likelihoods add up to the option's, however long."""
    pairs = [pair for request in requests for pair in choice_pairs(tokenizer, request)]
    lines = iter(encode_options(tokenizer, pairs))
    return [[scored_parts(next(lines), request) for _ in request.options] for request in requests]


def scored_parts(line: Line, request: Choices) -> list[Line]:
    """Return the lines whose log-likelihoods add up to an option's by the request's protocol."""
    if request.protocol != "first_apart":
        return [line]
    first, rest = Line(line.tokens[:2], 1), Line(line.tokens[1:], 1)
    return [first, rest] if len(rest.tokens) > 1 else [first]


def choice_pairs(tokenizer: Tokenizer, request: Choices) -> list[tuple[str, str]]:
    """Return the (context, option) texts of a request, the context in the chat template if that is asked for.

    Options of a request in chat begin where a template ends. A model without one reads a plain prompt, which a space
    parts from what follows.
    """
    if not request.chat:
        return [(request.context, option) for option in request.options]
    if tokenizer.has_template:
        context = in_chat(tokenizer, request.context, system=request.system)
        return [(context, option) for option in request.options]
    return [(request.context, _apart(request.context, option)) for option in request.options]


def _apart(context: str, option: str) -> str:
    touching = context and not context[-1].isspace() and not option[:1].isspace()
    return f" {option}" if touching else option


def encode_prompts(tokenizer: Tokenizer, requests: Sequence[Prompt]) -> list[Tokens]:
    """Return the tokens of each prompt; an empty one becomes the start token."""
    encoded = encode(tokenizer, [prompt_text(tokenizer, request) for request in requests])
    return [tokens or Tokens("i", [tokenizer.start]) for tokens in encoded]


def prompt_text(tokenizer: Tokenizer, request: Prompt) -> str:
    """Return the text of a prompt, with the turns before it in the chat template or else as paragraphs."""
    if request.chat and tokenizer.has_template:
        return in_chat(tokenizer, request.text, request.history, system=request.system, reply=request.reply)
    if request.reply is not None:
        raise EngineError("the model has no chat template, so it cannot be asked what it says of a conversation")
    return "\n\n".join([*(message for turn in request.history for message in turn), request.text])


def in_chat(
    tokenizer: Tokenizer,
    text: str,
    history: Sequence[tuple[str, str]] = (),
    *,
    system: str | None = None,
    reply: str | None = None,
) -> str:
    """Return a user's message in the chat template, up to where the assistant begins.

    With `reply`, the assistant's answer follows it, and the template must show every message: EngineError if not. Some
    templates of models that judge show only messages in parts, and get them so.
    """
    messages = conversation(text, history, system, reply)
    rendered = _rendered(tokenizer, messages)
    if reply is None or _shows(rendered, messages):
        return rendered
    in_parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]
    rendered = _rendered(tokenizer, in_parts)
    if not _shows(rendered, messages):
        raise EngineError("the model's chat template leaves out a part of the conversation")
    return rendered


def _shows(rendered: str, messages: Sequence[Mapping[str, str]]) -> bool:
    return all(message["content"].strip() in rendered for message in messages)


def _rendered(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]) -> str:
    try:
        rendered = tokenizer.render(messages)
    except CrushtestError:
        raise
    except Exception as error:  # a template is a program: it raises whatever it likes, in its own words too
        raise EngineError(f"the model's chat template does not render a message: {first_error_line(error)}") from None
    longest = LONGEST_RENDERED + 10 * sum(len(str(message["content"])) for message in messages)
    if len(rendered) > longest:
        raise EngineError(
            f"the model's chat template makes {len(rendered):,} characters of a message (at most {longest:,})"
        )
    return rendered


def conversation(
    text: str, history: Sequence[tuple[str, str]] = (), system: str | None = None, reply: str | None = None
) -> list[dict[str, str]]:
    """Return a user's message, as chat templates read it.

    The turns before it, the system message before them all and the reply after it stand there too.
    """
    first = [] if system is None else [{"role": "system", "content": system}]
    turns = [
        message
        for user, assistant in history
        for message in ({"role": "user", "content": user}, {"role": "assistant", "content": assistant})
    ]
    last = [] if reply is None else [{"role": "assistant", "content": reply}]
    return [*first, *turns, {"role": "user", "content": text}, *last]


def passage_lines(tokenizer: Tokenizer, requests: Sequence[Passage], context: int) -> list[list[Line]]:
    """Return the windows of each passage by its protocol; the rolling one has the start token in front.

    It is put there unless the tokenizer has done so. lm-evaluation-harness then puts it there twice and predicts the
    second one, which is no part of the text.
    """
    start = Tokens("i", [tokenizer.start])
    groups = []
    for request, tokens in zip(requests, encode(tokenizer, [request.text for request in requests]), strict=True):
        bare = request.protocol == "rolling" and tokens[:1] != start
        whole = start + tokens if bare else tokens
        windows = cut(len(whole), request, context)
        groups.append([Line(whole[window.start : window.stop], window.first - window.start) for window in windows])
    return groups


def scored_bytes(tokenizer: Tokenizer, request: Passage, context: int) -> int:
    """Return the UTF-8 bytes of the text that the predicted tokens of a passage stand for.

    All of it for the rolling protocol. The others leave tokens out, so bits per byte must leave out their text as
    well. If the tokenizer does not know where its tokens stand, count the text's share that its tokens' share is.
    """
    size = len(request.text.encode())
    if request.protocol == "rolling":
        return size
    ends = tokenizer.text_ends(request.text, add_special=not request.text.startswith(tokenizer.start_text))
    if ends is None:
        [tokens], special = encode(tokenizer, [request.text]), set(tokenizer.special)
        own = [token not in special for token in tokens]
        predicted = sum(sum(own[window.first : window.stop]) for window in cut(len(own), request, context))
        return round(size * predicted / max(sum(own), 1))
    # A token begins where the one before it ends, so the bytes of a character of several tokens are counted once.
    windows = cut(len(ends), request, context)
    return sum(len(request.text[ends[window.first - 1] : ends[window.stop - 1]].encode()) for window in windows)


def cut_left(line: Line, context: int) -> Line:
    """Return a line with at most `context` tokens before its last; tokens beyond that are dropped at its beginning."""
    excess = len(line.tokens) - (context + 1)
    if excess <= 0:
        return line
    if line.start - excess < 1:
        predicted = len(line.tokens) - line.start
        raise EngineError(f"an option of {predicted} tokens is longer than the model's context ({context} tokens)")
    return Line(line.tokens[excess:], line.start - excess)
