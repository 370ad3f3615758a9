"""The vllm engine on a stand-in for vLLM: the numbers of its transformers twin, and none that vLLM did not compute."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from crushtest import load_engine
from crushtest.engines.packing import Line
from crushtest.engines.vllm import program, scoring
from crushtest.engines.vllm.scoring import CachedLogLikelihood, Store
from crushtest.errors import EngineError, ModelError, UsageError
from crushtest.pipeline.provenance import RAN_ON
from crushtest.records import Choices, Passage, Prompt, Sampling
from crushtest.registry import ENGINES
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec
from support.quantized_folders import write_folder
from support.tiny_models import SENTENCES, loaded
from support.vllm_stand_in import Behaviour, standing_in

# The second and third begin alike for more than a block of 4 tokens.
OPTIONS = (" the dog", " nobody can tell who was late", " nobody can tell who was there", " the river had risen")
QUESTIONS = [Choices(sentence[:end], OPTIONS) for sentence in SENTENCES for end in (12, 24, 25, 60)]
PROMPTS = [Prompt(sentence[:end]) for sentence in SENTENCES for end in (3, 20, 40)] + [
    Prompt(""),
    Prompt(SENTENCES[0][:20], sample=1),
    Prompt("Why?", chat=True, history=(("Who?", "Nobody."),)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "tiny"
    write_folder(root, None, {})
    return root


@pytest.fixture(scope="module")
def twin() -> Any:
    return load_engine(loaded(template=True))


@pytest.fixture
def stand_in() -> Iterator[Behaviour]:
    with standing_in() as behaviour:
        yield behaviour


def engine(folder: Path, **options: Any) -> Any:
    return load_engine(str(folder), engine="vllm", **({"dtype": "float32"} | options))


def with_examples() -> list[Choices]:
    front = "\n\n".join(SENTENCES)
    return [replace(question, context=f"{front}\n\n{question.context}") for question in QUESTIONS]


def by_index(pairs: Any) -> dict[int, Any]:
    return dict(sorted(pairs))


# ---- scores


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("block", [1, 4, 16])
def test_options_score_as_in_transformers(
    share: bool, block: int, folder: Path, twin: Any, stand_in: Behaviour
) -> None:
    asked = [*QUESTIONS, *with_examples(), Choices("", tuple(SENTENCES), protocol="first_apart")]
    ours = by_index(engine(folder, block=block, share=share).choices(asked))
    for index, theirs in twin.choices(asked):
        assert ours[index].logprobs == pytest.approx(theirs.logprobs, abs=2e-4)
        assert (ours[index].tokens, ours[index].bytes) == (theirs.tokens, theirs.bytes)


def test_sharing_changes_no_number_and_computes_less(folder: Path, stand_in: Behaviour) -> None:
    results, computed = [], []
    for share in (True, False):
        made = engine(folder, block=4, share=share)
        before = stand_in.computed
        results.append(by_index(made.choices(with_examples())))
        computed.append(stand_in.computed - before)
    for index, shared in results[0].items():
        assert shared.logprobs == pytest.approx(results[1][index].logprobs, abs=1e-4)
    assert computed[0] < computed[1] / 4


@pytest.mark.parametrize(("block", "again"), [(5, 0), (4, 1)])
def test_what_the_line_before_has_computed_is_not_asked_again(
    block: int, again: int, folder: Path, stand_in: Behaviour
) -> None:
    # Both have 12 tokens in common. Of 10 that are in the cache, the first line knows the log-probabilities; but where
    # 12 are, only the 13th of the first line was predicted.
    lines = [Line([*range(5, 17), last], 6) for last in (20, 30)]
    model = engine(folder, block=block).model
    stand_in.asked.clear()
    shared = [score for _, [score] in sorted(model.score([[line] for line in lines], ()))]
    assert stand_in.asked[0][1][1].found == 12 // block * block
    assert [len(call) for call in stand_in.asked] == [2] + [1] * again
    alone = replace(model, likelihood=replace(model.likelihood, shares=False))
    assert shared == pytest.approx([score for _, [score] in sorted(alone.score([[line] for line in lines], ()))])


@pytest.mark.parametrize(
    "wrong", [{"empties": False}, {"tells": False}], ids=["the cache holds other work", "vLLM does not tell"]
)
def test_what_nobody_computed_is_asked_again_without_the_cache(wrong: dict[str, Any], folder: Path, twin: Any) -> None:
    with standing_in(Behaviour(**wrong)) as stand_in:
        made = engine(folder, block=1)
        for _ in range(2):
            stand_in.asked.clear()
            ours = by_index(made.choices(QUESTIONS))
        again = [sampling for call in stand_in.asked[1:] for _, sampling in call]
    assert again
    assert all(sampling.skip_reading_prefix_cache for sampling in again)
    for index, theirs in twin.choices(QUESTIONS):
        assert ours[index].logprobs == pytest.approx(theirs.logprobs, abs=2e-4)


def test_a_cache_that_changes_scores_is_not_used(folder: Path, twin: Any) -> None:
    with standing_in(Behaviour(spoils=0.01)):
        made = engine(folder, block=4)
        assert "scores differ by 0." in made.describe()["scoring"]
        ours = by_index(made.choices(QUESTIONS))
    for index, theirs in twin.choices(QUESTIONS):
        assert ours[index].logprobs == pytest.approx(theirs.logprobs, abs=2e-4)


def test_a_cache_that_cannot_be_emptied_is_an_error(folder: Path) -> None:
    with standing_in() as stand_in:
        made = engine(folder)
        stand_in.refuses = True
        with pytest.raises(EngineError, match="empty its prefix cache"):
            by_index(made.choices(QUESTIONS))
        with pytest.raises(EngineError, match="empty its prefix cache"):
            by_index(made.generate(PROMPTS, Sampling(4)))


def test_passages_score_as_in_transformers(folder: Path, twin: Any, stand_in: Behaviour) -> None:
    text = " ".join(SENTENCES) + " Ein Käse."
    asked = [Passage(text, window) for window in (7, 50, 300)] + [Passage("")]
    asked += [Passage(text, 20, "pruning"), Passage(text, 20, "sliding", 7)]
    ours = by_index(engine(folder, block=4).passages(asked))
    for index, theirs in twin.passages(asked):
        assert ours[index].logprob == pytest.approx(theirs.logprob, abs=1e-3)
        assert (ours[index].tokens, ours[index].bytes) == (theirs.tokens, theirs.bytes)


def test_interrupted_scores_repeat_whole_parts(
    folder: Path, stand_in: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "LINES", 7)
    made = engine(folder, block=4)
    whole = by_index(made.choices(QUESTIONS))
    parts = [[tokens for tokens, _ in call] for call in stand_in.asked]
    for done in (frozenset(range(0, len(QUESTIONS), 2)), frozenset(range(9))):
        stand_in.asked.clear()
        rest = by_index(made.choices(QUESTIONS, done=done))
        assert rest == {index: scores for index, scores in whole.items() if index not in done}
        assert all([tokens for tokens, _ in call] in parts for call in stand_in.asked)


def test_parts_fit_into_the_store_and_hold_every_line_once() -> None:
    draw = random.Random(1)
    lines = [Line([draw.randrange(3) for _ in range(draw.randint(2, 40))], draw.randint(1, 2)) for _ in range(300)]
    store = Store(blocks=30, block=4)
    plan = CachedLogLikelihood(None, store, shares=True).plan(lines)
    edges = sorted((line, at) for part in plan for line, at in zip(part.lines, part.positions, strict=True))
    assert edges == sorted((n, at - 1) for n, line in enumerate(lines) for at in range(line.start, len(line.tokens)))
    assert len(plan) > 10
    for part in plan:
        full = {tuple(line.tokens[:end]) for line in part.asked for end in range(4, len(line.tokens) + 1, 4)}
        assert len(full) + len(part.asked) <= store.blocks


@pytest.mark.parametrize("groups", [1, 3])
def test_parts_leave_vllm_the_block_that_it_keeps(groups: int, folder: Path) -> None:
    lines = [Line([*range(5 * n, 5 * n + 8), 1], 1) for n in range(1, 9)]
    # Two lines would take all blocks: each takes 3 in each group.
    with standing_in(Behaviour(groups=groups, blocks=6 * groups)) as stand_in:
        model = engine(folder, block=4, share=False).model
        sharing = replace(model, likelihood=replace(model.likelihood, shares=True))
        assert len(dict(sharing.score([[line] for line in lines], ()))) == len(lines)
    assert model.likelihood.store == Store((6 * groups - 1) // groups, 4)
    assert stand_in.interrupted == 0


def test_interrupted_prompts_are_asked_again_without_the_cache(folder: Path, twin: Any, stand_in: Behaviour) -> None:
    made = engine(folder, block=4)
    stand_in.blocks = 40  # behind its back
    ours = by_index(made.choices(QUESTIONS))
    assert stand_in.interrupted
    for index, theirs in twin.choices(QUESTIONS):
        assert ours[index].logprobs == pytest.approx(theirs.logprobs, abs=2e-4)


def test_nothing_is_shared_in_a_store_that_cannot_be_counted(folder: Path) -> None:
    with standing_in(Behaviour(groups=None)):
        made = engine(folder)
    assert "does not say how many blocks" in made.describe()["scoring"]
    assert made.model.likelihood.shares is False


def test_a_context_too_short_for_the_trial_shares_nothing(folder: Path, twin: Any, stand_in: Behaviour) -> None:
    made = engine(folder, context=8)
    assert "32 tokens of context" in made.describe()["scoring"]
    short = [Choices("The", (" dog",))]
    [(_, ours)], [(_, theirs)] = made.choices(short), twin.choices(short)
    assert (ours.tokens, ours.logprobs) == (theirs.tokens, pytest.approx(theirs.logprobs, abs=2e-4))


def test_texts_beyond_the_context_are_cut_and_counted(folder: Path, stand_in: Behaviour) -> None:
    long = engine(folder, context=64)
    by_index(long.choices([Choices(" ".join(SENTENCES), (" dog",))]))
    by_index(long.generate([Prompt(" ".join(SENTENCES))], Sampling(8)))
    described = long.describe()
    assert (described["truncated"], described["context_tokens"]) == (2, 62)
    assert max(len(tokens) for call in stand_in.asked for tokens, _ in call) == 63


# ---- completions


@pytest.mark.parametrize("stop", [(), (" the",), ("e", "river")])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_greedy_completions_are_those_of_transformers(
    stop: tuple[str, ...], batch_size: int, folder: Path, twin: Any, stand_in: Behaviour
) -> None:
    sampling = Sampling(max_tokens=12, stop=stop)
    ours = by_index(engine(folder, batch_size=batch_size).generate(PROMPTS, sampling))
    assert ours == by_index(twin.generate(PROMPTS, sampling))


def test_drawn_completions_have_a_seed_of_their_own(folder: Path, stand_in: Behaviour) -> None:
    made = engine(folder)
    stand_in.asked.clear()
    drawn = Sampling(6, temperature=0.7, top_p=0.9, seed=3, stop=("zz",))
    by_index(made.generate(PROMPTS, drawn))
    by_index(made.generate([PROMPTS[4]], drawn))
    settings = {tokens: sampling for call in stand_in.asked for tokens, sampling in call}
    assert len({sampling.seed for sampling in settings.values()}) == len(PROMPTS) - 1
    assert stand_in.asked[-1][0][1].seed in [sampling.seed for _, sampling in stand_in.asked[0]]
    for sampling in settings.values():
        assert (sampling.temperature, sampling.top_p, sampling.stop) == (0.7, 0.9, ["zz"])
        assert sampling.stop_token_ids == [1]


def test_an_end_token_is_neither_counted_nor_shown(folder: Path, stand_in: Behaviour, tmp_path: Path) -> None:
    [(_, whole)] = engine(folder).generate([Prompt("The")], Sampling(12))
    written = stand_in.written[-1]
    write_folder(tmp_path, None, {})
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [1, written[5]]}))
    made = engine(tmp_path)
    [(_, ended)] = made.generate([Prompt("The")], Sampling(12))
    count = written.index(written[5])
    assert made.model.ends == {1, written[5]}
    assert (whole.stop, ended.stop, ended.tokens) == ("length", "eos", count)
    assert ended.text == made.model.tokenizer.decode(written[:count])


def test_a_broken_model_gives_no_answers(folder: Path) -> None:
    with standing_in() as stand_in:
        made = engine(folder)
        stand_in.broken = True
        with pytest.raises(EngineError, match="NaN"):
            by_index(made.choices(QUESTIONS))
        with pytest.raises(EngineError, match="NaN"):
            by_index(made.generate(PROMPTS, Sampling(4)))


def test_a_vllm_that_fails_is_told_in_one_line(folder: Path, stand_in: Behaviour) -> None:
    made = engine(folder)
    stand_in.fails = RuntimeError("CUDA out of memory\nand more")
    for ask in (lambda: made.choices(QUESTIONS), lambda: made.generate(PROMPTS, Sampling(4))):
        with pytest.raises(EngineError, match=r"vLLM failed: CUDA out of memory$"):
            by_index(ask())


# ---- what runs


def test_it_says_what_ran(folder: Path, stand_in: Behaviour) -> None:
    facts = engine(folder).describe()
    assert facts["program"] == "vllm 0.0.stand-in"
    assert list(facts["model_sha256"]) == ["model.safetensors"]
    assert (facts["dtype"], facts["device"], facts["quantization"]) == ("float32", "cpu", None)
    assert facts["chat_template_sha256"] is not None
    assert (facts["kv"], facts["tensor_parallel"]) == ("auto", 1)
    assert facts["sampling"] == {"drawn": "by vLLM", "added": {}}


def test_other_stores_and_layouts_count_as_running_otherwise(folder: Path, stand_in: Behaviour) -> None:
    variants: list[dict[str, Any]] = [{}, {"kv": "fp8"}, {"block": 4}, {"batch": 64}, {"share": False}, {"eager": True}]
    assert len({engine(folder, **options).describe()["scoring"] for options in variants}) == len(variants)


def test_the_environment_that_changes_numbers_is_a_fact(
    folder: Path, stand_in: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"VLLM_BATCH_INVARIANT": "1", "VLLM_API_KEY": "a secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING", raising=False)
    facts = engine(folder).describe()
    assert facts["environment"] == {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_BATCH_INVARIANT": "1"}
    assert {"tensor_parallel", "environment"} <= set(RAN_ON) & set(facts)


def test_a_closed_engine_has_shut_vllm_down_once(folder: Path, stand_in: Behaviour) -> None:
    made = engine(folder)
    for _ in range(2):
        made.close()
    assert stand_in.stopped == 1


def test_a_trial_that_fails_shuts_vllm_down(folder: Path) -> None:
    with standing_in(Behaviour(refuses=True)) as stand_in, pytest.raises(EngineError, match="empty"):
        engine(folder)
    assert stand_in.stopped == 1


def test_options_are_handed_on_by_vllms_names(folder: Path, stand_in: Behaviour) -> None:
    engine(
        folder, kv="fp8", context=100, batch=99, batch_size=7, block=4, tensor_parallel=2, gpu_memory=0.3, eager=True
    )
    [settings] = stand_in.started
    assert settings["kv_cache_dtype"] == "fp8"
    assert settings["max_model_len"] == 100
    assert (settings["max_num_batched_tokens"], settings["max_num_seqs"]) == (99, 7)
    assert settings["block_size"] == 4
    assert settings["tensor_parallel_size"] == 2
    assert settings["gpu_memory_utilization"] == 0.3
    assert settings["enforce_eager"] is True
    assert settings["load_format"] == "safetensors"
    assert settings["trust_remote_code"] is False


def test_several_gpus_are_run_by_processes_of_vllms_own(folder: Path, stand_in: Behaviour) -> None:
    engine(folder, tensor_parallel=2)
    engine(folder)
    assert [each.get("distributed_executor_backend") for each in stand_in.started] == ["mp", None]


def test_a_gpu_keeps_vllms_own_block_size(folder: Path) -> None:
    with standing_in(Behaviour(on_cpu=False)) as stand_in:
        assert engine(folder).describe()["device"] == "cuda"
    assert "block_size" not in stand_in.started[0]


def test_the_rest_of_the_process_can_still_set_its_threads(folder: Path, stand_in: Behaviour) -> None:
    before = torch.set_num_threads
    engine(folder)
    assert torch.set_num_threads is before


def test_quantizations_that_only_vllm_reads_are_left_to_it(tmp_path: Path, stand_in: Behaviour) -> None:
    root = tmp_path / "modelopt"
    write_folder(root, None, {})
    (root / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    with pytest.raises(ModelError, match="modelopt"):
        load_engine(str(root))
    assert by_index(engine(root).choices(QUESTIONS[:1]))


# ---- refusals


def refused(model: str, **options: Any) -> str:
    with pytest.raises((EngineError, ModelError)) as raised:
        ENGINES.get("vllm").facts(model, **ENGINES.get("vllm").bind(options))  # type: ignore[misc]
    with pytest.raises((EngineError, ModelError)):
        load_engine(model, engine="vllm", **options)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_without_vllm_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "is_installed", lambda: False)
    assert "pip install 'crushtest[vllm]'" in refused(str(folder))


def test_a_folder_named_vllm_is_not_vllm(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert "needs vLLM" in refused(str(folder))


def test_a_vllm_that_does_not_import_is_told_in_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise ImportError('libcuda is missing\\nand more')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match=r"libcuda is missing\); install it anew: pip install [^\n]*$"):
        engine(folder)


@pytest.mark.parametrize("kv", ["int8_per_token_head", "int4_per_token_head", "nvfp4"])
def test_stores_that_score_wrongly_on_a_cpu_are_refused_there(kv: str, folder: Path, stand_in: Behaviour) -> None:
    assert "wrong scores" in refused(str(folder), kv=kv)
    stand_in.on_cpu = False
    assert engine(folder, kv=kv).describe()["scoring"].endswith(f"kv {kv}")


def test_models_that_vllm_does_not_read_are_refused(tmp_path: Path, stand_in: Behaviour) -> None:
    assert "GGUF" in refused("model.gguf")
    assert "openai" in refused("http://localhost:1/v1")
    assert "no such folder" in refused(str(tmp_path / "missing"))
    for name, config in {"mlx": {"quantization": {"bits": 4, "group_size": 64}}, "bitsandbytes": {}}.items():
        write_folder(tmp_path / name, None, config or {"quantization_config": {"quant_method": name}})
        assert name in refused(str(tmp_path / name)).lower()
    stand_in.methods = (*stand_in.methods, "bitsandbytes")
    with standing_in(replace(stand_in)):
        assert ENGINES.get("vllm").facts(str(tmp_path / "bitsandbytes"), **ENGINES.get("vllm").bind({}))  # type: ignore[misc]


def test_what_vllm_says_becomes_one_line(folder: Path, stand_in: Behaviour) -> None:
    with pytest.raises(EngineError, match=r"does not run: User-specified max_model_len \(9999\) is too long$"):
        engine(folder, context=9999)


def test_a_loaded_model_is_refused(stand_in: Behaviour) -> None:
    with pytest.raises(EngineError, match="loads its models itself"):
        load_engine(loaded(), engine="vllm")


def study(**content: Any) -> Any:
    return make_plan(build_spec({"model": "org/model", "engine": "vllm", "suite": ["probe_qa"], **content}, where="x"))


def test_the_study_says_what_is_trusted() -> None:
    assert study().dense.engine_options["trust_remote_code"] is False
    plan = study(trust_remote_code=True, arms=[{"name": "b", "model": "org/b", "engine": "vllm:kv=fp8"}])
    assert [arm.engine_options["trust_remote_code"] for arm in plan.arms] == [True, True]
    assert [arm.engine_options["allow_pickle"] for arm in plan.arms] == [False, False]
    for text in ("vllm:trust_remote_code=true", "vllm:allow_pickle=true"):
        with pytest.raises(UsageError, match="study's own setting"):
            study(arms=[{"name": "b", "model": "org/b", "engine": text}])


def test_recipes_do_not_run_in_vllm() -> None:
    with pytest.raises(UsageError, match="recipes run in engine 'hf' only"):
        study(arms=[{"recipe": "magnitude:sparsity=0.5"}])


def test_looking_at_engines_does_not_import_vllm() -> None:
    assert "vllm" in ENGINES.names()
    assert "vllm" not in sys.modules
