"""Tokens are counted as the engine reads them: what is announced is what goes through the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crushtest.engines.counting import count_tokens
from crushtest.engines.hf.model import HfModel, engine_of
from crushtest.engines.hf.sizes import Asked
from crushtest.engines.token_engine import TokenEngine
from crushtest.records import Choices, Kind, Passage, Prompt, Sampling
from support.tiny_models import loaded

ONE_TOKEN = Sampling(max_tokens=1)
"""Then nothing is read but the prompts."""
WORDS = st.text(alphabet="ab cdé\n", max_size=60)
CONTEXTS = st.sampled_from(["", "Two neighbours met at the market. ", "Nobody can tell: " * 30, "x"])
CHOICES = st.builds(
    Choices,
    st.one_of(CONTEXTS, WORDS),
    st.lists(WORDS.map(lambda text: f" z{text}"), min_size=1, max_size=3).map(tuple),
)
PASSAGES = st.builds(Passage, st.one_of(CONTEXTS, WORDS).map(lambda text: f"The {text}"))
PROMPTS = st.builds(Prompt, st.one_of(CONTEXTS, WORDS))


@pytest.fixture(scope="module", params=["llama", "mamba"])
def engine(request: pytest.FixtureRequest) -> TokenEngine[HfModel]:
    """One model that runs in packs, small enough for trunks, and one that does not."""
    return engine_of(loaded(request.param), Asked(32, 4))


@contextmanager
def reading(engine: TokenEngine[HfModel]) -> Iterator[list[int]]:
    """The sizes of what goes through the network."""
    sizes: list[int] = []
    embedding = engine.model.loaded.network.get_input_embeddings()
    watch = embedding.register_forward_pre_hook(lambda _, tokens: sizes.append(tokens[0].numel()))
    try:
        yield sizes
    finally:
        watch.remove()


def answer(engine: TokenEngine[HfModel], kind: Kind, requests: Sequence[Any], done: frozenset[int]) -> list[int]:
    with reading(engine) as sizes:
        if kind == "choices":
            list(engine.choices(requests, done=done))
        elif kind == "passages":
            list(engine.passages(requests, done=done))
        else:
            list(engine.generate(requests, ONE_TOKEN, done=done))
    return sizes


@pytest.mark.parametrize(("kind", "one"), [("choices", CHOICES), ("passages", PASSAGES), ("prompts", PROMPTS)])
@settings(max_examples=12)
@given(data=st.data())
def test_counted_tokens_are_those_that_go_through_the_network(
    engine: TokenEngine[HfModel], kind: Kind, one: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    requests = data.draw(st.lists(one, min_size=1, max_size=5))
    done = data.draw(st.frozensets(st.integers(0, len(requests) - 1)))
    truncated = engine.truncated
    counted = count_tokens(engine, kind, requests, ONE_TOKEN, done)
    assert engine.truncated == truncated
    assert counted.read == sum(answer(engine, kind, requests, done))
    assert engine.truncated - truncated == counted.truncated


def test_a_shared_context_is_read_once() -> None:
    engine = engine_of(loaded("llama"), Asked(512, 4))
    one = Choices("Two neighbours met at the market. " * 4, (" a", " b"))
    both = [one, Choices(one.context, (" c", " d"))]
    first, second = (count_tokens(engine, "choices", requests, ONE_TOKEN).read for requests in ([one], both))
    assert second - first <= 4


def test_at_most_as_many_tokens_are_written_as_sampling_allows() -> None:
    engine = engine_of(loaded("llama"), Asked(32, 2))
    prompts = [Prompt(text) for text in ("a", "b", "c")]
    counted = count_tokens(engine, "prompts", prompts, Sampling(max_tokens=5))
    assert counted.written == 15
    assert sum(text.tokens for _, text in engine.generate(prompts, Sampling(max_tokens=5))) <= 15
    rest = count_tokens(engine, "prompts", prompts, Sampling(max_tokens=5), frozenset({0, 1, 2}))
    assert (rest.read, rest.written) == (0, 0)
