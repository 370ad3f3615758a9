"""How much is run at once: the usual on a CPU, by memory elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crushtest.engines.hf.likelihood import bytes_per_token
from crushtest.engines.hf.sizes import (
    LARGEST_PACK,
    PACK_SHARE,
    SMALLEST_PACK,
    USUAL_BATCH,
    USUAL_PACK,
    USUAL_STORED,
    Asked,
    Sizes,
    fit_sizes,
    halved,
    pack_bytes,
)
from crushtest.study.repeats import PACKING
from support.tiny_models import network

NETWORK = network("llama")
USUAL = Sizes(USUAL_PACK, USUAL_BATCH, USUAL_STORED // bytes_per_token(NETWORK))
MEMORY = st.integers(2**20, 2**40)


@pytest.mark.parametrize("free", [None, 2**33, 2**43])
def test_a_cpu_with_enough_memory_runs_the_usual_whatever_it_has(free: int | None) -> None:
    assert fit_sizes(NETWORK, Asked(), free=free, accelerator=False) == USUAL


def test_repeats_shrink_what_is_usual() -> None:
    assert PACKING == {"pack_tokens": USUAL_PACK, "batch_size": USUAL_BATCH}


@given(MEMORY)
def test_a_pack_fits_its_share_of_memory_or_is_the_smallest(free: int) -> None:
    for accelerator in (False, True):
        pack = fit_sizes(NETWORK, Asked(), free=free, accelerator=accelerator).pack_tokens
        assert pack == SMALLEST_PACK or pack_bytes(NETWORK, pack) <= PACK_SHARE * free
        assert pack <= (LARGEST_PACK if accelerator else USUAL_PACK)


@given(MEMORY, MEMORY, st.booleans())
def test_more_memory_never_runs_less_at_once(one: int, other: int, accelerator: bool) -> None:
    less, more = (fit_sizes(NETWORK, Asked(), free=free, accelerator=accelerator) for free in sorted((one, other)))
    assert all(a <= b for a, b in zip(less, more, strict=True))


def test_an_accelerator_runs_more_at_once() -> None:
    sizes = fit_sizes(NETWORK, Asked(), free=80 * 2**30, accelerator=True)
    assert all(more > usual for more, usual in zip(sizes, USUAL, strict=True))


@given(MEMORY, st.booleans())
def test_what_is_asked_for_is_run(free: int, accelerator: bool) -> None:
    assert fit_sizes(NETWORK, Asked(7, 3, 100), free=free, accelerator=accelerator) == Sizes(7, 3, 100)


def test_writing_halves_batches_as_well() -> None:
    assert halved(Sizes(9, 4, 1), writing=False) == Sizes(4, 4, 1)
    assert halved(Sizes(9, 4, 1), writing=True) == Sizes(4, 2, 1)
