"""Protocols of passages, against the loops they are named after, run on the network itself; the dense model beside."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from crushtest import load_engine
from crushtest.engines.hf import likelihood
from crushtest.engines.hf.model import HfModel
from crushtest.engines.token_engine import TokenEngine
from crushtest.models.load import LoadedModel
from crushtest.records import Passage, PassageScore
from support.tiny_models import SENTENCES, loaded, tokenizer

TEXT = " ".join(SENTENCES) * 4 + " Ein Käse für die Bären."
BACKEND = pytest.mark.parametrize("kind", ["llama", "gemma2"])  # one that is run in packs, one that is not


def encoded(model: LoadedModel, text: str = TEXT) -> torch.Tensor:
    return torch.tensor([model.tokenizer(text)["input_ids"]])


def logits(model: LoadedModel, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.network(ids).logits[0].double()


def scored(engine: TokenEngine[HfModel], passage: Passage) -> PassageScore:
    ((_, score),) = engine.passages([passage])
    return score


@BACKEND
def test_pruning_is_the_evaluation_loop_of_the_pruning_papers(kind: str) -> None:
    # nsamples = numel // seqlen; per sample the mean loss of logits[:-1] against labels[1:], times seqlen;
    # perplexity = exp(sum / (nsamples * seqlen)).
    engine, length = load_engine(loaded(kind), pack_tokens=64), 50
    ids = encoded(engine.model.loaded)
    samples = ids.shape[1] // length
    losses = []
    for sample in range(samples):
        part = ids[:, sample * length : (sample + 1) * length]
        loss = torch.nn.functional.cross_entropy(logits(engine.model.loaded, part)[:-1], part[0, 1:])
        losses.append(loss * length)
    expected = torch.exp(torch.stack(losses).sum() / (samples * length)).item()
    score = scored(engine, Passage(TEXT, length, "pruning"))
    assert math.exp(-score.logprob / score.tokens) == pytest.approx(expected, rel=1e-5)
    assert score.tokens == samples * (length - 1)
    assert ids.shape[1] % length != 0, "otherwise nothing is left out"


@BACKEND
def test_sliding_is_the_loop_of_the_transformers_documentation(kind: str) -> None:
    engine, length, stride = load_engine(loaded(kind), pack_tokens=64), 60, 20
    ids = encoded(engine.model.loaded)
    total, count, previous = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + length, ids.shape[1])
        part, target = ids[:, begin:end], ids[:, begin:end].clone()
        target[:, : -(end - previous)] = -100
        labels = target[0, 1:]
        loss = torch.nn.functional.cross_entropy(logits(engine.model.loaded, part)[:-1], labels, reduction="sum")
        total, count, previous = total + loss.item(), count + int((labels != -100).sum()), end
        if end == ids.shape[1]:
            break
    score = scored(engine, Passage(TEXT, length, "sliding", stride))
    assert (score.logprob, score.tokens) == (pytest.approx(-total, abs=1e-3), count)


def test_bytes_are_those_of_the_predicted_tokens() -> None:
    engine = load_engine(loaded())
    model = engine.model.loaded
    text = "The river had risen in the night. Ein Käse."
    ids = encoded(model, text)[0].tolist()
    whole, length = len(text.encode()), 4
    kept = len(ids) // length * length
    predicted = [token for place, token in enumerate(ids[:kept]) if place % length]
    assert scored(engine, Passage(text)).bytes == whole
    expected = len(b"".join(model.tokenizer.decode([token]).encode() for token in predicted))
    assert scored(engine, Passage(text, length, "pruning")).bytes == pytest.approx(expected, abs=4)
    assert expected < whole - 4


# ---- beside the dense model


def blurred(model: LoadedModel) -> LoadedModel:
    """The same model with all weights but the embedding disturbed a little."""
    network = copy.deepcopy(model.network)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "embed" not in name:
                weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return replace(model, network=network)


@BACKEND
def test_divergence_is_that_of_both_networks_own_predictions(kind: str) -> None:
    dense = loaded(kind)
    engine = load_engine(blurred(dense), pack_tokens=64)
    engine.comparison.dense = dense
    passages = [Passage(sentence * 2, 30, against_dense=True) for sentence in SENTENCES]
    plain = dict(
        load_engine(engine.model.loaded, pack_tokens=64).passages([replace(p, against_dense=False) for p in passages])
    )
    for index, score in engine.passages(passages):
        ids = torch.cat([torch.tensor([[0]]), encoded(dense, passages[index].text)], dim=1)
        kl, agree = [], 0
        for first in range(1, ids.shape[1], 30):
            end = min(first + 30, ids.shape[1])
            begin = max(end - 31, 0)
            part = ids[:, begin : end - 1]
            p, q = (
                log_softmax(logits(model, part).numpy(), -1)[first - 1 - begin :]
                for model in (dense, engine.model.loaded)
            )
            kl += (np.exp(p) * (p - q)).sum(-1).tolist()
            agree += int((p.argmax(-1) == q.argmax(-1)).sum())
        assert score.kl is not None
        assert sorted(score.kl) == pytest.approx(sorted(kl), rel=2e-2, abs=1e-5)
        assert sum(score.kl) == pytest.approx(sum(kl), rel=1e-3)
        assert (score.agree, len(score.kl)) == (agree, score.tokens)
        assert max(kl) > 1e-3, "otherwise this tests nothing"
        assert score.logprob == pytest.approx(plain[index].logprob, abs=1e-4)


@pytest.mark.parametrize("padding", [-80, 0, 80])
def test_models_of_differently_padded_vocabularies_are_compared_row_by_row(
    padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(tokenizer())
    dense = loaded(seed=1, vocab_size=size + 80 + padding)
    engine = load_engine(loaded(vocab_size=size + 80), pack_tokens=64)
    engine.comparison.dense = dense
    passages = [Passage(sentence, against_dense=True) for sentence in SENTENCES]
    at_once = dict(engine.passages(passages))
    # Few rows at once, and not equally many of both.
    monkeypatch.setattr(likelihood, "LOGITS", 6 * (size + 80))
    for index, score in engine.passages(passages):
        assert score.kl == pytest.approx(at_once[index].kl, rel=1e-4)
        assert score.agree == at_once[index].agree


def test_the_dense_model_does_not_differ_from_itself() -> None:
    engine = load_engine(loaded())
    engine.comparison.dense = engine.model.loaded
    score = scored(engine, Passage(SENTENCES[0], against_dense=True))
    assert (score.kl, score.agree) == ((0.0,) * score.tokens, score.tokens)


def test_without_a_dense_model_or_the_question_nothing_is_compared() -> None:
    engine = load_engine(loaded())
    assert scored(engine, Passage(SENTENCES[0], against_dense=True)).kl is None
    engine.comparison.dense = loaded("gpt2")
    assert scored(engine, Passage(SENTENCES[0])).kl is None


def test_interrupted_comparisons_give_the_same_numbers() -> None:
    dense = loaded()
    engine = load_engine(blurred(dense), pack_tokens=64)
    engine.comparison.dense = dense
    passages = [Passage(sentence, against_dense=True) for sentence in SENTENCES]
    whole = dict(engine.passages(passages))
    rest = dict(engine.passages(passages, done={0, 2}))
    assert rest == {index: score for index, score in whole.items() if index not in {0, 2}}
