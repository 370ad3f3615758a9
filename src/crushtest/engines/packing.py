"""Prefix sharing: token sequences laid out as a trie, depth first, in packs of a bounded number of tokens.

Sorted sequences share prefixes with their neighbours. Written one after another without what they share, they are the
nodes of a trie in depth-first order; node j is an ancestor of node i (or i itself) exactly when `j <= i < end[j]`.
That comparison is the attention mask, a node's depth is its position, and every distinct prefix is computed once.

A prefix that more sequences share than fit into one pack becomes a pack of its own, a trunk, whose keys and values
the packs after it reuse. Packs depend on nothing but their trunks, so any of them can be run alone and gives the
same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Line(NamedTuple):
    """A token sequence whose tokens from index `start` on (at least 1) are to be predicted."""

    tokens: Sequence[int]
    start: int


def as_line(prompt: Sequence[int]) -> Line:
    """Return a prompt as a line. Its last token is no node, so one is added that nobody asks about."""
    return Line([*prompt, 0], len(prompt))


@dataclass(frozen=True)
class Pack:
    """Nodes that are run together, in depth-first order, and what is asked of them.

    tokens    [nodes] token ids
    depth     [nodes] distance from the root of the trie: the position id
    end       [nodes] one past the last descendant within this pack
    trunk     index, in the plan, of the trunk this pack continues; None if it begins at the root
    is_trunk  True if other packs continue this one
    rows      [edges] the node that predicts
    targets   [edges] the token it is asked to predict
    lines     [edges] the line that asks
    """

    tokens: Ints
    depth: Ints
    end: Ints
    trunk: int | None
    is_trunk: bool
    rows: Ints
    targets: Ints
    lines: Ints

    @property
    def positions(self) -> Ints:
        """[edges] the place in its line of the token that predicts."""
        return self.depth[self.rows]

    @property
    def read(self) -> int:
        """How many tokens the model reads to run it."""
        return len(self.tokens)


def plan_packs(
    lines: Sequence[Line], size: int, *, shortest_trunk: int | None = None, most_lines: int | None = None
) -> list[Pack]:
    """Return all lines as packs of at most `size` nodes; a trunk stands before the packs that continue it.

    A shared prefix becomes a trunk if it has at least `shortest_trunk` tokens (default: size / 16) and what
    continues it does not fit into one pack.

    most_lines  lines per pack; an engine may tell no more sequences apart
    """
    if not lines:
        return []
    trie = _Trie.of(lines)
    most = len(lines) if most_lines is None else most_lines
    trunks, trunk_of = _find_trunks(trie, size, min(shortest_trunk or max(size // 16, 1), size), most)
    packs: list[Pack] = []
    place: dict[int, int] = {}

    def placed(trunk: int | None) -> int | None:
        if trunk is not None and trunk not in place:
            parent = placed(trunks[trunk].parent)
            place[trunk] = len(packs)
            packs.append(_trunk_pack(trie, trunks[trunk], parent))
        return None if trunk is None else place[trunk]

    for trunk, members in groupby(range(len(lines)), key=lambda index: trunk_of[index]):
        run = list(members)
        base = 0 if trunk is None else trunks[trunk].stop
        at = placed(trunk)
        cuts = _cut(trie, run[0], run[-1] + 1, base, size, most)
        packs += [pack for low, high in cuts if len((pack := _pack(trie, low, high, base, at)).tokens)]
    return packs


def trunk_chain(plan: Sequence[Pack], trunk: int | None) -> list[int]:
    """Return a trunk and those it continues, root first."""
    chain: list[int] = []
    while trunk is not None:
        chain.insert(0, trunk)
        trunk = plan[trunk].trunk
    return chain


@dataclass(frozen=True)
class _Trie:
    """The lines in sorted order.

    tokens    of each line
    start     [lines] first index to be predicted
    nodes     [lines] length as nodes: one less than its tokens, because its last token is only ever predicted
    shared    [lines] nodes shared with the line before
    order     [lines] the line's index as given
    """

    tokens: list[NDArray[np.int32]]
    start: Ints
    nodes: Ints
    shared: Ints
    order: Ints

    @staticmethod
    def of(lines: Sequence[Line]) -> _Trie:
        tokens = [np.asarray(line.tokens, dtype=np.int32) for line in lines]
        # Big-endian bytes sort as the numbers do, and much faster.
        order = sorted(range(len(lines)), key=lambda index: tokens[index].astype(">u4").tobytes())
        tokens = [tokens[index] for index in order]
        shared = [0, *(_common(a, b) for a, b in pairwise(tokens))]
        return _Trie(
            tokens,
            np.array([lines[index].start for index in order]),
            np.array([len(line) - 1 for line in tokens]),
            np.array(shared),
            np.array(order),
        )

    def targets(self, line: int, first: int, last: int) -> Ints:
        """Return what nodes first..last-1 of a line predict."""
        return self.tokens[line][first + 1 : last + 1].astype(np.int64)

    def count(self, low: int, high: int, base: int) -> int:
        """Return how many distinct nodes lines low..high-1 have beyond their first `base`."""
        new = self.nodes[low + 1 : high] - self.shared[low + 1 : high]
        return int(self.nodes[low] - base + new.sum())


def _common(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """Return how many nodes two lines share at their beginning (the last token of a line is no node)."""
    length = min(len(a), len(b)) - 1
    differs = np.flatnonzero(a[:length] != b[:length])
    return int(differs[0]) if len(differs) else length


class _Trunk(NamedTuple):
    """Nodes base..stop-1 of lines low..high-1, which all share them; they continue the trunk `parent`."""

    low: int
    high: int
    base: int
    stop: int
    parent: int | None


def _find_trunks(trie: _Trie, size: int, shortest: int, most: int) -> tuple[list[_Trunk], list[int | None]]:
    """Return the trunks, parents before children, and for each line the deepest trunk it continues."""
    trunks: list[_Trunk] = []
    trunk_of: list[int | None] = [None] * len(trie.order)
    waiting: list[tuple[int, int, int | None]] = [(0, len(trie.order), None)]
    while waiting:
        low, high, trunk = waiting.pop()
        base = 0 if trunk is None else trunks[trunk].stop
        trunk_of[low:high] = [trunk] * (high - low)
        if high - low <= most and trie.count(low, high, base) <= size:
            continue
        forks = trie.shared[low + 1 : high]
        fork = int(forks.min()) if len(forks) else int(trie.nodes[low])
        if fork - base >= shortest:
            trunks.append(_Trunk(low, high, base, min(fork, base + size), trunk))
            waiting.append((low, high, len(trunks) - 1))
        elif len(forks):
            edges = [low, *(low + 1 + np.flatnonzero(forks == fork)), high]
            waiting += [(int(a), int(b), trunk) for a, b in pairwise(edges)]
    return trunks, trunk_of


def _cut(trie: _Trie, low: int, high: int, base: int, size: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut lines low..high-1 into packs, each full to three quarters at least, where neighbours share least.

    A pack of `most` lines ends there.
    """
    total = np.concatenate([[0], np.cumsum(trie.nodes[low:high] - np.maximum(trie.shared[low:high], base))])
    first = low
    while first < high:
        # What the first line shares with the one before it must be computed again in this pack.
        room = total[first - low] + size - (max(int(trie.shared[first]), base) - base)
        last = max(low + int(np.searchsorted(total, room, side="right")) - 1, first + 1)
        if last < high:
            earliest = low + int(np.searchsorted(total, total[first - low] + 0.75 * (room - total[first - low])))
            earliest = min(max(earliest, first + 1), last)
            candidates = trie.shared[earliest : last + 1]
            last = earliest + len(candidates) - 1 - int(np.argmin(candidates[::-1]))
        last = min(last, first + most)
        yield first, last
        first = last


def _pack(trie: _Trie, low: int, high: int, base: int, trunk: int | None) -> Pack:
    """Return lines low..high-1 beyond their first `base` nodes as a pack."""
    count = trie.count(low, high, base)
    tokens, depth, end = (np.empty(count, dtype=np.int64) for _ in range(3))
    path = np.empty(max(trie.nodes[low:high].max(), 1), dtype=np.int64)
    edges: list[tuple[Ints, Ints, int]] = []
    filled = fork = base
    node = 0
    for line in range(low, high):
        length = int(trie.nodes[line])
        fork = base if line == low else max(int(trie.shared[line]), base)
        end[path[fork:filled]] = node
        new = slice(node, node + length - fork)
        path[fork:length] = np.arange(new.start, new.stop)
        tokens[new], depth[new] = trie.tokens[line][fork:length], np.arange(fork, length)
        first = max(int(trie.start[line]) - 1, base)
        edges.append((path[first:length].copy(), trie.targets(line, first, length), int(trie.order[line])))
        node, filled = new.stop, length
    end[path[base:filled]] = node
    return Pack(tokens, depth, end, trunk, False, *_columns(edges))


def _trunk_pack(trie: _Trie, trunk: _Trunk, parent: int | None) -> Pack:
    """Return a trunk's nodes as a pack. Some of them predict, for lines whose scored part begins early."""
    low, high, base, stop, _ = trunk
    edges = []
    for line in (low + np.flatnonzero(trie.start[low:high] - 1 < stop)).tolist():
        first = max(int(trie.start[line]) - 1, base)
        last = min(stop, int(trie.nodes[line]))
        edges.append((np.arange(first, last) - base, trie.targets(line, first, last), int(trie.order[line])))
    nodes = stop - base
    end = np.full(nodes, nodes)
    return Pack(
        trie.tokens[low][base:stop].astype(np.int64), np.arange(base, stop), end, parent, True, *_columns(edges)
    )


def _columns(edges: list[tuple[Ints, Ints, int]]) -> tuple[Ints, Ints, Ints]:
    """Return rows, targets and lines of the edges, each as one array."""
    if not edges:
        return (np.empty(0, dtype=np.int64),) * 3
    rows, targets, lines = zip(*edges, strict=True)
    return np.concatenate(rows), np.concatenate(targets), np.repeat(np.array(lines), [len(row) for row in rows])
