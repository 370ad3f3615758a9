"""The columns of estimates.parquet and contrasts.parquet that say how an arm's draws differ; empty for one draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from crushtest.results import DrawSpread

DRAW_COLUMNS = {
    "draws": pl.Int64(),
    "draw_sd": pl.Float64(),
    "draw_share": pl.Float64(),
    "draw_values": pl.List(pl.Float64),
    "draw_verdicts": pl.List(pl.String),
}


def draw_cells(draws: DrawSpread | None) -> dict[str, Any]:
    """Return what a row says of its draws, by column."""
    return {
        "draws": draws and draws.count,
        "draw_sd": draws and draws.deviation,
        "draw_share": draws and draws.share,
        "draw_values": draws and list(draws.values),
        "draw_verdicts": list(draws.verdicts) if draws and draws.verdicts else None,
    }


def draws_of_row(row: Mapping[str, Any]) -> DrawSpread | None:
    """Return what a row says of its draws; None for a single draw, and for a row of an older study."""
    if row["draws"] is None:
        return None
    return DrawSpread(
        count=row["draws"],
        deviation=row["draw_sd"],
        share=row["draw_share"],
        values=tuple(row["draw_values"]),
        verdicts=tuple(row["draw_verdicts"] or ()),
    )
