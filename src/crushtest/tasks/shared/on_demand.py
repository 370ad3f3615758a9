"""Sequences whose members are made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

Made = TypeVar("Made", covariant=True)


class OnDemand(Sequence[Made]):
    """A sequence that makes a member when it is asked for. Like `Sequence`, it is completed by its subclasses."""

    @abstractmethod
    def make(self, index: int) -> Made:
        """Return the member at an index from 0 to the length minus 1."""

    @overload
    def __getitem__(self, index: int) -> Made: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Made]: ...
    def __getitem__(self, index: int | slice) -> Made | Sequence[Made]:
        place = range(len(self))[index]
        return self.make(place) if isinstance(place, int) else [self.make(at) for at in place]
