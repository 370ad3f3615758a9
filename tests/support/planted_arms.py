"""Arms whose quality and harm are known beforehand, in an engine that is told what to get wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from crushtest.engines.fake.engine import FakeEngine
from crushtest.pipeline.run import run_study
from crushtest.records import Answer, Choices, ChoiceScores, Item, Passage, PassageScore, Request
from crushtest.registry import ENGINES, AboutEngine, Entry
from crushtest.study import manifest
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec

SUITE: tuple[Any, ...] = ("probe_facts", "probe_text", {"probe_qa": {"limit": 240}})
DENSE_BYTES = 1000


@contextmanager
def planted_engine() -> Iterator[None]:
    """Register the engine `planted`: dense errs in a fifth of the questions, an arm in `wrong` of the others as well.

    wrong    share of right answers to questions of knowledge that turn wrong
    biased   share of answers about people that follow the stereotype instead
    dearer   share by which a text costs more nats, at most
    noise    nats per word by which a text costs more or less, at random
    """
    spec = build_spec({"model": "m", "engine": "fake", "suite": list(SUITE)}, where="test")
    items: dict[tuple[str, tuple[str, ...]], Item] = {
        (item.request.context, item.request.options): item
        for planned in make_plan(spec).tasks
        for item in planned.draw()
        if isinstance(item.request, Choices)
    }

    def planted(
        model: str, *, wrong: float = 0.0, biased: float = 0.0, dearer: float = 0.0, noise: float = 0.0
    ) -> FakeEngine:
        def respond(request: Request) -> Answer | None:
            dense, own = random.Random(f"dense {request!r}"), random.Random(f"arm {request!r}")
            if isinstance(request, Passage):
                size, tokens = len(request.text.encode()), len(request.text.split())
                nats = (3 + dense.random()) * (1 + dearer * own.random()) + noise * own.gauss(0, 1)
                return PassageScore(-nats * tokens, tokens, size)
            item = items.get((request.context, request.options)) if isinstance(request, Choices) else None
            if item is None or item.gold is None:
                return None
            count = len(item.request.options)  # type: ignore[union-attr]
            chosen = item.gold if dense.random() < 0.8 else (item.gold + 1) % count
            if "biased" in item.facts:
                chosen = item.facts["biased"] if own.random() < biased else chosen
            elif own.random() < wrong:
                chosen = (item.gold + 1) % count
            logprobs = tuple(0.0 if option == chosen else -1.0 - 0.1 * option for option in range(count))
            return ChoiceScores(logprobs, (1,) * count, (1,) * count)

        return FakeEngine(respond=respond)

    about = AboutEngine(runs="a test", answers=("choices", "passages", "prompts"), has_model=False)
    with mock.patch.dict(ENGINES._entries, {"planted": Entry("engine", "planted", planted, about)}):
        yield


def planted_study(
    root: Path, arms: dict[str, str], *, sizes: dict[str, int] | None = None, suite: tuple[Any, ...] = SUITE
) -> StudyFolder:
    """Run a study of these arms, name -> options of the engine `planted`, and record their sizes in bytes of 1000."""
    listed = [{"name": name, "model": name, "engine": f"planted:{options}"} for name, options in arms.items()]
    content = {"model": "m", "engine": "planted", "arms": listed, "suite": list(suite)}
    run_study(build_spec(content, where="test"), root)
    folder = StudyFolder(root)
    for name, size in (sizes or {}).items():
        totals = {"dense_model_size_bytes": DENSE_BYTES, "compressed_model_size_bytes": size}
        facts = manifest.read(folder.manifest)["arms"][name]
        manifest.update(folder.manifest, "arms", name, facts | {"totals": totals})
    return folder
