"""What is to blame for a difference: the compression, or where and how the arm ran."""

import pytest

from crushtest.stats import compares

HERE = {"engine": "hf", "model": "demo", "dtype": "float32", "device": "cpu", "scoring": "packs", "truncated": 0}


@pytest.mark.parametrize(
    ("arm", "other_weights", "expected"),
    [
        (HERE | {"model": "demo-w4", "truncated": 3}, True, "compression effect"),
        (HERE | {"dtype": "bfloat16"}, False, "deployment delta"),
        (HERE | {"engine": "llamacpp"}, True, "compression and deployment"),
        (HERE, False, "the same again"),
        ({"engine": "hf"}, True, "compression and deployment"),
    ],
)
def test_an_arm_is_called_what_it_is(arm, other_weights, expected):
    assert compares(HERE, arm, other_weights=other_weights) == expected
