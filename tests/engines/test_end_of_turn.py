"""A reply ends where the chat template ends it, whether or not the model names that token."""

from __future__ import annotations

import copy

import pytest
from transformers import GenerationConfig, PreTrainedTokenizerFast

from crushtest.engines.hf.tokenizer import end_of_turn, ends_of
from support.tiny_models import tokenizer

ASSISTANT = "{% for m in messages %}<r>{{ m['content'] }}"


def chat(template: str | None) -> PreTrainedTokenizerFast:
    made = copy.deepcopy(tokenizer())
    made.add_special_tokens({"additional_special_tokens": ["<|end|>"]})
    made.chat_template = template
    return made


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (ASSISTANT + "<|end|>\n{% endfor %}", True),
        (ASSISTANT + "\n<|end|>{% endfor %}", True),
        (ASSISTANT + "\n{% endfor %}", False),
        (ASSISTANT + " and so on {% endfor %}", False),
        ("{{ raise_exception('no replies') }}", False),
        ("<r>", False),
        (None, False),
    ],
)
def test_the_token_behind_a_reply_ends_it(template: str | None, ends: bool) -> None:
    made = chat(template)
    token = made.convert_tokens_to_ids("<|end|>")
    assert end_of_turn(made) == (token if ends else None)
    assert ends_of(None, made) == {made.eos_token_id, *([token] if ends else [])}


def test_tokens_that_the_settings_name_end_it_too() -> None:
    assert ends_of(GenerationConfig(eos_token_id=[7, 9]), chat(None)) == {1, 7, 9}
