"""What is to blame for a difference: the compression, or where and how the arm ran."""

from pathlib import Path

import pytest

from crushtest import load_engine
from crushtest.stats import compares
from support.tiny_models import network, tokenizer

HERE = {"engine": "hf", "model": "demo", "dtype": "float32", "device": "cpu", "scoring": "packs", "truncated": 0}


@pytest.mark.parametrize(
    ("arm", "other_weights", "expected"),
    [
        (HERE | {"model": "demo-w4", "truncated": 3}, True, "compression effect"),
        (HERE | {"dtype": "bfloat16"}, False, "deployment delta"),
        (HERE | {"engine": "llamacpp"}, True, "compression and deployment"),
        (HERE, False, "replicate"),
        (HERE | {"thinking": None}, False, "replicate"),
        (HERE | {"thinking": {"enable_thinking": False}}, False, "deployment delta"),
        ({"engine": "hf"}, True, "compression and deployment"),
    ],
)
def test_an_arm_is_called_what_it_is(arm, other_weights, expected):
    assert compares(HERE, arm, other_weights=other_weights) == expected


def test_two_uncompressed_files_of_two_engines_are_a_conversion():
    there = HERE | {"engine": "llamacpp"}
    assert compares(HERE, there, other_weights=True, converted=True) == "conversion and deployment"


def test_another_build_of_an_engine_is_another_way_of_running():
    first, second = ({"engine": "llamacpp", "library_sha256": digest} for digest in ("aa", "bb"))
    assert compares(first, second, other_weights=True) == "compression and deployment"


@pytest.mark.parametrize(
    ("template", "expected"), [(False, "compression effect"), (True, "compression and deployment")]
)
def test_another_chat_template_is_another_way_of_running(tmp_path: Path, template: bool, expected: str) -> None:
    described = []
    for name, with_template in (("dense", False), ("arm", template)):
        network().save_pretrained(tmp_path / name)
        tokenizer(template=with_template).save_pretrained(tmp_path / name)
        described.append(load_engine(str(tmp_path / name), device="cpu").describe())
    assert compares(*described, other_weights=True) == expected


def test_another_calibration_text_is_no_replicate() -> None:
    assert compares(HERE, HERE, other_weights=False, recalibrated=True) == "calibration effect"
    there = HERE | {"dtype": "bfloat16"}
    assert compares(HERE, there, other_weights=False, recalibrated=True) == "compression and deployment"
