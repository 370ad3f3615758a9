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
from typing import Any

from crushtest.errors import UnknownName, UsageError
from crushtest.registry import METHODS, calibrates

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
    alternatives = [_step_texts(step, text) for step in text.split("+")]
    recipes = []
    for combination in product(*alternatives):
        steps = tuple(_step(name, options) for name, options in combination)
        recipes.append(Recipe("+".join(_text(name, options) for name, options in combination), steps))
    return tuple(recipes)


def parse_recipe(text: str) -> Recipe:
    """Return the one recipe that a text stands for; UsageError if it expands into several."""
    recipes = parse_recipes(text)
    if len(recipes) > 1:
        raise UsageError(f"recipe {text!r}: one is needed here, this list expands into {len(recipes)}")
    return recipes[0]


def _step_texts(step: str, recipe: str) -> list[tuple[str, dict[str, str]]]:
    """Yield every (method, options as text) that one step's lists expand into."""
    name, _, rest = step.strip().partition(":")
    if not name:
        raise UsageError(f"recipe {recipe!r}: a step has no method (write method:option=value+method:...)")
    options: dict[str, list[str]] = {}
    last = None
    for piece in filter(None, (piece.strip() for piece in rest.split(","))):
        key, equals, value = piece.partition("=")
        if equals:
            last = key.strip()
            if last in options:
                raise UsageError(f"recipe {recipe!r}: option {last!r} is given twice")
            options[last] = [value.strip()]
        elif last is None:
            raise UsageError(f"recipe {recipe!r}: {piece!r} is not option=value")
        else:
            options[last].append(piece)
    values = [
        [",".join(listed)] if key in COMMON_OPTIONS else _with_ellipsis(key, listed, recipe)
        for key, listed in options.items()
    ]
    return [(name, dict(zip(options, combination, strict=True))) for combination in product(*values)]


def _with_ellipsis(option: str, values: list[str], recipe: str) -> list[str]:
    """Return the values with `a,b,...,z` filled in at the step b - a."""
    if "..." not in values:
        return values
    at = values.index("...")
    try:
        first, second, last = float(values[at - 2]), float(values[at - 1]), float(values[at + 1])
        count = round((last - second) / (second - first))
        complete = at >= 2 and count >= 1 and abs(second + count * (second - first) - last) < 1e-9
    except (ValueError, IndexError, ZeroDivisionError):
        complete = False
    if not complete:
        raise UsageError(f"recipe {recipe!r}: {option}={','.join(values)} needs two numbers before '...' and one after")
    filled = [f"{second + step * (second - first):.10g}" for step in range(1, count)]
    return values[:at] + filled + _with_ellipsis(option, values[at + 1 :], recipe)


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
