"""Recipes: what a text expands into, and what is wrong with a text that cannot be read."""

from __future__ import annotations

import pytest

from crushtest.compress.recipes import parse_recipe, parse_recipes
from crushtest.errors import UsageError


def texts(recipe: str) -> list[str]:
    return [parsed.text for parsed in parse_recipes(recipe)]


def test_one_step_has_all_its_options() -> None:
    (step,) = parse_recipe("wanda:sparsity=0.4").steps
    assert (step.method, step.options) == ("wanda", {"sparsity": 0.4, "pattern": "unstructured"})


def test_steps_come_in_order() -> None:
    assert [step.method for step in parse_recipe("wanda:pattern=2:4+gptq:bits=4").steps] == ["wanda", "gptq"]


def test_lists_expand_into_every_combination() -> None:
    assert texts("wanda:sparsity=0.1,0.2,pattern=unstructured") == [
        "wanda:sparsity=0.1,pattern=unstructured",
        "wanda:sparsity=0.2,pattern=unstructured",
    ]
    assert len(texts("wanda:sparsity=0.1,0.2+gptq:bits=3,4,8")) == 6
    assert texts("sparsegpt:pattern=2:4,4:8") == ["sparsegpt:pattern=2:4", "sparsegpt:pattern=4:8"]


def test_an_ellipsis_is_filled_in() -> None:
    assert texts("wanda:sparsity=0.1,0.2,...,0.6") == [f"wanda:sparsity=0.{tenth}" for tenth in range(1, 7)]
    assert texts("rtn:bits=8,6,...,2") == [f"rtn:bits={bits}" for bits in (8, 6, 4, 2)]


def test_layer_patterns_are_one_list_and_not_several_arms() -> None:
    (step,) = parse_recipe("rtn:bits=4,skip=down_proj,layers.0.*,layers=*mlp*").steps
    assert (step.skip, step.layers) == (("down_proj", "layers.0.*"), ("*mlp*",))
    assert "skip" not in step.options
    assert texts("rtn:bits=3,4,skip=a,b") == ["rtn:bits=3,skip=a,b", "rtn:bits=4,skip=a,b"]


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("", "a step has no method"),
        ("wanda+", "a step has no method"),
        ("wanda:0.5", "'0.5' is not option=value"),
        ("wanda:sparsity=0.5,sparsity=0.6", "option 'sparsity' is given twice"),
        ("wanda:sparsity=...,0.6", "needs two numbers before '...' and one after"),
        ("wanda:sparsity=0.1,0.25,...,0.6", "needs two numbers before '...' and one after"),
        ("wanda:skp=q_proj", "did you mean 'skip'?"),
        ("rtn:bits=four", "bits must be a whole number"),
    ],
)
def test_what_cannot_be_read_says_why(recipe: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_recipes(recipe)
    assert says in str(error.value)


def test_one_recipe_is_one() -> None:
    with pytest.raises(UsageError, match="this list expands into 2"):
        parse_recipe("wanda:sparsity=0.1,0.2")
