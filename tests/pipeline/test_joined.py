"""Names that are joined against the components of a graph, as scipy finds them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crushtest.pipeline.joined import Joined

NAMES = "abcdefgh"
PLACES = st.integers(0, len(NAMES) - 1)


@given(pairs=st.lists(st.tuples(PLACES, PLACES), max_size=12))
def test_names_are_together_as_in_a_graph_and_called_by_the_first(pairs: list[tuple[int, int]]) -> None:
    sets = Joined()
    for one, other in pairs:
        sets.join(NAMES[one], NAMES[other])
    one, other = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), (one, other)), shape=(len(NAMES), len(NAMES)))
    label = connected_components(graph, directed=False)[1]
    first = {part: min(name for name, its in zip(NAMES, label, strict=True) if its == part) for part in label}
    assert [sets.first(name) for name in NAMES] == [first[part] for part in label]
