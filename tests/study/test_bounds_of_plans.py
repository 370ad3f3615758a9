"""What a plan expands to is bounded, and refused before it is expanded."""

from __future__ import annotations

import time

import pytest

from crushtest.compress.recipes import MOST_ARMS, parse_recipes
from crushtest.errors import UsageError
from crushtest.study.arms import make_arms
from crushtest.study.spec import build_spec

REFUSED = {
    "a million values": "magnitude:sparsity=0,0.000001,...,1",
    "beyond a float": "magnitude:sparsity=1,2,...,1e999",
    "far apart": "magnitude:sparsity=0,1e-300,...,1e300",
    "not a number": "magnitude:sparsity=nan,nan,...,nan",
    "two values in 16 steps": "+".join(["magnitude:sparsity=0.1,0.2"] * 16),
    "many steps": "+".join(["magnitude:sparsity=0.1"] * 5_000),
    "many dots": "magnitude:sparsity=" + ",".join(["..."] * 5_000),
    "many values": "magnitude:sparsity=" + ",".join(["0.1"] * 100_000),
}


@pytest.mark.parametrize("recipe", REFUSED.values(), ids=REFUSED)
def test_a_recipe_beyond_all_bounds_is_one_line_and_soon(recipe: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError) as caught:
        parse_recipes(recipe)
    assert len(str(caught.value)) < 1000
    assert time.process_time() - began < 5


def test_as_many_recipes_as_allowed_are_made() -> None:
    assert len(parse_recipes("magnitude:sparsity=0.000,0.001,...,0.999")) == MOST_ARMS


def test_a_study_of_too_many_arms_is_refused() -> None:
    recipe = "magnitude:sparsity=0.0001,0.0002,...,0.0600"
    spec = build_spec({"model": "demo", "arms": [recipe, recipe.replace("magnitude", "wanda")]}, where="test")
    with pytest.raises(UsageError, match="at most 1000 arms"):
        make_arms(spec)


@pytest.mark.parametrize("repeats", [101, 9223372036854775808, 10**40])
def test_a_noise_floor_of_too_many_repeats_is_refused(repeats: int) -> None:
    with pytest.raises(UsageError, match="at most 100"):
        build_spec({"model": "demo", "noise_floor": repeats}, where="test")
