"""The switches of chat templates for thinking, in engines over tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from crushtest import load_engine
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.engines.thinking import with_opening, with_thinking
from crushtest.errors import EngineError, UsageError
from crushtest.records import Choices, Completion, Prompt, Sampling
from crushtest.registry import ENGINES
from crushtest.thinking import after_thinking, is_cut_short
from support.tiny_gguf import write_gguf
from support.tiny_models import loaded, tokenizer

TURNS = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}[assistant]"
SWITCH = TURNS + "{% if NAME is defined and not NAME %}<think></think>{% endif %}"
BUDGET = "{% if thinking_budget is defined %}[think {{ thinking_budget }}]{% endif %}"
OPENS = TURNS + "<think>\n"
ASKED = [Prompt("Who was late?", chat=True)]
TURN = [{"role": "user", "content": "Who was late?"}]


def templated(template: str | None) -> PreTrainedTokenizerFast:
    made = tokenizer()
    made.chat_template = template
    return made


def model(template: str | None) -> Any:
    made = loaded()
    made.tokenizer.chat_template = template
    return made


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
def test_a_switch_is_found_by_what_the_template_renders(name: str) -> None:
    plain = HfTokenizer(templated(SWITCH.replace("NAME", name)))
    off, on = (with_thinking(plain, each, "x") for each in ("off", "on"))  # type: ignore[arg-type]
    assert (off.variables, on.variables) == ({name: False}, {name: True})
    assert off.render(TURN) == plain.render(TURN) + "<think></think>"
    assert on.render(TURN) == plain.render(TURN)
    assert with_thinking(plain, None, "x") is plain


def test_a_budget_is_given_to_templates_that_have_one_and_turns_thinking_on() -> None:
    with_switch = HfTokenizer(templated(SWITCH.replace("NAME", "enable_thinking") + BUDGET))
    assert with_thinking(with_switch, 512, "x").variables == {"enable_thinking": True, "thinking_budget": 512}
    alone = with_thinking(HfTokenizer(templated(TURNS + BUDGET)), 64, "x")
    assert alone.render(TURN).endswith("[think 64]")


@pytest.mark.parametrize("thinking", ["on", "off", 100])
@pytest.mark.parametrize("template", [None, TURNS, TURNS + "{% if enable_thinking %}{% endif %}"])
def test_a_template_without_a_switch_is_refused_whatever_it_names(template: str | None, thinking: Any) -> None:
    with pytest.raises(EngineError, match="thinking"):
        load_engine(model(template), thinking=thinking)


@pytest.mark.parametrize("wrong", ["maybe", 0, -1])
def test_thinking_is_on_off_or_a_number_of_tokens(wrong: Any) -> None:
    with pytest.raises(UsageError, match="thinking"):
        ENGINES.get("hf").bind({"thinking": wrong})


def test_hf_asks_with_the_switch_and_says_so() -> None:
    made = model(SWITCH.replace("NAME", "enable_thinking"))
    off, on = load_engine(made, thinking="off"), load_engine(made, thinking="on")
    assert off.describe()["thinking"] == {"enable_thinking": False}
    assert load_engine(made).describe()["thinking"] is None
    for ask in (
        lambda engine: next(engine.choices([Choices("Who?", (" he", " she"), chat=True)]))[1],
        lambda engine: next(engine.generate(ASKED, Sampling(max_tokens=8)))[1],
    ):
        assert ask(load_engine(made)) == ask(on)
        assert ask(off).token_digest != ask(on).token_digest


def test_a_thought_that_the_prompt_opened_is_no_answer() -> None:
    """The template writes `<think>` itself, so a completion that the limit cuts has no tag."""
    [(_, cut)] = load_engine(model(OPENS)).generate(ASKED, Sampling(max_tokens=4))
    assert cut.text.startswith("<think>")
    assert (cut.stop, after_thinking(cut.text)) == ("length", "")
    assert is_cut_short(cut)
    [(_, plain)] = load_engine(model(TURNS)).generate(ASKED, Sampling(max_tokens=4))
    assert not plain.text.startswith("<think>")


def test_an_opened_tag_stands_in_front_of_what_was_written() -> None:
    made = HfTokenizer(tokenizer())
    [opened, closed] = made.encode(["[assistant]<think>\n", "[assistant]<think></think>"], add_special=False)
    written = Completion("He?</think>Nobody.", 4, "eos")
    assert with_opening(written, made, opened).text == "<think>He?</think>Nobody."
    assert with_opening(written, made, closed) == written


def test_tags_that_are_special_tokens_are_kept_and_others_are_not() -> None:
    inner = tokenizer()
    inner.add_special_tokens({"additional_special_tokens": ["<think>", "</think>", "<|end|>"]})
    made = HfTokenizer(inner)
    [tokens] = made.encode(["<think>He?</think>Nobody was.<|end|></s>"], add_special=False)
    assert made.decode(tokens) == "<think>He?</think>Nobody was."


def test_llamacpp_asks_with_the_switch_of_its_file(tmp_path: Path) -> None:
    library = pytest.importorskip("crushtest.engines.llamacpp.library")
    if not library.is_installed():
        pytest.skip("needs llama.cpp")
    made = model(SWITCH.replace("NAME", "enable_thinking"))
    file = tmp_path / "tiny.gguf"
    write_gguf(file, made, template=made.tokenizer.chat_template)
    off = load_engine(str(file), engine="llamacpp", thinking="off", kv="f32", flash="off", threads=1)
    assert off.describe()["thinking"] == {"enable_thinking": False}
    twin = load_engine(made, thinking="off")
    [ours], [theirs] = ([*engine.generate(ASKED, Sampling(max_tokens=8))] for engine in (off, twin))
    assert ours[1].token_digest == theirs[1].token_digest
    with pytest.raises(EngineError, match="budget"):
        load_engine(str(file), engine="llamacpp", thinking=64)
