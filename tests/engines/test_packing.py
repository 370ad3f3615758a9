"""Packs of trie nodes: every line is answered from its own prefix, and no prefix is computed twice."""

from __future__ import annotations

import random

import numpy as np
import pytest

from crushtest.engines.packing import Line, Pack, plan_packs, trunk_chain


def paths(plan: list[Pack], index: int) -> list[list[int]]:
    """The tokens from the root to each node of a pack, its trunk included, by the ancestor rule."""
    pack = plan[index]
    before = [int(token) for trunk in trunk_chain(plan, pack.trunk) for token in plan[trunk].tokens]
    return [
        before + [int(pack.tokens[j]) for j in range(node + 1) if node < pack.end[j]]
        for node in range(len(pack.tokens))
    ]


def asked(plan: list[Pack], line: int) -> list[tuple[tuple[int, ...], int]]:
    """What a plan asks on behalf of a line: after which tokens, for which token."""
    found = []
    for index, pack in enumerate(plan):
        known = paths(plan, index)
        for row, target, asking in zip(pack.rows, pack.targets, pack.lines, strict=True):
            if asking == line:
                found.append((tuple(known[row]), int(target)))
    return sorted(found)


def random_lines(seed: int) -> list[Line]:
    draw = random.Random(seed)
    common = [draw.randrange(3) for _ in range(draw.choice([0, 3, 20]))]
    lines = []
    for _ in range(draw.randint(1, 12)):
        tokens = common[: draw.randint(0, len(common))] + [draw.randrange(3) for _ in range(draw.randint(2, 14))]
        lines.append(Line(tokens, draw.randint(1, len(tokens))))
    return lines


@pytest.mark.parametrize("seed", range(150))
def test_every_line_is_asked_for_its_own_tokens_after_its_own_prefix(seed: int) -> None:
    lines = random_lines(seed)
    size = random.Random(seed).choice([1, 4, 8, 16, 100])
    plan = plan_packs(lines, size, shortest_trunk=random.Random(seed).choice([None, 1, 3, 8]))
    for number, line in enumerate(lines):
        wanted = [(tuple(line.tokens[:at]), line.tokens[at]) for at in range(line.start, len(line.tokens))]
        assert asked(plan, number) == sorted(wanted)


@pytest.mark.parametrize("seed", range(40))
def test_a_pack_keeps_to_its_size_and_depths_are_positions(seed: int) -> None:
    size = random.Random(seed).choice([1, 4, 16])
    plan = plan_packs(random_lines(seed), size)
    for index, pack in enumerate(plan):
        assert 0 < len(pack.tokens) <= size
        assert [len(path) - 1 for path in paths(plan, index)] == pack.depth.tolist()


def test_a_trie_by_hand() -> None:
    # 5 6 7 | 5 6 8 9 | 5 4: the last token of a line is only predicted, so the nodes are 5, 6, 8.
    (pack,) = plan_packs([Line([5, 6, 7], 2), Line([5, 6, 8, 9], 2), Line([5, 4], 1)], 100)
    assert pack.tokens.tolist() == [5, 6, 8]
    assert pack.depth.tolist() == [0, 1, 2]
    assert pack.end.tolist() == [3, 3, 3]
    assert sorted(zip(pack.rows.tolist(), pack.targets.tolist(), pack.lines.tolist(), strict=True)) == [
        (0, 4, 2),
        (1, 7, 0),
        (1, 8, 1),
        (2, 9, 1),
    ]


def test_in_one_pack_every_distinct_prefix_is_one_node() -> None:
    for seed in range(50):
        lines = random_lines(seed)
        distinct = {tuple(line.tokens[:end]) for line in lines for end in range(1, len(line.tokens))}
        assert sum(len(pack.tokens) for pack in plan_packs(lines, 10_000)) == len(distinct)


def test_examples_that_all_items_share_are_computed_once() -> None:
    draw = random.Random(1)
    examples = [draw.randrange(1000) for _ in range(700)]
    questions = [[first, *(draw.randrange(1000) for _ in range(39))] for first in range(100)]
    lines = [Line([*examples, *question, option], 740) for question in questions for option in range(3)]
    plan = plan_packs(lines, 512)
    assert sum(len(pack.tokens) for pack in plan) == 700 + 100 * 40
    trunks = [index for index, pack in enumerate(plan) if pack.is_trunk]
    assert len(trunks) == 2, "700 tokens in pieces of at most 512"
    assert all(trunk_chain(plan, pack.trunk) == trunks for pack in plan if not pack.is_trunk)


def test_subjects_with_examples_of_their_own_get_a_trunk_each() -> None:
    draw = random.Random(2)
    lines = []
    for subject in range(3):
        examples = [subject, *(draw.randrange(1000) for _ in range(299))]
        lines += [Line([*examples, first, *(draw.randrange(1000) for _ in range(30))], 330) for first in range(20)]
    plan = plan_packs(lines, 256)
    assert sum(len(pack.tokens) for pack in plan) == 3 * (300 + 20 * 30)


def test_packs_are_cut_where_neighbours_share_little() -> None:
    draw = random.Random(3)
    contexts = [[first, *(draw.randrange(1000) for _ in range(59))] for first in range(40)]
    lines = [Line([*context, *option, 0], 60) for context in contexts for option in ([1, 2], [3, 4], [5, 6])]
    plan = plan_packs(lines, 512)
    assert sum(len(pack.tokens) for pack in plan) == 40 * 66, "no context is computed again at the start of a pack"
    assert len(plan) <= 7


def test_the_order_of_lines_does_not_change_the_packs() -> None:
    lines = random_lines(7) + random_lines(8)
    shuffled = random.Random(0).sample(range(len(lines)), len(lines))
    one, other = plan_packs(lines, 16), plan_packs([lines[index] for index in shuffled], 16)
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.tokens, b.tokens)
        assert np.array_equal(a.end, b.end)


def test_nothing_to_do_is_no_pack() -> None:
    assert plan_packs([], 16) == []
