"""Model cards: metadata that huggingface_hub reads back, and a text that says what was and was not measured."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import ModelCard

from crushtest.report import card
from crushtest.report.arm_view import read_arm
from crushtest.report.study_view import StudyView, read_study
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import make_plan
from crushtest.study.spec import build_spec


@pytest.fixture
def cards(study: StudyFolder) -> dict[str, Path]:
    return {unquote(path.stem): path for path in card.write_card(study)}


def test_there_is_a_card_for_each_variant(study: StudyFolder, cards: dict[str, Path]) -> None:
    assert set(cards) == {arm.name for arm in read_study(study).others}


def test_the_hub_reads_the_numbers_of_estimates_parquet(study: StudyFolder, cards: dict[str, Path]) -> None:
    loaded = ModelCard.load(cards["wanda:sparsity=0.5"])
    found = {(r.dataset_name, r.metric_type): r.metric_value for r in loaded.data.eval_results or []}
    expected = {
        (e.task, e.metric): e.value
        for e in study.read_estimates()
        if e.arm == "wanda:sparsity=0.5" and e.group == "all" and e.value is not None and "probe" not in e.task
    }
    assert found == expected


def test_a_card_says_what_was_not_measured(cards: dict[str, Path]) -> None:
    text = cards["wanda:pattern=2:4"].read_text(encoding="utf-8")
    assert "probe\\_prompts: not measured" in text
    assert "95% interval" in text
    assert "safe" not in text.lower()


def test_hostile_names_do_not_break_a_card(hostile: StudyFolder) -> None:
    for path in card.write_card(hostile):
        loaded = ModelCard.load(path)
        assert loaded.data.tags
        assert "<b onmouseover" not in loaded.text
        assert "<script>" not in loaded.text


def test_a_card_says_that_calibrated_weights_are_one_calibration_draw(cards: dict[str, Path]) -> None:
    said = {arm: "One calibration draw." in path.read_text() for arm, path in cards.items()}
    assert said == {arm: arm.startswith("wanda") for arm in cards}
    assert any(said.values())


def test_a_card_names_the_dense_model_and_how_the_variant_was_made(tmp_path: Path) -> None:
    arms = [{"recipe": "wanda:sparsity=0.5"}, {"recipe": "rtn:bits=4"}, {"name": "found", "model": "other/model-AWQ"}]
    folder = StudyFolder(tmp_path)
    plan = make_plan(build_spec({"model": "org/model", "arms": arms, "suite": ["probe_facts"]}, where="test"))
    views = tuple(read_arm(folder, {}, number, arm, plan.dense) for number, arm in enumerate(plan.arms))
    study = StudyView(folder, plan, {}, views, tasks=(), estimates={}, contrasts={}, bands=())
    made = {arm.name: card.card_metadata(study, arm) for arm in study.others}
    assert {card["base_model"] for card in made.values()} == {"org/model"}
    assert [card["base_model_relation"] for card in made.values()] == ["finetune", "quantized", "quantized"]


def test_a_path_is_no_base_model(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    for model in (str(tmp_path), "models/own/dense", "model.gguf", "http://127.0.0.1:8000/v1#name"):
        plan = make_plan(build_spec({"model": model, "suite": ["probe_facts"]}, where="test"))
        dense = read_arm(folder, {}, 0, plan.arms[0], plan.dense)
        study = StudyView(folder, plan, {}, (dense,), tasks=(), estimates={}, contrasts={}, bands=())
        assert "base_model" not in card.card_metadata(study, dense), model


def test_a_card_says_on_how_many_items_and_that_probes_are_no_benchmark(cards: dict[str, Path]) -> None:
    text = cards["wanda:sparsity=0.5"].read_text(encoding="utf-8")
    assert "smoke alarm, not a benchmark" in text
    assert re.search(r"^Items: .*\d", text, re.MULTILINE)
