"""Recipes: the text that says how to compress, parsed, checked and expanded into arms.

wanda:sparsity=0.5                   one step
wanda:pattern=2:4+gptq:bits=4        two steps, in order
wanda:sparsity=0.1,0.2,...,0.6       a list: one arm a value; a piece without `=` continues the list before it
rtn:bits=4,skip=down_proj,layers.0.* every method takes `layers` and `skip`, glob patterns of the layers to compress or
                                     to leave alone; a list of patterns is one list, not several arms
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import inf, prod
from typing import Any

from crushtest.errors import UnknownName, UsageError
from crushtest.printing import quoted
from crushtest.registry import METHODS, calibrates

MOST_ARMS = 1_000
MOST_STEPS = 16
COMMON_OPTIONS = ("layers", "skip")


@dataclass(frozen=True)
class Step:
    """One method with all its options, and the patterns of the layers it is for and not for (empty: all; none).

    given  those of the options that the recipe says; the others have their defaults
    """

    method: str
    options: dict[str, Any]
    layers: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    given: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class Recipe:
    """One or more steps, and the text that stands for them."""

    text: str
    steps: tuple[Step, ...]

    @property
    def calibrates(self) -> bool:
        """Say whether another draw of calibration text would give other weights."""
        return any(calibrates(step.method) for step in self.steps)

    @property
    def prunes(self) -> bool:
        """Say whether zeros among the weights are meant, and not what rounding happens to give."""
        return any(METHODS.get(step.method).about.kind == "pruning" for step in self.steps)


def parse_recipes(text: str) -> tuple[Recipe, ...]:
    """Return the recipes that a text expands into: one for every combination of its lists' values.

    Raises UsageError where the text is malformed, and for unknown methods, options and values out of range.

    >>> [recipe.text for recipe in parse_recipes("wanda:sparsity=0.1,0.2,pattern=unstructured")]
    ['wanda:sparsity=0.1,pattern=unstructured', 'wanda:sparsity=0.2,pattern=unstructured']
    """
    steps_given = text.split("+")
    if len(steps_given) > MOST_STEPS:
        raise UsageError(f"recipe {quoted(text)}: at most {MOST_STEPS} steps (got {len(steps_given)})")
    alternatives = [_step_texts(step, text) for step in steps_given]
    _refuse_many(prod(map(len, alternatives)), text)
    recipes = []
    for combination in product(*alternatives):
        steps = tuple(_step(name, options) for name, options in combination)
        recipes.append(Recipe("+".join(_text(name, options) for name, options in combination), steps))
    return tuple(recipes)


def parse_recipe(text: str) -> Recipe:
    """Return the one recipe that a text stands for; UsageError if it expands into several."""
    recipes = parse_recipes(text)
    if len(recipes) > 1:
        raise UsageError(f"recipe {quoted(text)}: one is needed here, this list expands into {len(recipes)}")
    return recipes[0]


def _step_texts(step: str, recipe: str) -> list[tuple[str, dict[str, str]]]:
    """Yield every (method, options as text) that one step's lists expand into."""
    name, _, rest = step.strip().partition(":")
    if not name:
        raise UsageError(f"recipe {quoted(recipe)}: a step has no method (write method:option=value+method:...)")
    options: dict[str, list[str]] = {}
    last = None
    for piece in filter(None, (piece.strip() for piece in rest.split(","))):
        key, equals, value = piece.partition("=")
        if equals:
            last = key.strip()
            if last in options:
                raise UsageError(f"recipe {quoted(recipe)}: option {quoted(last)} is given twice")
            options[last] = [value.strip()]
        elif last is None:
            raise UsageError(f"recipe {quoted(recipe)}: {quoted(piece)} is not option=value")
        else:
            options[last].append(piece)
    values = [
        [",".join(listed)] if key in COMMON_OPTIONS else _with_ellipsis(key, listed, recipe)
        for key, listed in options.items()
    ]
    _refuse_many(prod(map(len, values)), recipe)
    return [(name, dict(zip(options, combination, strict=True))) for combination in product(*values)]


def _refuse_many(count: int, recipe: str) -> None:
    if count > MOST_ARMS:
        raise UsageError(
            f"recipe {quoted(recipe)}: expands into {quoted(count)} recipes; at most {MOST_ARMS} are allowed"
        )


def _with_ellipsis(option: str, values: list[str], recipe: str) -> list[str]:
    """Return the values with `a,b,...,z` filled in at the step b - a."""
    filled: list[str] = []
    for at, value in enumerate(values):
        filled += [value] if value != "..." else _between(values, at)
        if len(filled) > MOST_ARMS:
            _refuse_many(len(filled), recipe)
    if "..." in filled:
        shown = quoted(f"{option}={','.join(values)}")
        raise UsageError(f"recipe {quoted(recipe)}: {shown} needs two numbers before '...' and one after")
    return filled


def _between(values: list[str], at: int) -> list[str]:
    """Return the numbers that the `...` at a place stands for; itself if the numbers around it do not say."""
    try:
        first, second, last = float(values[at - 2]), float(values[at - 1]), float(values[at + 1])
        count = (last - second) / (second - first)
        complete = (
            at >= 2
            and count < inf
            and round(count) >= 1
            and abs(second + round(count) * (second - first) - last) < 1e-9
        )
    except (ValueError, IndexError, ZeroDivisionError):
        complete = False
    if not complete:
        return ["..."]
    return [f"{second + step * (second - first):.10g}" for step in range(1, min(round(count), 2 * MOST_ARMS))]


def _step(name: str, options: dict[str, str]) -> Step:
    entry = METHODS.get(name, where="recipe")
    own = {key: value for key, value in options.items() if key not in COMMON_OPTIONS}
    layers, skip = (tuple(filter(None, options.get(key, "").split(","))) for key in COMMON_OPTIONS)
    for key in own:
        if key not in entry.options:
            raise UnknownName("option", key, [*entry.options, *COMMON_OPTIONS], where=f"method {name!r}")
    return Step(name, entry.bind(own), layers, skip, frozenset(own))


def _text(name: str, options: dict[str, str]) -> str:
    return name + (":" if options else "") + ",".join(f"{key}={value}" for key, value in options.items())
