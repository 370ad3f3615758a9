"""Whether a model thinks aloud before it answers: the switches that chat templates have for it, and what they open.

No switch is trusted by its name. One counts if the template renders a message otherwise with it than without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from annotated_types import Ge

from crushtest.engines.token_model import Tokenizer
from crushtest.errors import EngineError
from crushtest.records import Completion
from crushtest.thinking import OPENING

Thinking: TypeAlias = Literal["on", "off"] | Annotated[int, Ge(1)]
"""`on`, `off`, or the tokens that a template allows for thinking."""

SWITCHES = ("enable_thinking", "thinking")
"""The variables by which templates turn thinking on and off (Qwen, GLM and SmolLM; Granite and DeepSeek)."""
BUDGETS = ("thinking_budget",)
"""The variables by which templates say how long a model may think (Seed-OSS)."""
TRIED_BUDGETS = (512, 4096)
MESSAGE = [{"role": "user", "content": "Which day is it?"}]
LAST = 8
"""Tokens at the end of a prompt in which an opened thinking part shows."""

Rendered = Callable[[Mapping[str, Any]], object]


Kind = TypeVar("Kind", bound=Tokenizer)


def with_thinking(tokenizer: Kind, thinking: Thinking | None, where: str) -> Kind:
    """Return the tokenizer with its chat template switched; as it is for None. Raises as `variables_for` does."""
    if thinking is None:
        return tokenizer
    if not tokenizer.has_template:
        raise EngineError(f"{where}: thinking={thinking} needs a chat template, and the model has none")

    def rendered(variables: Mapping[str, Any]) -> str:
        return _with(tokenizer, variables).render(MESSAGE)

    return _with(tokenizer, variables_for(thinking, rendered, where))


def variables_for(thinking: Thinking, rendered: Rendered, where: str) -> dict[str, Any]:
    """Return the variables of a chat template that switch thinking as asked.

    rendered  gives, for variables, what differs where the template renders a message otherwise

    Raises EngineError if the template has no such switch.
    """
    switch = next((name for name in SWITCHES if rendered({name: True}) != rendered({name: False})), None)
    if isinstance(thinking, str):
        if switch is None:
            raise EngineError(
                f"{where}: thinking={thinking} needs a chat template with a switch, and this one renders the same with "
                f"{' and '.join(SWITCHES)} true or false"
            )
        return {switch: thinking == "on"}
    switched = {} if switch is None else {switch: True}
    for name in BUDGETS:
        first, second = (rendered({**switched, name: tokens}) for tokens in TRIED_BUDGETS)
        if first != second:
            return {**switched, name: thinking}
    raise EngineError(
        f"{where}: thinking={thinking} needs a chat template with a budget, and this one renders the same with any "
        f"{' or '.join(BUDGETS)}"
    )


def with_opening(completion: Completion, tokenizer: Tokenizer, prompt: Sequence[int]) -> Completion:
    """Return a completion with the tag that opens its thinking, where the template wrote that at the prompt's end.

    Without it a thought that the token limit cut would look like an answer.
    """
    opens = tokenizer.decode(prompt[-LAST:]).rstrip().endswith(OPENING)
    return replace(completion, text=OPENING + completion.text) if opens else completion


def _with(tokenizer: Kind, variables: Mapping[str, Any]) -> Kind:
    return replace(tokenizer, variables=variables)  # type: ignore[type-var]
