"""Locate finds the block that was planted, and calls nothing a repair that others match at equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

from crushtest.cli.app import app
from crushtest.compress.layers.structure import Linear
from crushtest.compress.parts import Part
from crushtest.compress.recipes import parse_recipe
from crushtest.engines.hf.block_divergence import Divergence
from crushtest.errors import UnknownName, UsageError
from crushtest.pipeline.run import run_study
from crushtest.pipeline.search.locate import locate, refuse_unmoved, share_of
from crushtest.pipeline.search.repair import Repair, unequal, why_not, with_option
from crushtest.stats.ratio_error import RatioError, ratio_error
from crushtest.study.folder import StudyFolder
from crushtest.study.located import LocateFolder
from crushtest.study.spec import build_spec
from support.tiny_models import network, tokenizer

pytestmark = pytest.mark.usefixtures("no_page")
UNIFORM = "rtn:bits=3,group_size=32"
BLOCKS = 4


def planted(block: int) -> str:
    """Eight bits everywhere, two in one block."""
    name = f"layers.{block}.*"
    return f"rtn:bits=8,group_size=16,skip={name}+rtn:bits=2,group_size=16,layers={name}"


def study(folder: Path, *recipes: str, seed: int = 0, items: int = 60) -> Path:
    """A study of a tiny model, its dense arm and these."""
    network(seed=seed, num_hidden_layers=BLOCKS, hidden_size=64, intermediate_size=64).save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    spec = build_spec(
        {
            "model": str(folder / "model"),
            "device": "cpu",
            "suite": [{"probe_facts": {"limit": items}}, {"probe_prompts": {"limit": 8}}],
            "arms": [{"recipe": recipe} for recipe in recipes],
        },
        where="test",
    )
    run_study(spec, folder / "study")
    return folder / "study"


def found_in(folder: Path, seed: int) -> bool:
    block = seed % BLOCKS
    record = locate(study(folder, planted(block), seed=seed), planted(block), 16)
    assert record.why == "the recipe has several steps or patterns of layers"
    return record.parts[0].name == f"layers.{block}"


def test_a_planted_block_is_found(tmp_path: Path) -> None:
    assert found_in(tmp_path, 1)


@pytest.mark.slow
def test_a_planted_block_is_found_in_twenty_of_twenty_seeds(tmp_path: Path) -> None:
    assert all(found_in(tmp_path / str(seed), seed) for seed in range(20))


def test_a_repair_stands_beside_others_of_its_bytes(tmp_path: Path) -> None:
    folder = study(tmp_path, UNIFORM)
    result = CliRunner().invoke(app, ["locate", str(folder), "--arm", UNIFORM, "--items", "16"])
    assert result.exit_code == 0, result.output
    record = LocateFolder(StudyFolder(folder), UNIFORM).read()
    assert sorted(part.name for part in record.parts) == [f"layers.{block}" for block in range(BLOCKS)]
    means = [part.mean.value for part in record.parts]
    assert means == sorted(means, reverse=True)
    names = [one.name for one in record.variants]
    assert names[:2] == ["arm", "repair"]
    assert len([name for name in names if name.startswith("random")]) == 3
    bits = {one.name: one.bits_per_weight for one in record.variants}
    assert all(bits["arm"] < bits[name] <= bits["smaller groups everywhere"] + 1e-6 for name in names[1:])
    assert all(value == pytest.approx(1) for value in record.variants[0].divergence.values())
    compared = [one.ahead for one in record.variants[2:]]
    assert record.helps == all(one is not None and one.low is not None and one.low > 0 for one in compared)
    assert ("No repair:" in result.output) is not record.helps
    assert "locate.html" in result.output
    page = LocateFolder(StudyFolder(folder), UNIFORM).page.read_text()
    assert "<script" not in page
    assert "smaller groups everywhere" in page


def test_an_arm_without_blocks_of_its_own_is_refused(tmp_path: Path) -> None:
    folder = study(tmp_path, UNIFORM, items=20)
    with pytest.raises(UnknownName, match="unknown arm 'none'"):
        locate(folder, "none", 8)
    spec = build_spec(
        {
            "model": "fake",
            "engine": "fake",
            "suite": [{"probe_facts": {"limit": 8}}],
            "arms": [{"name": "other", "model": "fake", "engine": "fake:seed=1"}],
        },
        where="test",
    )
    run_study(spec, tmp_path / "fake")
    with pytest.raises(UsageError, match="must be the study's model with a recipe"):
        locate(tmp_path / "fake", "other", 8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rtn:bits=3,group_size=64", ""),
        ("rtn:bits=3,group_size=channel", "groups that can be halved"),
        ("wanda:sparsity=0.5", "groups that can be halved"),
        ("wanda:sparsity=0.5+rtn:bits=4", "several steps"),
        ("rtn:bits=3,group_size=64,skip=*mlp*", "several steps or patterns"),
    ],
)
def test_what_has_nothing_of_equal_bytes_has_no_repair(text: str, reason: str) -> None:
    assert reason in why_not(parse_recipe(text)) if reason else why_not(parse_recipe(text)) == ""


def test_a_repair_is_a_recipe_with_disjoint_patterns() -> None:
    finer = with_option(UNIFORM, bits=4)
    repair = Repair(UNIFORM, finer, ("layers.2", "layers.11"))
    steps: Any = parse_recipe(repair.recipe).steps
    assert [step.options["bits"] for step in steps] == [3, 4]
    assert steps[0].skip == steps[1].layers == ("layers.2.*", "layers.11.*")
    assert parse_recipe(Repair(UNIFORM, None, ("layers.2",)).recipe).steps[0].skip == ("layers.2.*",)


def share_in(values: list[float]) -> RatioError:
    """A task of single items."""
    found = ratio_error(np.array(values), np.ones(len(values)), [str(place) for place in range(len(values))])
    assert found is not None
    return found


def test_intervals_of_shares_are_students_and_welchs() -> None:
    one, other = [0.1, 0.5, 0.2, 0.4], [0.3, 0.9, -0.2, 0.7, 0.1, 0.4]
    single, both = share_of([share_in(one)]), share_of([share_in(one), share_in(other)])
    assert (single.low, single.high) == pytest.approx(stats.ttest_1samp(one, 0).confidence_interval())
    # The sum of two means is the difference of one and the other's negative.
    summed = stats.ttest_ind(one, [-each for each in other], equal_var=False).confidence_interval()
    assert (both.low, both.high) == pytest.approx((summed.low / 2, summed.high / 2))


def test_one_cluster_or_shares_that_are_all_alike_give_no_interval() -> None:
    alike, single, varied = share_in([0.5, 0.5, 0.5]), share_in([0.2]), share_in([0.1, 0.4])
    assert share_of([alike]).low is None
    assert share_of([single, varied]).low is None
    assert share_of([single, varied]).value == pytest.approx(0.225)


def test_an_arm_that_moves_nothing_has_no_block_to_name() -> None:
    still = Divergence(np.zeros(3), np.ones(3))
    with pytest.raises(UsageError, match="does not diverge from dense"):
        refuse_unmoved("arm", {"probe_facts": still})
    refuse_unmoved("arm", {"probe_facts": still, "probe_text": Divergence(np.array([0, 0.1, 0]), np.ones(3))})


def test_blocks_of_unequal_size_are_not_repaired_at_equal_bytes() -> None:
    def part(*widths: int) -> Part:
        linears = tuple(Linear(f"layers.0.{width}", torch.nn.Linear(8, width, bias=False), 0) for width in widths)
        return Part("layers.0", "layers.0.*", 0, linears)

    assert not unequal([part(4, 4), part(8)])
    assert "differ in size" in unequal([part(4), part(8)])
