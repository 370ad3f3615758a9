"""Windows of passages, against the loops of the tools that each protocol is named after, written out plainly."""

from __future__ import annotations

import pytest

from crushtest.engines.windows import Window, cut
from crushtest.errors import EngineError
from crushtest.records import Passage


def windows(count: int, window: int, protocol: str, stride: int | None = None) -> list[Window]:
    return cut(count, Passage("", window, protocol, stride), 2048)  # type: ignore[arg-type]


def test_rolling_by_hand() -> None:
    # 10 tokens behind the prefix, 4 predicted at a time: 1-4, 5-8, 9-10; the last window reads 4 tokens too.
    assert windows(11, 4, "rolling") == [(0, 5, 1), (4, 9, 5), (6, 11, 9)]


@pytest.mark.parametrize("count", [1, 2, 5, 9, 10, 33])
@pytest.mark.parametrize("window", [1, 4, 7])
def test_rolling_predicts_every_token_once_and_reads_at_most_a_window(count: int, window: int) -> None:
    found = windows(count, window, "rolling")
    assert [token for one in found for token in range(one.first, one.stop)] == list(range(1, count))
    assert all(one.stop - 1 - one.start <= window for one in found)


def test_pruning_drops_the_tail_and_the_first_of_each_window() -> None:
    # numel // seqlen windows; logits[:-1] of each against labels[1:], as in the evaluation code of Wanda.
    assert windows(11, 4, "pruning") == [(0, 4, 1), (4, 8, 5)]
    assert windows(12, 4, "pruning") == [(0, 4, 1), (4, 8, 5), (8, 12, 9)]


def test_pruning_of_a_text_shorter_than_a_window_is_one_window() -> None:
    assert windows(3, 4, "pruning") == [(0, 3, 1)]
    assert windows(1, 4, "pruning") == []


@pytest.mark.parametrize(("count", "window", "stride"), [(11, 4, 2), (12, 4, 4), (5, 8, 3), (30, 10, 7), (9, 4, 1)])
def test_sliding_is_the_strided_loop_of_the_transformers_documentation(count: int, window: int, stride: int) -> None:
    expected = []
    previous = 0
    for begin in range(0, count, stride):
        end = min(begin + window, count)
        new = end - previous  # target_ids[:, :-trg_len] = -100, and the model shifts the labels by one
        labelled = range(end - new, end)
        expected.append([token for token in labelled if token > begin])
        previous = end
        if end == count:
            break
    found = windows(count, window, "sliding", stride)
    assert [list(range(one.first, one.stop)) for one in found] == [tokens for tokens in expected if tokens]
    assert all(one.stop - one.start <= window for one in found)


def test_a_window_longer_than_the_model_takes_is_refused() -> None:
    with pytest.raises(EngineError, match="window must be 1 to 2048"):
        windows(10, 4096, "pruning")


def test_a_rolling_window_is_at_most_what_the_model_takes() -> None:
    assert cut(11, Passage("", 2048), 4) == windows(11, 4, "rolling")


def test_a_stride_that_leaves_gaps_is_refused() -> None:
    with pytest.raises(EngineError, match="stride must be 1 to the window, 4"):
        windows(10, 4, "sliding", 5)
