"""The types of the methods' options: what a recipe may say, checked before a weight is loaded."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, PlainValidator


class NM(NamedTuple):
    """A semi-structured pattern: of every `m` consecutive weights of a row, `n` are kept (NVIDIA's 2:4)."""

    n: int
    m: int

    @property
    def sparsity(self) -> float:
        """Return the share of weights that the pattern sets to zero."""
        return 1 - self.n / self.m


def parse_pattern(pattern: str) -> NM | None:
    """Return the pattern `n:m`, or None for `unstructured`; ValueError for anything else.

    >>> parse_pattern("2:4")
    NM(n=2, m=4)
    """
    if pattern == "unstructured":
        return None
    n, _, m = pattern.partition(":")
    if not (n.isdecimal() and m.isdecimal() and 0 < int(n) < int(m)):
        raise ValueError("be 'unstructured' or n:m with 0 < n < m, such as 2:4 or 4:8")
    return NM(int(n), int(m))


def _checked_pattern(pattern: str) -> str:
    parse_pattern(pattern)
    return pattern


def _group_size(value: Any) -> int | str:
    # The authors' code writes -1 for "one group a row".
    if value in (None, -1, "-1", "channel"):
        return "channel"
    if str(value).isdecimal() and int(value) > 0:
        return int(value)
    raise ValueError("be a number of input features, or 'channel'")


Sparsity = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Pattern = Annotated[str, AfterValidator(_checked_pattern)]
Bits = Annotated[int, Field(ge=2, le=8)]
GroupSize = Annotated[
    int | Literal["channel"],
    PlainValidator(_group_size, json_schema_input_type=Annotated[int, Field(ge=1)] | Literal["channel"]),
]
Damping = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
GradientScale = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BlockSize = Annotated[int, Field(ge=1)]
GradientNorm = Literal["l2", "l1"]
Scope = Literal["layer", "global"]
