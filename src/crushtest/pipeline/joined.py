"""Names that belong together because others join them, however long the chain."""

from __future__ import annotations


class Joined:
    """Sets of names that grow together (union-find); a name that was never joined is alone.

    >>> sets = Joined()
    >>> sets.join("b", "c"), sets.join("a", "c"), sets.first("b")
    (None, None, 'a')
    """

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def first(self, name: str) -> str:
        """Return the first name, in sorted order, of those that are together with this one."""
        parent = self._parent
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def join(self, one: str, other: str) -> None:
        """Put two names together, and with them all that either is together with."""
        first, second = sorted((self.first(one), self.first(other)))
        self._parent[second] = first
