"""Engine `hf` with rounded keys and values, against attention written out, and against itself on its other paths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from torch import Tensor
from transformers import AttentionInterface

from crushtest import load_engine
from crushtest.engines.base import Reference
from crushtest.engines.encoding import encode_options
from crushtest.engines.hf.kivi import RESIDUAL, Kivi
from crushtest.engines.hf.kv_cache import STORED, q8_0
from crushtest.engines.packing import Line
from crushtest.errors import EngineError, ModelError
from crushtest.models.load import LoadedModel
from crushtest.records import Choices, Passage, Prompt, Sampling
from crushtest.registry import ENGINES
from crushtest.stats import compares
from support.tiny_models import CONFIGS, SENTENCES, loaded, network, run_plainly, tokenizer

KINDS = {
    "llama": {"head_dim": 64},
    "qwen3": {"head_dim": 64, "num_key_value_heads": 1},
    "gpt_neox": {"hidden_size": 128, "num_attention_heads": 4},
    "gemma2": {"head_dim": 64, "num_hidden_layers": 1},  # its softmax is float32, which a second layer's rounding sees
    "granite": {"hidden_size": 128, "num_attention_heads": 4},
}
"""Heads of whole blocks; the last two are not run in packs."""
OPTIONS = (" the dog", " nobody can tell", " the river had risen in the night")
QUESTIONS = [Choices(sentence[:end], OPTIONS) for sentence in SENTENCES for end in (12, 24, 36)]
LONG = " ".join(SENTENCES * 3)
PROMPTS = [Prompt(sentence[:end]) for sentence in SENTENCES for end in (3, 20, 40)]


def exact(kind: str = "llama", **settings: Any) -> LoadedModel:
    """A model in float64, where paths that differ in the order of a sum still round alike."""
    model = loaded(kind, **(KINDS[kind] | settings))
    model.network.double()
    return model


def by_matrix(values: Tensor, kv: str, *, paired: bool) -> Tensor:
    """A round trip with the order and the rotation as one matrix, [..., 64 or 32]."""
    size = values.shape[-1]
    order = torch.eye(size)
    if paired:
        order = torch.zeros(size, size)
        for channel in range(size):
            order[channel, 2 * channel if channel < size // 2 else 2 * (channel - size // 2) + 1] = 1
    turn = torch.ones(1, 1)
    while len(turn) < size:
        turn = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), turn)
    matrix = order @ (turn / size**0.5 if size == 64 else torch.eye(size))
    stored = q8_0 if kv == "query" else STORED[kv]
    return (stored(values.float() @ matrix) @ matrix.T).to(values.dtype)


@contextmanager
def written_out(model: LoadedModel, kv: str, *, paired: bool) -> Iterator[None]:
    """Attention in plain PyTorch, one query at a time, that rounds what it is given."""

    def attention(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
        groups = query.shape[1] // key.shape[1]
        query = by_matrix(query, "query", paired=paired)
        key = by_matrix(key, kv, paired=paired).repeat_interleave(groups, 1)
        value = by_matrix(value, kv, paired=False).repeat_interleave(groups, 1)
        before = key.shape[2] - query.shape[2]
        answers = []
        for place in range(query.shape[2]):
            seen = before + place + 1
            scores = (key[0, :, :seen] @ query[0, :, place, :, None])[..., 0] * options["scaling"]
            if options.get("softcap"):
                scores = (scores / options["softcap"]).tanh() * options["softcap"]
            answers.append((scores.softmax(-1)[:, :, None] * value[0, :, :seen]).sum(1))
        return torch.stack(answers)[None], None

    AttentionInterface.register("written_out", attention)
    model.network.config._attn_implementation = "written_out"
    yield
    model.network.config._attn_implementation = "sdpa"


ONE_STEP = 2e-4
"""What a key or value at the border of two steps moves a score by, which processors round to either."""


def scores(engine: Any, questions: list[Choices]) -> list[float]:
    answers = sorted(engine.choices(questions), key=lambda pair: pair[0])
    return [logprob for _, answer in answers for logprob in answer.logprobs]


@pytest.mark.parametrize("kv", ["q8_0", "q4_0"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_scores_are_those_of_attention_written_out(kind: str, kv: str) -> None:
    model = exact(kind)
    engine: Any = load_engine(model, pack_tokens=64, kv=kv)
    asked = QUESTIONS[:3]
    found = scores(engine, asked)
    assert found != pytest.approx(scores(load_engine(model), asked), abs=1e-6), "otherwise this tests nothing"
    lines = encode_options(engine.model.tokenizer, [(q.context, option) for q in asked for option in q.options])
    with written_out(model, kv, paired=kind in ("llama", "granite")), torch.inference_mode():
        for line, logprob in zip(lines, found, strict=True):
            ids = torch.tensor([line.tokens])
            logits = model.network(ids[:, :-1]).logits[0].double().log_softmax(-1)
            expected = logits[torch.arange(line.start - 1, ids.shape[1] - 1), ids[0, line.start :]].sum()
            assert logprob == pytest.approx(float(expected), abs=ONE_STEP)


@pytest.mark.parametrize("kv", ["q8_0", "q4_0"])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt_neox"])
def test_packs_read_what_plain_batches_read(kind: str, kv: str) -> None:
    packed, plain = (load_engine(exact(kind), pack_tokens=64, kv=kv) for _ in range(2))
    run_plainly(plain)
    examples = "\n\n".join(SENTENCES[:2])
    asked = [*QUESTIONS, *(Choices(f"{examples}\n\n{question.context}", OPTIONS) for question in QUESTIONS)]
    assert scores(packed, asked) == pytest.approx(scores(plain, asked), abs=1e-6)
    texts = [Passage(LONG, window) for window in (None, 50)]
    windows = [{i: s.logprob for i, s in engine.passages(texts)} for engine in (packed, plain)]
    assert windows[0] == pytest.approx(windows[1], abs=1e-6)
    sampling = Sampling(max_tokens=12)
    assert dict(packed.generate(PROMPTS, sampling)) == dict(plain.generate(PROMPTS, sampling))


def write_greedily(engine: Any, prompts: list[list[int]], count: int) -> tuple[Tensor, Tensor]:
    """Tokens that follow the prompts, and the logits that each was chosen by: [prompts, count (, vocabulary)]."""
    decoder = engine.model.packed_decoder()
    logits = [decoder.prefill(prompts, count)]
    for _ in range(count - 1):
        logits.append(decoder.step(logits[-1].argmax(-1)))
    return torch.stack(logits, 1).argmax(-1), torch.stack(logits, 1)


@pytest.mark.parametrize("kv", ["q8_0", "q4_0", "kivi4", "kivi2"])
def test_written_tokens_are_the_likeliest_when_scored(kv: str) -> None:
    engine: Any = load_engine(exact(), pack_tokens=64, kv=kv)
    tokens = engine.model.loaded.tokenizer(LONG)["input_ids"]
    prompts = [tokens[:count] for count in (3, 118, 127, 130)]
    written, chosen_by = write_greedily(engine, prompts, 20)
    plain = engine.model.padded
    for row, prompt in enumerate(prompts):
        line = Line([*prompt, *written[row].tolist()], len(prompt))
        [prediction] = plain.predictions(plain.plan([line]), 0)
        torch.testing.assert_close(prediction.logits, chosen_by[row], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", ["gemma2", "granite"])
def test_models_without_packs_write_what_scores_best(kind: str) -> None:
    engine: Any = load_engine(exact(kind), kv="q4_0")
    plain, tokenizer = engine.model.padded, engine.model.loaded.tokenizer
    for index, made in engine.generate(PROMPTS[:4], Sampling(max_tokens=6)):
        tokens = tokenizer(PROMPTS[index].text)["input_ids"]
        written: list[int] = []
        while len(written) < made.tokens:
            line = Line([*tokens, *written, 0], len(tokens) + len(written))
            [prediction] = plain.predictions(plain.plan([line]), 0)
            written.append(int(prediction.logits.argmax()))
        assert made.text == tokenizer.decode(written, skip_special_tokens=True)


@pytest.mark.parametrize(("less", "more"), [("q8_0", "q4_0"), ("kivi4", "kivi2")])
def test_fewer_bits_do_more_damage(less: str, more: str) -> None:
    divergences = []
    for kv in (less, more):
        engine = load_engine(exact(), kv=kv)
        engine.attach_reference(Reference(load=exact, top_k=None, folder=Path(), keep=False))
        ((_, score),) = engine.passages([Passage(LONG, against_dense=True)])
        assert score.kl
        divergences.append(sum(score.kl))
    assert 0 < 2 * divergences[0] < divergences[1]


@pytest.mark.parametrize("kv", ["q4_0", "kivi2"])
def test_divergence_is_from_dense_as_its_own_arm_runs(kv: str) -> None:
    for own in ("q4_0", "kivi2", "none"):
        engine = load_engine(exact(), kv=own)
        engine.attach_reference(Reference(load=exact, top_k=None, folder=Path(), keep=False, options={"kv": kv}))
        ((_, score),) = engine.passages([Passage(LONG, against_dense=True)])
        assert score.kl is not None
        assert (max(score.kl) < 1e-9) == (own == kv)


def as_published(bits: int) -> Any:
    """KIVI's attention over caches of its own, as the paper's algorithm has it: one prompt, then a token at a time."""
    caches: dict[int, dict[str, Tensor]] = {}

    def grid(values: Tensor) -> Tensor:
        low, high = values.min(), values.max()
        step = (high - low) / (2**bits - 1)
        codes = torch.round((values - low) / step) if step else values - low
        return codes * step.half() + low.half()

    def per_channel(keys: Tensor) -> Tensor:
        rounded = keys.clone()
        for head, first, channel in np.ndindex(len(keys), keys.shape[1] // 32, keys.shape[2]):
            rounded[head, 32 * first : 32 * first + 32, channel] = grid(
                keys[head, 32 * first : 32 * first + 32, channel].float()
            )
        return rounded

    def per_token(values: Tensor) -> Tensor:
        rounded = values.clone()
        for head, token, first in np.ndindex(len(values), values.shape[1], values.shape[2] // 32):
            rounded[head, token, 32 * first : 32 * first + 32] = grid(
                values[head, token, 32 * first : 32 * first + 32].float()
            )
        return rounded

    def attention(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
        key, value, groups = key[0], value[0], query.shape[1] // key.shape[1]
        if module.layer_idx not in caches:
            keys, values = key, value
            whole = key.shape[1] - key.shape[1] % RESIDUAL
            old = max(value.shape[1] - RESIDUAL, 0)
            caches[module.layer_idx] = {
                "keys": per_channel(key[:, :whole]),
                "new keys": key[:, whole:],
                "values": per_token(value[:, :old]),
                "new values": value[:, old:],
            }
        else:
            cache = caches[module.layer_idx]
            cache["new keys"] = torch.cat([cache["new keys"], key], 1)
            cache["new values"] = torch.cat([cache["new values"], value], 1)
            keys = torch.cat([cache["keys"], cache["new keys"]], 1)
            values = torch.cat([cache["values"], cache["new values"]], 1)
            if cache["new keys"].shape[1] == RESIDUAL:
                cache["keys"] = torch.cat([cache["keys"], per_channel(cache["new keys"])], 1)
                cache["new keys"] = key[:, :0]
            if cache["new values"].shape[1] > RESIDUAL:
                cache["values"] = torch.cat([cache["values"], per_token(cache["new values"][:, :1])], 1)
                cache["new values"] = cache["new values"][:, 1:]
        count, seen = query.shape[2], keys.shape[1]
        scores = query[0] @ keys.repeat_interleave(groups, 0).transpose(1, 2) * options["scaling"]
        scores = scores.masked_fill(torch.ones(count, seen).triu(seen - count + 1).bool(), float("-inf"))
        return (scores.softmax(-1) @ values.repeat_interleave(groups, 0)).transpose(0, 1)[None], None

    return attention


@pytest.mark.parametrize("prompt", [90, 127, 140])
def test_kivi_reads_what_its_papers_algorithm_reads(prompt: int) -> None:
    model = exact(num_hidden_layers=2)
    engine: Any = load_engine(model, kv="kivi2")
    tokens = engine.model.loaded.tokenizer(LONG * 2)["input_ids"][: prompt + 60]
    line, plain = Line(tokens, prompt), engine.model.padded
    [prediction] = plain.predictions(plain.plan([line]), 0)
    AttentionInterface.register("as_published", as_published(2))
    model.network.config._attn_implementation = "as_published"
    with torch.inference_mode():
        steps = [tokens[:prompt], *([token] for token in tokens[prompt:-1])]
        place, logits = 0, []
        for step in steps:
            positions = torch.arange(place, place + len(step))[None]
            made = model.network(torch.tensor([step]), position_ids=positions, use_cache=False).logits
            logits.append(made[0, -1])
            place += len(step)
    torch.testing.assert_close(prediction.logits, torch.stack(logits), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kivi_without_rounding_attends_in_16_bits_as_plain_attention_does(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kivi, "_round", lambda self, values: values)
    draw = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(2, heads, 300, 64, generator=draw).to(dtype) for heads in (4, 2, 2))
    query = query * 4  # few tokens have all the weight, as in trained models
    plain = torch.nn.functional.scaled_dot_product_attention(
        *(each.double() for each in (query, key, value)), is_causal=True, enable_gqa=True
    )
    written = Kivi("kivi2", 2).attend_written(query, key, value, None)
    assert written.dtype == dtype
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(written.double(), plain.transpose(1, 2), rtol=step, atol=1e-4)


def test_kivi_changes_nothing_that_the_first_128_tokens_read() -> None:
    short = [Passage(sentence) for sentence in SENTENCES]
    rounded, plain = (dict(load_engine(exact(), kv=kv).passages(short)) for kv in ("kivi2", "none"))
    assert all(rounded[i].logprob == pytest.approx(plain[i].logprob, abs=1e-9) for i in plain)


@pytest.mark.parametrize(
    ("kind", "settings", "kv", "reason"),
    [
        ("llama", {}, "q4_0", "blocks of 32; this model's have 16"),
        ("llama", {}, "kivi2", "blocks of 32; this model's have 16"),
        ("mamba", {}, "q8_0", "attention cannot be replaced"),
        ("gemma2", {"head_dim": 64}, "kivi4", "soft cap"),
        ("mistral", {"head_dim": 64, "sliding_window": 64}, "kivi4", "sliding window"),
    ],
)
def test_models_that_a_cache_does_not_fit_are_refused(
    kind: str, settings: dict[str, Any], kv: str, reason: str
) -> None:
    with pytest.raises(EngineError, match=reason):
        load_engine(loaded(kind, **settings), kv=kv)


def test_another_cache_is_another_way_of_running() -> None:
    dense, arm = (load_engine(exact(), kv=kv).describe() for kv in ("none", "q4_0"))
    assert arm["kv"] == "q4_0"
    assert "kv" not in dense
    assert compares(dense, arm, other_weights=False) == "deployment delta"
    assert compares(dense, arm, other_weights=True) == "compression and deployment"


def test_attention_of_a_models_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, "falcon", {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2})
    with pytest.raises(EngineError, match="0 of 2 layers"):
        load_engine(loaded("falcon"), kv="q4_0")


def test_a_study_refuses_a_model_by_its_configuration(tmp_path: Path) -> None:
    check = ENGINES.get("hf").facts
    assert check is not None
    folders = {name: tmp_path / name for name in ("narrow", "wide", "latent")}
    for name, settings in (("narrow", {}), ("wide", {"head_dim": 64}), ("latent", {"head_dim": 64, "kv_lora_rank": 8})):
        for part in (network(**settings), tokenizer()):
            part.save_pretrained(folders[name])
    assert "distributions" in check(str(folders["narrow"]), kv="none")["answers"]
    assert "distributions" in check(str(folders["wide"]), kv="q4_0")["answers"]
    with pytest.raises(EngineError, match="blocks of 32"):
        check(str(folders["narrow"]), kv="kivi2")
    with pytest.raises(EngineError, match="projection"):
        check(str(folders["latent"]), kv="q4_0")


def test_a_study_fetches_no_weights_to_check_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = ENGINES.get("hf").facts
    assert check is not None
    network().config.save_pretrained(tmp_path)
    fetched = []

    def download(name: str, file: str, *, revision: str | None) -> str:
        fetched.append((name, file, revision))
        return str(tmp_path / file)

    def refuse(*args: Any, local_files_only: bool = False, **options: Any) -> str:
        assert local_files_only, "weights are not asked for"
        raise LocalEntryNotFoundError("not here")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(EngineError, match="blocks of 32"):
        check("org/narrow@main", kv="q4_0")
    assert fetched == [("org/narrow", "config.json", "main")]


def test_a_configuration_that_needs_trust_or_the_hub_is_left_to_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = ENGINES.get("hf").facts
    assert check is not None
    for part in (network(), tokenizer()):
        part.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    own = settings | {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    assert check(str(tmp_path), kv="q4_0")
    (tmp_path / "config.json").write_text(json.dumps(settings | {"model_type": "nobody_knows"}))
    with pytest.raises(ModelError, match="cannot read its configuration"):
        check(str(tmp_path), kv="q4_0")

    def unreachable(*args: Any, **options: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    assert check("org/nobody-has-this", kv="q4_0")
