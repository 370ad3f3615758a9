"""The hf engine's scores against the network's own forward pass, one sequence at a time."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from crushtest import load_engine
from crushtest.engines.encoding import encode_options
from crushtest.engines.hf.likelihood import PackedLogLikelihood, PaddedLogLikelihood
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.errors import EngineError, ModelError, UnknownName
from crushtest.models.load import LoadedModel
from crushtest.records import Choices, Passage, Prompt, Sampling
from support.tiny_models import CONFIGS, SENTENCES, loaded

PACKED = ["llama", "qwen2", "qwen3", "mistral", "phi", "gpt2", "gpt_neox", "gemma3_text", "gemma2", "granite"]
OPTIONS = (" the dog", " nobody can tell", " the river had risen in the night")
QUESTIONS = [Choices(f"{sentence[:end]}", OPTIONS) for sentence in SENTENCES for end in (12, 24, 25, 36)]


def logprob(model: LoadedModel, tokens: list[int], start: int) -> float:
    """Log-likelihood of the tokens from `start` on, from logits of the whole sequence, in float64."""
    ids = torch.tensor([tokens])
    with torch.inference_mode():
        logits = model.network(ids[:, :-1]).logits[0].double()
    return float(logits.log_softmax(-1)[torch.arange(start - 1, ids.shape[1] - 1), ids[0, start:]].sum())


def expected(model: LoadedModel, question: Choices) -> list[float]:
    lines = encode_options(HfTokenizer(model.tokenizer), [(question.context, option) for option in question.options])
    return [logprob(model, list(line.tokens), line.start) for line in lines]


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_options_score_what_the_network_gives_them_one_by_one(kind: str) -> None:
    engine = load_engine(loaded(kind), pack_tokens=64)
    for index, scores in engine.choices(QUESTIONS):
        assert scores.logprobs == pytest.approx(expected(engine.model.loaded, QUESTIONS[index]), abs=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mamba"])
def test_a_first_token_apart_is_given_the_start_token_and_the_rest_are_not(kind: str) -> None:
    engine = load_engine(loaded(kind), pack_tokens=64)
    asked = Choices("", (*SENTENCES, "."), protocol="first_apart")
    ((_, scores),) = engine.choices([asked])
    for option, found, counted in zip(asked.options, scores.logprobs, scores.tokens, strict=True):
        own = engine.model.loaded.tokenizer(option, add_special_tokens=False)["input_ids"]
        rest = logprob(engine.model.loaded, own, 1) if len(own) > 1 else 0.0
        assert found == pytest.approx(logprob(engine.model.loaded, [0, own[0]], 1) + rest, abs=1e-3)
        assert counted == len(own)
    ((_, joint),) = engine.choices([Choices("", asked.options)])
    assert joint.tokens == scores.tokens
    assert joint.logprobs[0] != pytest.approx(scores.logprobs[0], abs=1e-3), "otherwise this tests nothing"


@pytest.mark.parametrize("kind", PACKED)
def test_common_architectures_are_run_in_packs(kind: str) -> None:
    assert load_engine(loaded(kind)).describe()["scoring"].startswith("prefix-shared packs")


def test_models_that_packs_would_get_wrong_fall_back_and_say_why() -> None:
    scoring = load_engine(loaded("mamba")).describe()["scoring"]
    assert scoring.startswith("padded batches")
    assert "layers of type" in scoring


@pytest.mark.parametrize("kind", ["mistral", "gemma2", "gemma3_text"])
def test_lines_longer_than_a_sliding_window_are_run_in_packs_and_right(kind: str) -> None:
    engine = load_engine(loaded(kind, sliding_window=16), pack_tokens=64)
    assert engine.describe()["scoring"] == "prefix-shared packs of 64 tokens"
    asked = [*QUESTIONS, Choices(" ".join(SENTENCES), OPTIONS), Choices("", (" ".join(SENTENCES),))]
    for index, scores in engine.choices(asked):
        assert scores.logprobs == pytest.approx(expected(engine.model.loaded, asked[index]), abs=1e-3)


def test_scores_do_not_depend_on_what_else_is_asked() -> None:
    engine = load_engine(loaded(), pack_tokens=128)
    together = dict(engine.choices(QUESTIONS))
    for index, question in enumerate(QUESTIONS):
        ((_, alone),) = engine.choices([question])
        assert together[index].logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_examples_in_front_give_the_scores_of_whole_sequences() -> None:
    engine = load_engine(loaded(), pack_tokens=64)
    examples = "\n\n".join(SENTENCES)
    asked = [replace(question, context=f"{examples}\n\n{question.context}") for question in QUESTIONS]
    packs = engine.model.packed.plan(
        encode_options(engine.model.tokenizer, [(q.context, option) for q in asked for option in q.options])
    )
    assert sum(pack.is_trunk for pack in packs) > 1
    for index, scores in engine.choices(asked):
        assert scores.logprobs == pytest.approx(expected(engine.model.loaded, asked[index]), abs=1e-3)


def test_it_says_which_token_stands_at_the_start_of_a_text() -> None:
    model = loaded()
    assert load_engine(model).describe()["start_token"] == "<s>"
    named = copy.deepcopy(model.tokenizer)
    named.bos_token, named.eos_token = None, "</s>"
    assert load_engine(replace(model, tokenizer=named)).describe()["start_token"] == "</s>"


@pytest.mark.parametrize("window", [None, 7, 50])
def test_passages_sum_over_windows(window: int | None) -> None:
    engine = load_engine(loaded(), pack_tokens=64)
    texts = [Passage(sentence * 3, window) for sentence in SENTENCES]
    for index, score in engine.passages(texts):
        tokens = [0, *engine.model.loaded.tokenizer(texts[index].text)["input_ids"]]
        size = window or len(tokens)
        total = 0.0
        for first in range(1, len(tokens), size):
            end = min(first + size, len(tokens))
            begin = max(end - size - 1, 0)
            total += logprob(engine.model.loaded, tokens[begin:end], first - begin)
        assert score.logprob == pytest.approx(total, abs=1e-3)
        assert score.tokens == len(tokens) - 1
        assert score.bytes == len(texts[index].text.encode())


def test_an_empty_passage_has_no_tokens() -> None:
    scores = dict(load_engine(loaded()).passages([Passage(""), Passage("a")]))
    assert (scores[0].logprob, scores[0].tokens, scores[0].bytes) == (0.0, 0, 0)
    assert scores[1].tokens > 0


def test_contexts_beyond_the_model_are_cut_and_counted() -> None:
    engine = load_engine(loaded())
    words = " ".join(SENTENCES * 20)
    ((_, scores),) = engine.choices([Choices(words, (" dog",))])
    line = encode_options(engine.model.tokenizer, [(words, " dog")])[0]
    kept = list(line.tokens[-513:])
    assert scores.logprobs[0] == pytest.approx(
        logprob(engine.model.loaded, kept, len(kept) - scores.tokens[0]), abs=1e-3
    )
    assert engine.describe()["truncated"] == 1


def test_answers_come_pack_by_pack() -> None:
    engine = load_engine(loaded(), pack_tokens=48)
    runs = 0

    def count(*_: object) -> None:
        nonlocal runs
        runs += 1

    engine.model.loaded.network.base_model.register_forward_hook(count)
    answers = engine.choices(QUESTIONS)
    next(answers)
    before = runs
    assert len(list(answers)) == len(QUESTIONS) - 1
    assert runs >= 2 * before


def test_a_chat_question_is_asked_in_the_template() -> None:
    engine = load_engine(loaded(template=True))
    asked = Choices("Who was late?", OPTIONS, chat=True)
    written = Choices("<|user|>Who was late?\n<|assistant|>", OPTIONS)
    assert dict(engine.choices([asked])) == dict(engine.choices([written]))
    assert dict(engine.choices([asked])) != dict(engine.choices([replace(asked, chat=False)]))


def test_half_precision_is_run_in_packs_too() -> None:
    made = loaded()
    made.network.to(torch.bfloat16)
    engine = load_engine(replace(made, facts=made.facts | {"dtype": "bfloat16"}))
    assert engine.model.paths.scoring == "packs"
    assert all(len(scores.logprobs) == 3 for _, scores in engine.choices(QUESTIONS))


@pytest.mark.parametrize("way", [PackedLogLikelihood, PaddedLogLikelihood])
def test_a_model_that_does_not_run_at_all_is_an_error(way: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise (
            torch.OutOfMemoryError("no memory left") if way is PackedLogLikelihood else RuntimeError("broken weights")
        )

    monkeypatch.setattr(way, "run", fail)
    with pytest.raises(RuntimeError, match=r"no memory left|broken weights"):
        load_engine(loaded())


def test_attention_that_does_not_fit_a_pack_means_plain_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("shape '[1, 2]' is invalid for input of size 3")

    monkeypatch.setattr(PackedLogLikelihood, "run", fail)
    assert load_engine(loaded()).model.paths.slow_scoring == (
        "does not run (shape '[1, 2]' is invalid for input of size 3)"
    )


def test_the_networks_own_attention_is_left_as_it_was() -> None:
    engine = load_engine(loaded())
    before = engine.model.loaded.network.config._attn_implementation
    iterator = engine.choices(QUESTIONS)
    next(iterator)
    assert engine.model.loaded.network.config._attn_implementation == before


def test_options_are_checked_against_the_engines_signature() -> None:
    with pytest.raises(UnknownName, match=r"pack_token.*did you mean 'pack_tokens'"):
        load_engine(loaded(), pack_token=64)
    with pytest.raises(UnknownName, match="unknown engine 'hff'"):
        load_engine(loaded(), engine="hff")
    with pytest.raises(ModelError, match="no such folder"):
        load_engine("/nowhere/at/all")


def test_an_impossible_length_is_said_so() -> None:
    engine = load_engine(loaded())
    with pytest.raises(EngineError, match="max_tokens must be below the model's context, 512"):
        list(engine.generate([Prompt("a")], Sampling(max_tokens=512)))
    with pytest.raises(EngineError, match="max_tokens must be at least 1"):
        list(engine.generate([Prompt("a")], Sampling(max_tokens=0)))


@pytest.mark.demo_model
def test_the_demo_model_scores_as_its_own_forward_pass() -> None:
    engine: Any = load_engine("demo")
    asked = [Choices(f"{sentence[:30]}", OPTIONS) for sentence in SENTENCES]
    assert engine.model.paths.scoring == "packs"
    for index, scores in engine.choices(asked):
        assert scores.logprobs == pytest.approx(expected(engine.model.loaded, asked[index]), abs=1e-3)
