"""Access to a sequence whose members are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")


def make_at(index: int | slice, size: int, make: Callable[[int], Made]) -> Made | list[Made]:
    """Return the member at an index, or those of a slice, of a sequence of this size. Raises IndexError.

    >>> make_at(-1, 10, str), make_at(slice(0, 2), 10, str)
    ('9', ['0', '1'])
    """
    place = range(size)[index]
    return make(place) if isinstance(place, int) else [make(at) for at in place]
