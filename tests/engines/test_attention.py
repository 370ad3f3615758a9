"""Packed attention against attention written out with one full mask."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crushtest.engines.hf.attention import Kept, chunk_length, lay_out, packed_attention
from crushtest.engines.packing import Line, Pack, plan_packs
from crushtest.errors import EngineError

SETTINGS: dict[str, Any] = {"dtype": torch.float32, "device": torch.device("cpu")}
MODULE: Any = None


def random_pack(seed: int, questions: int = 30) -> Pack:
    draw = random.Random(seed)
    lines = []
    for _ in range(questions):
        context = [draw.randrange(50) for _ in range(draw.randint(1, 40))]
        lines += [Line([*context, *(draw.randrange(50) for _ in range(draw.randint(1, 9)))], 1) for _ in range(3)]
    (pack,) = plan_packs(lines, 10_000)
    return pack


def tensors(nodes: int, heads: int = 4, key_heads: int = 2, size: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(nodes)
    return (
        torch.randn(1, heads, nodes, size, generator=generator),
        torch.randn(1, key_heads, nodes, size, generator=generator),
        torch.randn(1, key_heads, nodes, size, generator=generator),
    )


def written_out(query: Tensor, key: Tensor, value: Tensor, visible: np.ndarray[Any, Any], scaling: float) -> Tensor:
    """softmax(Q K^T scaling, hidden ones excluded) V, in float64: [nodes, heads, size]."""
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor[0].double().repeat_interleave(groups, dim=0) for tensor in (key, value))
    scores = query[0].double() @ key.transpose(1, 2) * scaling
    scores = scores.masked_fill(~torch.from_numpy(visible), float("-inf"))
    return (scores.softmax(dim=-1) @ value).transpose(0, 1)


def ancestors(pack: Pack) -> np.ndarray[Any, Any]:
    node = np.arange(len(pack.tokens))
    return (node[None, :] <= node[:, None]) & (node[:, None] < pack.end[None, :])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (4, 2), (6, 1)])
def test_every_node_attends_to_its_ancestors_alone(seed: int, heads: int, key_heads: int) -> None:
    pack = random_pack(seed)
    layout = lay_out(pack, **SETTINGS)
    assert len(layout.chunks) > 1
    query, key, value = tensors(len(pack.tokens), heads, key_heads)
    run = [tensor[:, :, layout.order] for tensor in (query, key, value)]
    answer, _ = packed_attention(MODULE, *run, None, pack=layout, scaling=0.3)
    wanted = written_out(query, key, value, ancestors(pack), 0.3)
    torch.testing.assert_close(answer[0, layout.place].double(), wanted, atol=1e-5, rtol=1e-5)


def test_a_trunk_is_seen_by_all_nodes() -> None:
    pack = random_pack(1)
    query, key, value = tensors(len(pack.tokens))
    _, trunk_key, trunk_value = tensors(21)
    deeper = Pack(pack.tokens, pack.depth + 21, pack.end, 0, False, pack.rows, pack.targets, pack.lines)
    pieces = [
        Kept([trunk_key[0, :, :9]], [trunk_value[0, :, :9]]),
        Kept([trunk_key[0, :, 9:]], [trunk_value[0, :, 9:]]),
    ]
    layout = lay_out(deeper, **SETTINGS, trunk=pieces)
    run = [tensor[:, :, layout.order] for tensor in (query, key, value)]
    answer, _ = packed_attention(MODULE, *run, None, pack=layout, scaling=0.3)
    visible = np.concatenate([np.ones((len(pack.tokens), 21), dtype=bool), ancestors(pack)], axis=1)
    both = [torch.cat(pair, dim=2) for pair in ((trunk_key, key), (trunk_value, value))]
    wanted = written_out(query, *both, visible, 0.3)
    torch.testing.assert_close(answer[0, layout.place].double(), wanted, atol=1e-5, rtol=1e-5)


def test_keys_and_values_are_kept_in_the_order_of_the_pack() -> None:
    pack = random_pack(2)
    keep = Kept()
    layout = lay_out(pack, **SETTINGS, keep=keep)
    query, key, value = tensors(len(pack.tokens))
    packed_attention(MODULE, *(tensor[:, :, layout.order] for tensor in (query, key, value)), None, pack=layout)
    assert torch.equal(keep.keys[0], key[0])
    assert torch.equal(keep.values[0], value[0])


@pytest.mark.parametrize("lengths", [(90,), (70, 120, 64)])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (4, 2)])
def test_long_paths_are_attended_causally_without_a_mask(lengths: tuple[int, ...], heads: int, key_heads: int) -> None:
    (pack,) = plan_packs([Line([first, *range(10, 10 + length)], 1) for first, length in enumerate(lengths)], 10_000)
    keep = Kept()
    layout = lay_out(pack, **SETTINGS, keep=keep)
    assert len(layout.paths) == len(lengths)
    assert not layout.chunks
    query, key, value = tensors(len(pack.tokens), heads, key_heads)
    answer, _ = packed_attention(MODULE, query, key, value, None, pack=layout, scaling=0.3)
    wanted = written_out(query, key, value, ancestors(pack), 0.3)
    torch.testing.assert_close(answer[0].double(), wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(keep.keys[0], key[0])


def test_a_branch_anywhere_makes_chunks() -> None:
    (pack,) = plan_packs([Line([*range(100), last, 7], 1) for last in (500, 600)], 10_000)
    layout = lay_out(pack, **SETTINGS)
    assert not layout.paths
    assert layout.chunks


def test_far_fewer_scores_are_computed_than_under_a_full_mask() -> None:
    pack = random_pack(3, questions=60)
    computed = sum(chunks.mask.numel() for chunks in lay_out(pack, **SETTINGS).chunks)
    assert computed < 0.1 * len(pack.tokens) ** 2


def test_longer_prefixes_are_attended_in_longer_chunks() -> None:
    (short,) = plan_packs([Line([*range(40)], 1)], 10_000)
    (long,) = plan_packs([Line([*range(4000)], 1)], 10_000)
    assert chunk_length(short) == 32
    assert chunk_length(long) == 256


VARIANTS: list[dict[str, Any]] = [
    {"softcap": 2.0},
    {"s_aux": torch.tensor([0.5, -1.0, 2.0, 0.0])},
    {"sliding_window": 8},
    {"sliding_window": 8, "softcap": 2.0, "s_aux": torch.tensor([0.5, -1.0, 2.0, 0.0])},
]


def variant_written_out(
    query: Tensor, key: Tensor, value: Tensor, visible: np.ndarray[Any, Any], ages: np.ndarray[Any, Any], **variant: Any
) -> Tensor:
    """Attention with a cap, a sink and a window, in float64: [nodes, heads, size]."""
    key, value = (
        tensor[0].double().repeat_interleave(query.shape[1] // key.shape[1], dim=0) for tensor in (key, value)
    )
    scores = query[0].double() @ key.transpose(1, 2) * 0.3
    cap, window, sinks = (variant.get(name) for name in ("softcap", "sliding_window", "s_aux"))
    scores = scores if cap is None else cap * torch.tanh(scores / cap)
    seen = torch.from_numpy(visible if window is None else visible & (ages < window))
    weights = scores.masked_fill(~seen, float("-inf")).exp()
    total = weights.sum(-1, keepdim=True) + (0 if sinks is None else sinks.double().exp()[:, None, None])
    return (weights / total @ value).transpose(0, 1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("branching", [True, False])
def test_caps_sinks_and_windows_are_what_they_are_written_out(variant: dict[str, Any], branching: bool) -> None:
    lines = [Line([first, *range(10, 10 + length)], 1) for first, length in enumerate((70, 300, 64))]
    pack = random_pack(4) if branching else plan_packs(lines, 10_000)[0]
    layout = lay_out(pack, **SETTINGS)
    assert bool(layout.paths) != branching
    query, key, value = tensors(len(pack.tokens))
    run = [tensor[:, :, layout.order] for tensor in (query, key, value)]
    answer, _ = packed_attention(MODULE, *run, None, pack=layout, scaling=0.3, **variant)
    ages = pack.depth[:, None] - pack.depth[None, :]
    wanted = variant_written_out(query, key, value, ancestors(pack), ages, **variant)
    torch.testing.assert_close(answer[0, layout.place].double(), wanted, atol=1e-5, rtol=1e-5)


def test_a_bias_of_positions_is_refused() -> None:
    pack = random_pack(4)
    layout = lay_out(pack, **SETTINGS)
    with pytest.raises(EngineError, match="does not support"):
        packed_attention(MODULE, *tensors(len(pack.tokens)), None, pack=layout, position_bias=torch.zeros(1))


def test_a_sliding_window_longer_than_the_pack_hides_nothing() -> None:
    pack = random_pack(4)
    layout = lay_out(pack, **SETTINGS)
    data = tensors(len(pack.tokens))
    plain, _ = packed_attention(MODULE, *data, None, pack=layout)
    windowed, _ = packed_attention(MODULE, *data, None, pack=layout, sliding_window=int(pack.depth.max()) + 1)
    assert torch.equal(plain, windowed)
