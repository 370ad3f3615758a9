"""No damage to a study is silent: no traceback, no other number, no gate that passes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crushtest.errors import StoreError
from crushtest.pipeline.run import recompare, run_study
from crushtest.study.compression_file import write_compression
from crushtest.study.folder import StudyFolder
from crushtest.study.spec import WRITTEN, build_spec, read_stored_spec
from support.damage import Damage, Tally, attack, damages, drawn, whole_arms

SLOW = os.environ.get("CRUSHTEST_SLOW") == "1"
READING = ("verify", "gate", "query", "card", "report", "compare", "run")
LAYER = {"name": "q_proj", "shape": [2, 2], "bits_per_weight": 4.0, "changed": 4}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study with everything in it: three kinds of answers, scores, a noise floor, a compression.json."""
    root = tmp_path_factory.mktemp("damage") / "s"
    content = {
        "model": "fake",
        "engine": "fake",
        "arms": [{"name": name, "model": "fake", "engine": f"fake:seed={seed}"} for seed, name in enumerate("ab", 1)],
        "suite": [{"probe_facts": {"limit": 20}}, {"probe_text": {"limit": 4}}, {"probe_prompts": {"limit": 20}}],
        "noise_floor": 1,
    }
    run_study(build_spec(content, where="test"), root)
    folder = StudyFolder(root)
    write_compression(folder.compression("a"), "a", {"layers": [LAYER], "totals": {"compression_ratio": 2.0}})
    recompare(folder)
    return root


def every_damage(study: Path) -> list[Damage]:
    return [*damages(study), *whole_arms(study)]


def test_a_few_damages_of_every_kind_are_seen_by_every_command(study: Path) -> None:
    kinds = ("cut at 50%", "bit flipped at 60%", "deleted", "a link", "a pipe", "a row dropped", "a row doubled", "NaN")
    kinds = (*kinds, "item rotated", "as text", "moved", "label kept", "replaced by", "holds the answers", "holds {}")
    chosen = []
    for number, kind in enumerate(kinds):
        alike = [damage for damage in every_damage(study) if kind in damage.name]
        chosen.append(alike[number * 7 % len(alike)])
    tally = Tally()
    attack(study, chosen, ("verify", "gate", "query", "report"), tally)
    assert tally.calls == 4 * len(kinds)
    assert not tally.wrong


def test_damages_drawn_at_random_are_seen_by_every_command(study: Path) -> None:
    tally = Tally()
    attack(study, list(drawn(study, seed=7, count=8)), ("verify", "gate", "query", "report"), tally)
    assert tally.damages == 8
    assert not tally.wrong


def test_a_first_line_without_its_seal_is_damage_to_the_study_file(study: Path, tmp_path: Path) -> None:
    text = (study / "study.yaml").read_text()
    assert text.startswith(WRITTEN)
    (tmp_path / "study.yaml").write_text(text.replace("sha256_with", "sha256 with"))
    with pytest.raises(StoreError, match="its digest does not fit"):
        read_stored_spec(tmp_path / "study.yaml")
    (tmp_path / "study.yaml").write_text(text.partition("\n")[2])
    assert read_stored_spec(tmp_path / "study.yaml") == read_stored_spec(study / "study.yaml")


@pytest.mark.slow
@pytest.mark.skipif(not SLOW, reason="a thousand damages; set CRUSHTEST_SLOW=1")
def test_every_damage_of_every_file_is_seen_by_every_command(study: Path) -> None:
    tally = Tally()
    attack(study, every_damage(study), READING, tally)
    assert tally.damages > 700
    attack(study, list(drawn(study, seed=0, count=300)), READING, tally)
    assert not tally.wrong
