"""The `openai` engine: a model behind an address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from crushtest.engines.thinking import Thinking
from crushtest.errors import ModelError
from crushtest.registry import Answers, engine

if TYPE_CHECKING:
    from crushtest.engines.openai.served import ServedEngine
    from crushtest.models.load import LoadedModel

KEY_VARIABLE = "CRUSHTEST_API_KEY"
"""Not the name that other programs use: a key is sent to addresses that it was meant for, and to no others."""


def answered_by(model: str, **options: Any) -> dict[str, Any]:
    """Return what the server at an address answers, by the way that it is proved to do. Raises as the engine does."""
    way = openai(model, **options).proof.way
    answers: list[Answers] = ["prompts"]
    if way is not None:
        answers.insert(0, "choices")
    if way is not None and (way.name == "echo" or (way.name == "forced" and options["forced_passages"])):
        answers.insert(1, "passages")
    forced = {"passages": "forced_passages=true scores passages token by token, with a request for each"}
    return {"answers": tuple(answers), "hints": forced if way is not None and way.name == "forced" else {}}


@engine(
    "openai",
    runs="a model behind an address: vLLM, llama-server, SGLang, Ollama, or another server that speaks OpenAI's API",
    answers=("choices", "passages", "prompts"),
    facts=answered_by,
)
def openai(
    model: str | LoadedModel,
    *,
    way: Literal["auto", "echo", "forced", "first_token", "read"] = "auto",
    tokenizer: str | None = None,
    forced_passages: bool = False,
    concurrency: Annotated[int, Ge(1)] = 8,
    timeout_s: Annotated[float, Gt(0)] = 120.0,
    deadline_s: Annotated[float, Gt(0)] = 600.0,
    reply_bytes: Annotated[int, Ge(1)] = 2**25,
    attempts: Annotated[int, Ge(1)] = 6,
    first_wait_s: Annotated[float, Ge(0)] = 1.0,
    max_requests: Annotated[int, Ge(1)] | None = None,
    max_tokens: Annotated[int, Ge(1)] | None = None,
    key_variable: str = KEY_VARIABLE,
    thinking: Thinking | None = None,
) -> ServedEngine:
    """Scoring and generation over HTTP, after a probe of what the server at an address really does.

    way              how options are scored; `auto`: the most exact way that the server is proved to do
    tokenizer        the model's tokenizer (hub id, folder, .gguf), for servers that do not tell their tokens
    forced_passages  also score whole texts by forcing every token: a request per token
    concurrency      requests at once
    timeout_s        longest silence; `deadline_s` is the longest time for a request, `reply_bytes` its largest reply
    attempts         for a request that fails; waits grow from `first_wait_s`, and Retry-After is heeded
    max_requests     budget per arm, repeat and run, as is `max_tokens`; what is answered is kept when it is spent
    key_variable     the environment variable with the key; it is read when it is needed, never kept or printed
    thinking         `on`, `off` or a number of tokens, if the server's chat template is shown to have a switch for it
    """
    from crushtest.engines.openai.client import Client, Limits
    from crushtest.engines.openai.prove import prove
    from crushtest.engines.openai.recognise import recognise
    from crushtest.engines.openai.served import ServedEngine, start_token
    from crushtest.engines.openai.switching import switched
    from crushtest.engines.openai.tokenizers import tokenizer_of
    from crushtest.engines.openai.ways.way import Setting
    from crushtest.services.addresses import key_for, parse_address
    from crushtest.services.retrying import RetryPolicy

    if not isinstance(model, str):
        raise ModelError(f"engine 'openai' takes an address (got {model.spec!r})")
    address = parse_address(model)
    key = key_for(address.base, key_variable, required=key_variable != KEY_VARIABLE)
    limits = Limits(timeout_s, deadline_s, reply_bytes, max_requests, max_tokens)
    client = Client(address, key, limits, RetryPolicy(attempts=attempts, first_wait_s=first_wait_s))
    with client.required():
        server = recognise(client)
        tokens, variables = switched(client, server, tokenizer_of(client, server, tokenizer), thinking)
        setting = Setting(client, server, tokens, concurrency, variables)
        proof = prove(setting, way, forced_passages=forced_passages)
        facts = {"tokenizer": tokenizer, "start_token": start_token(setting)}
    return ServedEngine(setting, proof, facts)
