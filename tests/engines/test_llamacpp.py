"""The llamacpp engine on a tiny file: the numbers of its transformers twin, whatever the layout."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crushtest import load_engine
from crushtest.engines.encoding import encode, scored_bytes
from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.engines.packing import Line, plan_packs
from crushtest.errors import EngineError, UsageError
from crushtest.records import Choices, Passage, Prompt, Sampling
from support.tiny_gguf import tiny_file, write_gguf
from support.tiny_models import SENTENCES, loaded, tokenizer

library = pytest.importorskip("crushtest.engines.llamacpp.library")
if not library.is_installed():
    pytest.skip("needs llama.cpp: llama-cpp-py-sync or llama-cpp-python", allow_module_level=True)

EXACT = {"kv": "f32", "flash": "off", "threads": 1}
OPTIONS = (" the dog", " nobody can tell", " the river had risen in the night")
QUESTIONS = [Choices(sentence[:end], OPTIONS) for sentence in SENTENCES for end in (12, 24, 25, 36)]
PROMPTS = [Prompt(sentence[:end]) for sentence in SENTENCES for end in (3, 20, 40)] + [
    Prompt(""),
    Prompt(SENTENCES[0][:20], sample=1),
    Prompt("Why?", chat=True, history=(("Who?", "Nobody."),)),
]
TEXTS = [*SENTENCES, "", " ", "\n\n", "Käse 123\t456", "<s>Who</s> was", "x" * 300, "日本語 🙂🙂"]


def engine(path: Path | None = None, **options: Any) -> Any:
    return load_engine(str(path or tiny_file()), engine="llamacpp", **(EXACT | options))


@pytest.fixture(scope="module")
def twin() -> Any:
    return load_engine(loaded(template=True))


def with_examples() -> list[Choices]:
    front = "\n\n".join(SENTENCES)
    return [replace(question, context=f"{front}\n\n{question.context}") for question in QUESTIONS]


@pytest.mark.parametrize("pack_tokens", [16, 48, 2048])
@pytest.mark.parametrize("batch", [7, 512])
def test_options_score_as_in_transformers(pack_tokens: int, batch: int, twin: Any) -> None:
    asked = [*QUESTIONS, *with_examples(), Choices("", tuple(SENTENCES), protocol="first_apart")]
    ours = dict(engine(pack_tokens=pack_tokens, batch=batch).choices(asked))
    for index, theirs in twin.choices(asked):
        assert ours[index].logprobs == pytest.approx(theirs.logprobs, abs=2e-4)
        assert (ours[index].tokens, ours[index].bytes) == (theirs.tokens, theirs.bytes)


def test_passages_score_as_in_transformers(twin: Any) -> None:
    text = " ".join(SENTENCES) + " Ein Käse."
    asked = [Passage(text, window) for window in (None, 7, 50)] + [Passage("")]
    asked += [Passage(text, 20, "pruning"), Passage(text, 20, "sliding", 7)]
    ours = dict(engine(pack_tokens=64).passages(asked))
    for index, theirs in twin.passages(asked):
        assert ours[index].logprob == pytest.approx(theirs.logprob, abs=1e-3)
        assert (ours[index].tokens, ours[index].bytes) == (theirs.tokens, theirs.bytes)


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=12), Sampling(12, temperature=1.0, top_p=0.9, seed=2)])
@pytest.mark.parametrize(("batch_size", "pack_tokens"), [(1, 2048), (5, 24), (64, 2048)])
def test_completions_are_those_of_transformers(
    sampling: Sampling, batch_size: int, pack_tokens: int, twin: Any
) -> None:
    ours = dict(engine(batch_size=batch_size, pack_tokens=pack_tokens).generate(PROMPTS, sampling))
    assert ours == dict(twin.generate(PROMPTS, sampling))


def test_a_prompt_that_others_begin_with_is_continued_by_itself() -> None:
    prompts = [Prompt(SENTENCES[2][:end]) for end in range(20, 60, 2)]
    together = dict(engine(pack_tokens=16).generate(prompts, Sampling(max_tokens=6)))
    assert together == {i: dict(engine().generate([p], Sampling(max_tokens=6)))[0] for i, p in enumerate(prompts)}


def test_more_options_than_sequences_are_scored_in_several_packs() -> None:
    draw = random.Random(0)
    options = tuple(" " + "".join(draw.choices("abcdefgh ", k=9)) + "x" for _ in range(600))
    ((_, scores),) = engine(pack_tokens=100_000).choices([Choices("Who was", options)])
    alone = dict(engine().choices([Choices("Who was", (option,)) for option in options[::50]]))
    assert scores.logprobs[::50] == pytest.approx([s.logprobs[0] for _, s in sorted(alone.items())], abs=2e-4)


def test_packs_hold_no_more_lines_than_they_may() -> None:
    draw = random.Random(1)
    lines = [Line([draw.randrange(4) for _ in range(draw.randint(2, 12))], 1) for _ in range(200)]
    packs = plan_packs(lines, 50, most_lines=7)
    assert max(len(set(pack.lines.tolist())) for pack in packs if not pack.is_trunk) <= 7
    edges = sorted((line, token) for pack in packs for line, token in zip(pack.lines, pack.targets, strict=True))
    assert edges == sorted((index, token) for index, line in enumerate(lines) for token in line.tokens[1:])


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with heads of a whole block, which quantized keys and values need."""
    return write_gguf(tmp_path_factory.mktemp("wide") / "wide.gguf", loaded(head_dim=32))


@pytest.mark.parametrize("kv", ["f16", "q8_0"])
def test_interrupted_scores_are_the_same_bit_for_bit(kv: str, wide: Path) -> None:
    asked = with_examples() + QUESTIONS
    options = {"path": wide, "kv": kv, "flash": "on", "pack_tokens": 32}
    whole = dict(engine(**options).choices(asked))
    for done in (frozenset(range(0, len(asked), 2)), frozenset(range(9)), frozenset(range(3, len(asked)))):
        rest = dict(engine(**options).choices(asked, done=done))
        assert rest == {index: scores for index, scores in whole.items() if index not in done}


def test_coarser_keys_and_values_move_scores_further(wide: Path) -> None:
    exact = dict(engine(wide).choices(with_examples()))
    moved = []
    for kv in ("f16", "q8_0", "q4_0"):
        coarse = dict(engine(wide, kv=kv, flash="on").choices(with_examples()))
        moved.append(np.mean([np.abs(np.subtract(exact[i].logprobs, coarse[i].logprobs)).mean() for i in exact]))
    assert 0 < moved[0] < moved[1] < moved[2]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("add_bos", [False, True])
def test_tokens_are_those_of_transformers(text: str, add_bos: bool, tmp_path: Path) -> None:
    made = tokenizer().__class__(tokenizer_object=tokenizer()._tokenizer, bos_token="<s>", eos_token="</s>")
    made.add_bos_token = add_bos
    made.update_post_processor()
    theirs: Any = HfTokenizer(made)
    ours = engine(write_gguf(tmp_path / "bos.gguf", add_bos=add_bos)).model.tokenizer
    assert encode(ours, [text]) == encode(theirs, [text])
    assert ours.decode(encode(ours, [text])[0]) == theirs.decode(encode(theirs, [text])[0])
    for asked in (Passage(text, 5, "pruning"), Passage(text, 4, "sliding", 1)):
        assert scored_bytes(ours, asked, 512) == scored_bytes(theirs, asked, 512)
    assert (ours.start, ours.start_text) == (theirs.start, theirs.start_text)


def test_a_chat_is_rendered_as_transformers_renders_it(twin: Any) -> None:
    messages = [{"role": "user", "content": "Who {{ 1 + 1 }}?"}]
    ours = engine().model.tokenizer
    assert ours.has_template
    assert ours.render(messages) == twin.model.tokenizer.render(messages)


@pytest.mark.parametrize("name", ["llamacpp", "hf"])
def test_a_files_template_runs_in_a_sandbox(name: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "reaching.gguf", template="{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(EngineError, match="template does not render a message: access to attribute '__class__'"):
        list(load_engine(str(path), engine=name).generate([Prompt("Who?", chat=True)], Sampling(max_tokens=1)))


def test_a_model_in_several_files_is_told_by_all_of_them(tmp_path: Path) -> None:
    first = write_gguf(tmp_path / "a-00001-of-00002.gguf")
    write_gguf(tmp_path / "a-00002-of-00002.gguf")
    assert sorted(engine(first).describe()["model_sha256"]) == ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"]


def test_a_file_without_a_template_has_none(tmp_path: Path) -> None:
    plain = engine(write_gguf(tmp_path / "plain.gguf"))
    assert not plain.model.tokenizer.has_template
    assert plain.describe()["chat_template_sha256"] is None


def test_it_says_which_file_ran_in_which_library() -> None:
    facts = engine().describe()
    assert facts["supplier"].startswith("llama-cpp")
    assert len(facts["model_sha256"]) == len(facts["library_sha256"]) == 64
    assert facts["context_tokens"] == 512


def test_other_stores_and_layouts_count_as_running_otherwise() -> None:
    variants: list[dict[str, Any]] = [{}, {"kv": "f16"}, {"flash": "on"}, {"batch": 64}, {"pack_tokens": 64}]
    assert len({engine(**options).describe()["scoring"] for options in variants}) == len(variants)


def test_texts_beyond_the_context_are_cut_and_counted(twin: Any) -> None:
    words = " ".join(SENTENCES * 20)
    ours = engine()
    ((_, scores),) = ours.choices([Choices(words, (" dog",))])
    ((_, theirs),) = twin.choices([Choices(words, (" dog",))])
    assert scores.logprobs == pytest.approx(theirs.logprobs, abs=2e-4)
    assert ours.describe()["truncated"] == 1
    ((_, short),) = engine(context=64).choices([Choices(words, (" dog",))])
    assert short != scores


@pytest.mark.parametrize("content", [b"", b"no gguf", b"GGUF" + b"\0" * 20])
def test_a_file_that_llama_cpp_does_not_take_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(EngineError, match=r"llama\.cpp: .*bad\.gguf"):
        engine(tmp_path / "bad.gguf")


@pytest.mark.parametrize("model", ["some/model", "missing.gguf"])
def test_a_model_that_is_no_gguf_file_is_refused(model: str) -> None:
    with pytest.raises(EngineError, match="GGUF"):
        load_engine(model, engine="llamacpp")


def test_a_quantized_store_without_flash_attention_is_refused() -> None:
    with pytest.raises(UsageError, match="flash"):
        load_engine(str(tiny_file()), engine="llamacpp", kv="q8_0", flash="off")


def test_distributions_are_not_compared() -> None:
    ((_, score),) = engine().passages([Passage(SENTENCES[0], against_dense=True)])
    assert score.kl is None


def test_recurrent_models_run_every_line_by_itself(twin: Any) -> None:
    ours = engine()
    # No recurrent file is made here; the way is the same for any model.
    object.__setattr__(ours.model.file, "shares_prefixes", False)
    made = dict(ours.choices(QUESTIONS))
    for index, theirs in twin.choices(QUESTIONS):
        assert made[index].logprobs == pytest.approx(theirs.logprobs, abs=2e-4)
    assert dict(ours.generate(PROMPTS, Sampling(max_tokens=6))) == dict(twin.generate(PROMPTS, Sampling(max_tokens=6)))
