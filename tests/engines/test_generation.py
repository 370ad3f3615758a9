"""Completions against transformers' own generation, and the rules of drawing by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from crushtest import load_engine
from crushtest.engines.generation import batches, choose, draws
from crushtest.errors import EngineError
from crushtest.records import Completion, Prompt, Sampling
from support.tiny_models import SENTENCES, loaded, run_plainly

PROMPTS = [Prompt(sentence[:end]) for sentence in SENTENCES for end in (3, 20, 40)]
DRAWN = Sampling(max_tokens=12, temperature=0.9, top_p=0.95, seed=5)


def transformers_greedy(engine: Any, prompt: Prompt, count: int) -> list[int]:
    ids = torch.tensor([engine.model.loaded.tokenizer(prompt.text)["input_ids"]])
    made = engine.model.loaded.network.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, pad_token_id=1
    )
    return made[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "phi", "gemma3_text", "gemma2"])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_greedy_completions_are_transformers_own(kind: str, batch_size: int) -> None:
    engine = load_engine(loaded(kind), batch_size=batch_size, pack_tokens=32)
    made = dict(engine.generate(PROMPTS, Sampling(max_tokens=15)))
    for index, prompt in enumerate(PROMPTS):
        tokens = transformers_greedy(engine, prompt, 15)
        ended = 1 in tokens
        tokens = tokens[: tokens.index(1)] if ended else tokens
        text = engine.model.loaded.tokenizer.decode(tokens, skip_special_tokens=True)
        assert made[index] == Completion(text, len(tokens), "eos" if ended else "length")


def test_rows_that_end_early_are_dropped_and_the_others_go_on_alike() -> None:
    engine: Any = load_engine(loaded())
    alone = {i: dict(engine.generate([p], Sampling(max_tokens=40)))[0] for i, p in enumerate(PROMPTS)}
    # Every token that some completions reach early ends a text from now on, so rows drop out one after another.
    written = [engine.model.loaded.tokenizer(completion.text)["input_ids"] for completion in alone.values()]
    early = sorted({tokens[step] for step, tokens in enumerate(written) if len(tokens) > step})
    engine.model.loaded.network.generation_config.eos_token_id = [1, *early]
    alone = {i: dict(engine.generate([p], Sampling(max_tokens=40)))[0] for i, p in enumerate(PROMPTS)}
    assert len({completion.tokens for completion in alone.values()}) > 4, "otherwise this tests nothing"
    assert dict(engine.generate(PROMPTS, Sampling(max_tokens=40))) == alone


def test_a_drawn_completion_is_the_same_in_any_company() -> None:
    engine = load_engine(loaded())
    together = dict(engine.generate(PROMPTS, DRAWN))
    assert together == {i: dict(engine.generate([p], DRAWN))[0] for i, p in enumerate(PROMPTS)}
    assert together == dict(load_engine(loaded(), batch_size=3).generate(PROMPTS, DRAWN))


def test_models_without_packs_draw_the_same() -> None:
    packed, plain = load_engine(loaded()), load_engine(loaded())
    run_plainly(plain)
    assert dict(packed.generate(PROMPTS, DRAWN)) == dict(plain.generate(PROMPTS, DRAWN))


def test_a_models_own_settings_add_nothing_to_the_sampling() -> None:
    packed, plain = load_engine(loaded()), load_engine(loaded())
    run_plainly(plain)
    expected = dict(packed.generate(PROMPTS, DRAWN))
    for engine in (packed, plain):
        network = engine.model.loaded.network
        own = GenerationConfig(repetition_penalty=5.0, top_k=1, min_new_tokens=9, no_repeat_ngram_size=1, num_beams=2)
        own.eos_token_id = 1
        network.generation_config = own
        assert dict(engine.generate(PROMPTS, DRAWN)) == expected
        assert network.generation_config is own
        assert engine.describe()["sampling"] == {"drawn": "here", "added": {}}


def test_the_seed_and_the_sample_number_change_what_is_drawn() -> None:
    engine = load_engine(loaded())
    asked = [Prompt(SENTENCES[0], sample=number) for number in range(6)]
    made = dict(engine.generate(asked, DRAWN))
    assert len({completion.text for completion in made.values()}) > 3
    assert made != dict(engine.generate(asked, Sampling(max_tokens=12, temperature=0.9, top_p=0.95, seed=6)))


def test_a_stop_string_ends_the_text_before_it() -> None:
    engine = load_engine(loaded())
    free = dict(engine.generate(PROMPTS, Sampling(max_tokens=20)))
    stop = next(c.text[len(c.text) // 2] for c in free.values() if len(c.text) > 4)
    for index, made in engine.generate(PROMPTS, Sampling(max_tokens=20, stop=(stop, "never written"))):
        if stop in free[index].text:
            assert made.text == free[index].text.partition(stop)[0]
            assert made.stop == "stop"
            assert made.tokens <= free[index].tokens
        else:
            assert made == free[index]


def test_a_conversation_goes_through_the_template() -> None:
    engine = load_engine(loaded(template=True))
    asked = Prompt("And then?", chat=True, history=(("Who was late?", "Nobody."),))
    written = Prompt("<|user|>Who was late?\n<|assistant|>Nobody.\n<|user|>And then?\n<|assistant|>")
    assert dict(engine.generate([asked], Sampling())) == dict(engine.generate([written], Sampling()))


def test_prompts_beyond_the_context_lose_their_beginning() -> None:
    engine = load_engine(loaded())
    words = " ".join(SENTENCES * 20)
    tokens = engine.model.loaded.tokenizer(words)["input_ids"]
    assert len(tokens) > 512
    ((_, made),) = engine.generate([Prompt(words)], Sampling(max_tokens=8))
    kept = engine.model.loaded.tokenizer.decode(tokens[-504:])
    ((_, short),) = engine.generate([Prompt(kept)], Sampling(max_tokens=8))
    assert made == short
    assert engine.describe()["truncated"] == 1


def test_choosing_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.4, 0.3, 0.2]]))
    drawn = Sampling(temperature=1.0)
    # Ranked 0.4 | 0.3 | 0.2 | 0.1: the boundaries are 0.4, 0.7 and 0.9.
    for number, token in [(0.0, 1), (0.39, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.91, 0), (0.999999, 0)]:
        assert choose(logits, drawn, [number]).item() == token
    # The smallest set that reaches 0.6 is {1, 2}, of 0.7 together: the boundary is at 4/7.
    for number, token in [(0.0, 1), (0.57, 1), (0.58, 2), (0.999999, 2)]:
        assert choose(logits, Sampling(temperature=1.0, top_p=0.6), [number]).item() == token
    assert choose(logits, Sampling(temperature=1.0, top_p=1e-9), [0.999]).item() == 1
    assert choose(logits, Sampling(), [0.999]).item() == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_gives_no_numbers_writes_nothing(temperature: float) -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, float("nan"), 2.0]])
    with pytest.raises(EngineError, match="logits that are not numbers"):
        choose(logits, Sampling(temperature=temperature), [0.5, 0.5])


def test_temperature_flattens_the_distribution() -> None:
    logits = torch.log(torch.tensor([[0.8, 0.2]])).expand(1000, 2)
    numbers = np.linspace(0, 1, 1000, endpoint=False).tolist()
    # p^(1/2) normalised: sqrt(0.8) / (sqrt(0.8) + sqrt(0.2)) = 2/3.
    chosen = choose(logits, Sampling(temperature=2.0), numbers)
    assert (chosen == 0).double().mean().item() == pytest.approx(2 / 3, abs=0.002)


def test_draws_come_from_seed_prompt_and_sample_alone() -> None:
    assert draws(Prompt("a"), DRAWN).tolist() == draws(Prompt("a", chat=False), DRAWN).tolist()
    assert draws(Prompt("a"), DRAWN).tolist() != draws(Prompt("b"), DRAWN).tolist()
    assert draws(Prompt("a"), DRAWN).tolist() != draws(Prompt("a", sample=1), DRAWN).tolist()


def test_batches_hold_prompts_of_similar_length_within_their_bounds() -> None:
    prompts = [[0] * length for length in (5, 90, 7, 60, 6, 61)]
    assert batches(prompts, 2, 10, 10_000) == [[1, 5], [3, 2], [4, 0]]
    assert batches(prompts, 6, 10, 150) == [[1], [5, 3], [2, 4, 0]]
