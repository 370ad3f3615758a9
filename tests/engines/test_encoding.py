"""How requests become tokens: by hand, and beside lm-evaluation-harness where it is installed."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer

from crushtest.engines.encoding import (
    choice_pairs,
    cut_left,
    encode,
    encode_options,
    encode_prompts,
    passage_lines,
    prompt_text,
    scored_bytes,
)
from crushtest.engines.hf.tokenizer import HfTokenizer, context_length
from crushtest.engines.packing import Line
from crushtest.engines.token_model import Tokens
from crushtest.errors import EngineError
from crushtest.records import Choices, Passage, Prompt
from support.tiny_models import loaded, tokenizer

PAIRS = [
    ("Question: Who was late? Answer:", " nobody"),
    ("Question: Who was late? Answer: ", "nobody"),
    ("Question: Who was late? Answer: \n ", "nobody"),
    ("", "nobody can tell"),
    ("", " nobody can tell"),
    ("<s>Nine people", " were waiting"),
    ("The do", "g does"),
]


def tokens(text: str) -> Tokens:
    return Tokens("i", tokenizer()(text, add_special_tokens=False)["input_ids"])


PREFIX = Tokens("i", [0])


def test_an_options_tokens_are_what_the_whole_has_beyond_the_context() -> None:
    (line,) = encode_options(HfTokenizer(tokenizer()), PAIRS[:1])
    assert line.tokens == tokens("Question: Who was late? Answer: nobody")
    assert line.start == len(tokens("Question: Who was late? Answer:"))


def test_a_token_across_the_boundary_is_split_by_count() -> None:
    (line,) = encode_options(HfTokenizer(tokenizer()), [("The do", "g does")])
    context, whole = tokens("The do"), tokens("The dog does")
    assert whole[: len(context)] != context, "otherwise this tests nothing"
    assert line == Line(context + whole[len(context) :], len(context))


@pytest.mark.parametrize(
    ("context", "option", "expected"),
    [("Answer:", "nobody", " nobody"), ("Answer:", " nobody", " nobody"), ("A ", "dog", "dog"), ("", "dog", "dog")],
)
def test_without_a_template_a_space_parts_options_from_a_question(context: str, option: str, expected: str) -> None:
    plain = HfTokenizer(tokenizer())
    assert not plain.has_template
    assert choice_pairs(plain, Choices(context, (option,), chat=True)) == [(context, expected)]
    assert choice_pairs(plain, Choices(context, (option,))) == [(context, option)]


def test_trailing_spaces_of_the_context_belong_to_the_option() -> None:
    moved, given = encode_options(HfTokenizer(tokenizer()), [("Answer: \n ", "nobody"), ("Answer:", " \n nobody")])
    assert moved == given


def test_an_empty_context_is_the_prefix_token() -> None:
    plain, begun = encode_options(HfTokenizer(tokenizer()), [("", "nobody"), ("", "<s>nobody")])
    assert plain == begun == Line(PREFIX + tokens("nobody"), 1)


def test_an_option_without_tokens_is_an_error_and_not_a_sure_win() -> None:
    with pytest.raises(EngineError, match="option '' after 'Answer:' has no tokens"):
        encode_options(HfTokenizer(tokenizer()), [("Answer:", " yes"), ("Answer:", "")])


def test_a_text_that_brings_its_first_token_does_not_get_another() -> None:
    made = tokenizer().__class__(tokenizer_object=tokenizer()._tokenizer, bos_token="<s>", eos_token="</s>")
    made.add_bos_token = True
    made.update_post_processor()
    with_own, without = encode(HfTokenizer(made), ["<s>Nine people", "Nine people"])
    assert with_own == without == PREFIX + tokens("Nine people")


def test_an_empty_prompt_begins_with_the_prefix_token() -> None:
    assert encode_prompts(HfTokenizer(tokenizer()), [Prompt("")]) == [Tokens("i", [HfTokenizer(tokenizer()).start])]


def test_a_chat_is_templated_up_to_where_the_assistant_begins() -> None:
    asked = Prompt("And then?", chat=True, history=(("Who was late?", "Nobody."),))
    assert prompt_text(HfTokenizer(tokenizer(template=True)), asked) == (
        "<|user|>Who was late?\n<|assistant|>Nobody.\n<|user|>And then?\n<|assistant|>"
    )
    assert prompt_text(HfTokenizer(tokenizer()), asked) == "Who was late?\n\nNobody.\n\nAnd then?"
    assert prompt_text(HfTokenizer(tokenizer(template=True)), Prompt("And then?")) == "And then?"


def test_only_rolling_passages_begin_with_the_start_token() -> None:
    text = "The river had risen in the night."
    rolling, pruning = passage_lines(HfTokenizer(tokenizer()), [Passage(text), Passage(text, protocol="pruning")], 512)
    assert rolling == [Line(PREFIX + tokens(text), 1)]
    assert pruning == [Line(tokens(text), 1)]


def test_long_lines_lose_their_beginning() -> None:
    assert cut_left(Line([1, 2, 3, 4, 5, 6], 4), 3) == Line([3, 4, 5, 6], 2)
    assert cut_left(Line([1, 2, 3, 4], 2), 3) == Line([1, 2, 3, 4], 2)
    with pytest.raises(EngineError, match="an option of 4 tokens is longer than the model's context"):
        cut_left(Line([1, 2, 3, 4, 5, 6], 2), 3)


def test_the_context_length_comes_from_the_configuration() -> None:
    assert context_length(loaded().network.config, tokenizer()) == 512
    assert context_length(loaded("gpt2").network.config, tokenizer()) == 512


def split(line: Line) -> tuple[list[int], list[int]]:
    """What is given and what is predicted."""
    return list(line.tokens[: line.start]), list(line.tokens[line.start :])


@pytest.fixture(scope="module")
def hflm() -> Any:
    """lm-evaluation-harness's model; the test skips where that is not installed."""
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    return huggingface.HFLM(loaded().network, tokenizer=tokenizer(), batch_size=2, device="cpu")


def test_options_are_split_as_lm_eval_splits_them(hflm: Any) -> None:
    for (context, option), line in zip(PAIRS, encode_options(HfTokenizer(tokenizer()), PAIRS), strict=True):
        if context:
            assert split(line) == hflm._encode_pair(context, option)


def test_windows_are_lm_evals(hflm: Any) -> None:
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    text = "The river had risen in the night and the bridge was closed until noon. " * 3
    for window in (1, 7, 50, 512):
        (lines,) = passage_lines(HfTokenizer(tokenizer()), [Passage(text, window)], 512)
        theirs = map(make_disjoint_window, get_rolling_token_windows(hflm.tok_encode(text), 0, window, 1))
        # Theirs is (what is read before the first prediction, what is predicted).
        assert [split(line) for line in lines] == list(theirs)


# ---- the bytes of what is predicted

ENGLISH = "Winters up here begin early."
GERMAN = "Die Bären mögen Käse, für die Gäste übrigens auch."
FIRST_IS_ADDED, NONE_IS_ADDED = True, False


def adding(*, first: bool) -> Any:
    """The tokenizer, putting `<s>` before every text or not."""
    made = tokenizer().__class__(tokenizer_object=Tokenizer.from_str(tokenizer()._tokenizer.to_str()), bos_token="<s>")
    made.add_bos_token = first
    made.update_post_processor()
    return made


def test_a_first_token_that_the_tokenizer_puts_there_is_not_predicted() -> None:
    (added,) = passage_lines(HfTokenizer(adding(first=True)), [Passage(ENGLISH)], 512)
    (ours,) = passage_lines(HfTokenizer(adding(first=False)), [Passage(ENGLISH)], 512)
    assert added == ours == [Line(PREFIX + tokens(ENGLISH), 1)]


@pytest.mark.parametrize("text", [ENGLISH, f"<s>{ENGLISH}"])
@pytest.mark.parametrize("first", [FIRST_IS_ADDED, NONE_IS_ADDED])
def test_bytes_are_those_of_the_tokens_that_are_predicted(text: str, first: bool) -> None:
    made, asked = adding(first=first), Passage(text, 5, "pruning")
    (lines,) = passage_lines(HfTokenizer(made), [asked], 512)
    predicted = [made.decode(line.tokens[line.start :]) for line in lines]
    assert len(predicted) > 1
    assert scored_bytes(HfTokenizer(made), asked, 512) == len("".join(predicted).encode())


def test_a_character_of_several_tokens_is_counted_once() -> None:
    # Every token but the first is predicted, in windows that cut characters in two.
    asked = Passage(GERMAN, 7, "sliding", 1)
    assert scored_bytes(HfTokenizer(adding(first=True)), asked, 512) == len(GERMAN.encode())


def test_a_tokenizer_without_offsets_counts_its_share_of_tokens() -> None:
    class Placeless:
        """A tokenizer that adds `<s>` and cannot tell where its tokens stand."""

        is_fast = False
        bos_token_id = 0
        eos_token_id = None
        all_special_ids = (0,)

        def decode(self, token: int) -> str:
            return "<s>"

        def __call__(self, texts: list[str], add_special_tokens: bool, verbose: bool) -> dict[str, list[list[int]]]:
            return {"input_ids": [[0] * add_special_tokens + [ord(sign) for sign in text] for text in texts]}

    made: Any = Placeless()
    assert scored_bytes(HfTokenizer(made), Passage("waiting", protocol="pruning"), 512) == len("waiting")
    assert scored_bytes(HfTokenizer(made), Passage("waiting", 4, "pruning"), 512) == 6  # windows of 4: <s>wai, ting
