"""An arm that stops early says what its full run would say, and soon: simulated with the gate's own rules.

All cells at 2,000 runs take half an hour on one core, and those with exact bounds far longer. They run in the slow
lane (CRUSHTEST_SLOW=1).
"""

from __future__ import annotations

import pytest

from support.stopping_simulation import BLOCKS, SINGLES, Cell, cells, simulate

RUNS = 2000


@pytest.mark.slow
@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_the_verdict_is_the_full_runs(cell: Cell) -> None:
    seen = simulate(cell, RUNS)
    print(cell, seen)
    assert seen.other <= 0.02
    if cell.effect == cell.margin:
        assert seen.regressions <= 0.03
    if cell.rules == 1 and cell.bounds == "normal" and cell.shape == SINGLES and cell.margin == 0.02:
        if cell.effect == 0.10:
            assert seen.told_by <= 1 / 3
        if cell.effect == 0 and cell.sure == "regression":
            assert seen.mean <= 0.40


@pytest.mark.parametrize("shape", [SINGLES, BLOCKS])
def test_a_large_harm_is_told_by_half_of_the_items(shape: object) -> None:
    seen = simulate(Cell(shape, 0.15, 0.10, 0.02), 30)  # type: ignore[arg-type]
    assert seen.other == 0
    assert seen.regressions == 1
    assert seen.told_by <= 0.6


def test_a_clean_arm_passes_by_half_of_the_items() -> None:
    seen = simulate(Cell(SINGLES, 0.15, 0.0, 0.02), 30)
    assert seen.other == 0
    assert seen.mean <= 0.5
