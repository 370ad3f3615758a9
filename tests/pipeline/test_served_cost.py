"""What a served model will be asked is counted, and a dry run asks it nothing but the probes of every run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crushtest.engines import load_engine
from crushtest.engines.openai.served import ServedEngine
from crushtest.errors import EngineError
from crushtest.pipeline import memory as asking
from crushtest.pipeline.cost.calls import JUDGED_TOKENS, calls_of, judged
from crushtest.pipeline.cost.dry_run import dry_run
from crushtest.pipeline.cost.records import Calls
from crushtest.pipeline.run import run_study
from crushtest.records import Choices, Item
from crushtest.study.plan import make_plan
from crushtest.study.spec import StudySpec, build_spec
from support.served_stub import Stub, serving

pytestmark = pytest.mark.usefixtures("no_page")
ENGINE = "openai:first_wait_s=0.001,attempts=1,concurrency=1"
SCORING = ("/v1/completions", "/completion", "/v1/chat/completions")


def spec_of(address: str, suite: list[Any]) -> StudySpec:
    return build_spec({"model": address, "suite": suite, "engine": ENGINE}, where="test")


def scored(stub: Stub) -> int:
    return sum(stub.requests[path] for path in SCORING)


@pytest.mark.parametrize(
    ("stub", "counted"),
    [
        (Stub("vllm"), True),
        (Stub("llama.cpp", echoes=False), True),
        (Stub("openai", echoes=False), False),
        (Stub("openai", echoes=False, likeliest=0), False),
    ],
    ids=["echo", "forced", "first_token", "read"],
)
def test_a_server_gets_as_many_requests_as_were_announced(stub: Stub, counted: bool) -> None:
    requests = [Choices(f"Which letter comes {place}?\nA. M\nB. D\nAnswer:", (" A", " B")) for place in range(3)]
    items = [Item(str(place), (), str(place), request) for place, request in enumerate(requests)]
    with serving(stub) as address:
        engine = load_engine(address, engine=ENGINE)
        assert isinstance(engine, ServedEngine)
        [planned] = make_plan(spec_of(address, ["probe_qa"])).tasks
        calls, before = calls_of(engine, planned, items), scored(stub)
        assert len(list(engine.choices(requests))) == 3
        assert scored(stub) - before == calls.requests
        assert calls.counted is counted


def test_options_that_a_server_cannot_score_are_refused_as_by_the_run(tmp_path: Path) -> None:
    with serving(Stub("openai", echoes=False)) as address:
        spec, said = spec_of(address, [{"probe_qa": {"limit": 4}}]), []
        for call, folder in ((dry_run, "dry"), (run_study, "run")):
            with pytest.raises(EngineError) as caught:
                call(spec, tmp_path / folder)  # type: ignore[operator]
            said.append(str(caught.value))
    assert said[0] == said[1]
    assert not (tmp_path / "dry").exists()


def test_a_dry_run_asks_a_server_nothing_but_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub, ask, requests = Stub("vllm"), asking.ask, 0

    def counting(*arguments: Any) -> Any:
        nonlocal requests
        before = scored(stub)
        yield from ask(*arguments)
        requests += scored(stub) - before

    monkeypatch.setattr(asking, "ask", counting)
    with serving(stub) as address:
        spec = spec_of(address, [{"probe_qa": {"limit": 6}}, {"probe_prompts": {"limit": 4}}])
        [arm] = dry_run(spec, tmp_path / "s").arms
        probes = scored(stub)
        run_study(spec, tmp_path / "s")
    assert arm.calls is not None
    assert arm.calls.requests == requests
    assert arm.spent is None
    assert probes + requests <= scored(stub)


def test_a_judge_is_asked_about_every_completion_of_every_arm() -> None:
    arms = [{"name": "other", "model": "fake", "engine": "fake:seed=1"}]
    suite = [{"probe_prompts": {"limit": 5}}]
    plan = make_plan(build_spec({"model": "fake", "engine": "fake", "arms": arms, "suite": suite}, where="test"))
    [planned] = plan.tasks
    planned = replace(planned, task=replace(planned.task, scorers=("judge:http://localhost:1/v1#name", "profanity")))
    items = planned.draw()
    [calls] = judged(replace(plan, tasks=(planned,)), {planned.name: items})
    assert isinstance(calls, Calls)
    assert calls.requests == 2 * len(items)
    assert calls.written == calls.requests * JUDGED_TOKENS
    assert not calls.counted
