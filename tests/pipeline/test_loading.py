"""Every model of a study is loaded with the study's own settings, whoever asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from crushtest import engines
from crushtest.compress.prepare import check_recipe, load_base
from crushtest.compress.recipes import parse_recipe
from crushtest.models import load
from crushtest.pipeline.score import dense_engine
from crushtest.progress import show_progress
from crushtest.study.plan import make_plan
from crushtest.study.spec import StudySpec
from support.tiny_models import loaded

SETTINGS = {"dtype": "bfloat16", "device": "cpu", "trust_remote_code": True, "allow_pickle": True}
TRUST = {"trust_remote_code": True, "allow_pickle": True}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What was asked of `load_model` and `load_config`: a tiny model is given for all."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def note(answer: Any) -> Any:
        def load(model: str, **settings: Any) -> Any:
            calls.append((model, settings))
            return answer

        return load

    monkeypatch.setattr(load, "load_model", note(loaded()))
    monkeypatch.setattr(load, "load_config", note(loaded().network.config))
    monkeypatch.setattr(engines, "load_engine", lambda model, **options: model)
    return calls


def test_arms_scorers_and_the_check_of_a_recipe_load_models_alike(asked: list[tuple[str, dict[str, Any]]]) -> None:
    dense = make_plan(StudySpec(model="org/dense", **SETTINGS)).dense
    with show_progress() as progress:
        load_base(dense.model_options, "org/arm", "arm", progress)
    dense_engine(dense)
    check_recipe(dense.model_options, "org/arm", parse_recipe("magnitude:sparsity=0.5"))
    assert asked == [("org/arm", SETTINGS), ("org/dense", SETTINGS), ("org/arm", TRUST)]
