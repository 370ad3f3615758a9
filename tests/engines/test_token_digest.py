"""Which tokens were scored: one digest for the same tokens, whatever engine sent them."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest import load_engine
from crushtest.engines.llamacpp.library import is_installed
from crushtest.engines.packing import Line
from crushtest.engines.token_digest import digest_of_lines, digest_of_scored
from crushtest.files.append_log import AppendLog
from crushtest.records import Choices, ChoiceScores, Completion, Passage, PassageScore, Prompt, Sampling
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import plan_tasks
from crushtest.study.rows import ANSWER_BUILDERS, ANSWERS
from crushtest.study.spec import build_spec
from support.served_stub import Stub, serving
from support.tiny_gguf import tiny_file
from support.tiny_models import SENTENCES, loaded

tokens = st.lists(st.integers(0, 2**31 - 1), min_size=2, max_size=6)
lines = st.lists(tokens.flatmap(lambda ids: st.builds(Line, st.just(ids), st.integers(1, len(ids) - 1))), max_size=3)
needs_llama = pytest.mark.skipif(not is_installed(), reason="needs llama.cpp: llama-cpp-py-sync or llama-cpp-python")
QUESTIONS = [Choices(sentence[:end], (" the dog", " nobody")) for sentence in SENTENCES for end in (10, 30)]
QUESTIONS += [Choices("", tuple(SENTENCES), protocol="first_apart"), Choices("Why?", (" A", " B"), chat=True)]
PASSAGES = [Passage(sentence * 3, window) for sentence in SENTENCES for window in (None, 7)] + [Passage("")]
PROMPTS = [Prompt(SENTENCES[0][:20]), Prompt(""), Prompt("Why?", chat=True, history=(("Who?", "Nobody."),))]
GREEDY = Sampling(max_tokens=3)


@given(lines, lines)
def test_lines_have_one_digest_exactly_if_they_are_the_same(one: list[Line], other: list[Line]) -> None:
    assert (digest_of_lines(one) == digest_of_lines(other)) == (one == other)
    assert digest_of_lines(one) == digest_of_lines([Line(tuple(line.tokens), line.start) for line in one])


@given(tokens, st.integers(1, 5))
def test_the_digest_of_a_text_does_not_depend_on_its_windows(ids: list[int], window: int) -> None:
    starts = range(1, len(ids), window)
    cut = [Line(ids[max(0, first - 2) : first + window], first - max(0, first - 2)) for first in starts]
    assert digest_of_scored(cut) == digest_of_scored([Line(ids, 1)])
    assert digest_of_scored(cut) != digest_of_scored([Line([*ids[:-1], ids[-1] ^ 1], 1)])


def digests(engine: Any) -> list[str | None]:
    asked = (engine.choices(QUESTIONS), engine.passages(PASSAGES), engine.generate(PROMPTS, GREEDY))
    return [answer.token_digest for answers in asked for _, answer in sorted(answers, key=lambda pair: pair[0])]


@needs_llama
def test_llamacpp_and_hf_read_the_same_tokens() -> None:
    ours = digests(load_engine(str(tiny_file()), engine="llamacpp", threads=1))
    assert ours == digests(load_engine(loaded(template=True)))
    assert None not in ours


def test_answers_of_other_tokens_have_other_digests() -> None:
    engine = load_engine(loaded(template=True))
    seen = digests(engine)
    assert len(set(seen)) == len(seen) - len(SENTENCES), "a text has one digest in windows of any length"
    engine.model.context = 5
    (_, cut), (_, whole) = (next(e.choices([QUESTIONS[1]])) for e in (engine, load_engine(loaded(template=True))))
    assert engine.truncated
    assert cut.token_digest != whole.token_digest


def test_a_server_that_is_sent_ids_has_digests_and_by_text_none() -> None:
    with serving(Stub("vllm")) as address:
        engine = load_engine(address, engine="openai")
        _, scored = next(engine.choices(QUESTIONS[:1]))
        _, passage = next(engine.passages(PASSAGES[:1]))
        _, written = next(engine.generate(PROMPTS[:1], GREEDY))
        assert None not in (scored.token_digest, passage.token_digest, written.token_digest)
        assert engine.describe()["sampling"] == {"drawn": "by the server", "added": {}}
    with serving(Stub("openai")) as address:
        engine = load_engine(address, engine="openai")
        assert [answer.token_digest for _, answer in engine.choices(QUESTIONS[:1])] == [None]
        assert [answer.token_digest for _, answer in engine.generate(PROMPTS[:1], GREEDY)] == [None]
        assert engine.describe()["sampling"] == {"drawn": "by the server", "added": None}


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("choices", ChoiceScores((-1.0,), (1,), (2,), "ab")),
        ("passages", PassageScore(-1.0, 1, 2, token_digest="ab")),
        ("prompts", Completion("a", 1, "eos", "ab")),
    ],
)
def test_a_digest_is_kept_and_older_answers_have_none(kind: Any, answer: Any, tmp_path: Path) -> None:
    log: AppendLog[Any] = AppendLog(tmp_path / "a.parquet", ANSWERS[kind], ANSWER_BUILDERS[kind])
    log.append("x", answer)
    for finish in (False, True):
        if finish:
            log.finish(["x"])
        assert log.read()["x"].token_digest == "ab"
    import polars as pl

    pl.read_parquet(log.final).drop("token_digest").write_parquet(log.final)
    assert log.read()["x"] == answer
    assert log.read()["x"].token_digest is None
    assert asdict(answer)["token_digest"] == "ab"


def test_digests_cost_next_to_nothing() -> None:
    asked = [Line(list(range(400)), 390) for _ in range(3000)]
    from array import array

    asked = [Line(array("i", line.tokens), line.start) for line in asked]
    began = time.process_time()
    for line in asked:
        digest_of_lines([line])
    assert time.process_time() - began < 1.0


@needs_llama
@pytest.mark.demo_model
def test_hf_and_llamacpp_read_all_of_quick_alike_on_the_demo() -> None:
    """Only the tokens: no weight is multiplied."""
    tasks = plan_tasks(build_spec({"model": "demo", "suite": "quick"}, where="test"))
    first, second = load_engine("demo", device="cpu"), load_engine("demo", engine="llamacpp", threads=1)
    compared = 0
    for planned in tasks:
        items = planned.task.items()
        for one, other in zip(*(token_digests(e, planned, items) for e in (first, second)), strict=True):
            assert one == other
            compared += 1
    assert compared > 300


def token_digests(engine: Any, planned: Any, items: Any) -> list[str | None]:
    """The digests of all items' tokens, from a model that is replaced by one that answers at once."""
    from support.blank_model import Blank

    engine.model = Blank(engine.model)
    requests = [item.request for item in items]
    match planned.task.kind:
        case "choices":
            answers = engine.choices(requests)
        case "passages":
            answers = engine.passages(requests)
        case _:
            answers = engine.generate(requests, planned.task.sampling)
    return [answer.token_digest for _, answer in sorted(answers, key=lambda pair: pair[0])]


def test_the_folder_reads_answers_without_digests(tmp_path: Path) -> None:
    log = StudyFolder(tmp_path).answers("a", "t", "prompts")
    log.running.parent.mkdir(parents=True)
    log.running.write_text('{"item": "x", "text": "a", "tokens": 1, "stop": "eos"}\n')
    assert log.read()["x"] == Completion("a", 1, "eos")
