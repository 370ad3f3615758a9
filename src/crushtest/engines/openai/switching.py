"""Switch the thinking of a served model, where the server's chat template is shown to have a switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crushtest.engines.openai.client import Client
from crushtest.engines.openai.recognise import Server
from crushtest.engines.openai.tokenizers import template_arguments
from crushtest.engines.thinking import MESSAGE, Thinking, variables_for, with_thinking
from crushtest.engines.token_model import Tokenizer


def switched(
    client: Client, server: Server, tokenizer: Tokenizer | None, thinking: Thinking | None
) -> tuple[Tokenizer | None, dict[str, Any]]:
    """Return the tokenizer, switched, and the variables that messages are sent with.

    Where only the server knows its tokens, a variable counts as a switch if the server reads another number of tokens
    with it. Raises EngineError if there is no such switch.
    """
    where = client.address.base
    if thinking is None:
        return tokenizer, {}
    if tokenizer is not None:
        tokenizer = with_thinking(tokenizer, thinking, where)
        return tokenizer, dict(tokenizer.variables)

    def tokens_read(variables: Mapping[str, Any]) -> int | None:
        body = {"model": server.model, "messages": MESSAGE, "max_tokens": 1, "temperature": 0}
        body |= template_arguments(variables)
        return client.post_or_none("chat/completions", body, lambda reply: int(reply["usage"]["prompt_tokens"]))

    return None, variables_for(thinking, tokens_read, where)
