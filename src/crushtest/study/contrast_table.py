"""A contrast as a row of contrasts.parquet: its parts are flat there, so that SQL can ask for each by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from crushtest.files.parquet import TableKind
from crushtest.records import DENSE
from crushtest.results import Contrast, Effect, Flips, Interval, Intervals, Look, OptionChange, PValue, Spread
from crushtest.study.draw_columns import DRAW_COLUMNS, draw_cells, draws_of_row

LOOK = {
    "look": pl.Int64(),
    "looks": pl.Int64(),
    "pool": pl.Int64(),
    "pool_low": pl.Float64(),
    "pool_high": pl.Float64(),
    "pool_flips_low": pl.Float64(),
    "pool_flips_high": pl.Float64(),
}
"""The columns about the look at which an arm stopped, empty in all other rows; `pool` counts the full run's items."""

CONTRASTS = TableKind(
    "contrasts",
    pl.Schema(
        {
            "arm": pl.String(),
            "task": pl.String(),
            "metric": pl.String(),
            "group": pl.String(),
            "dense": pl.Float64(),
            "value": pl.Float64(),
            "difference": pl.Float64(),
            "low": pl.Float64(),
            "high": pl.Float64(),
            "p": pl.Float64(),
            "n": pl.Int64(),
            "n_unscored": pl.Int64(),
            "flips": pl.Int64(),
            "flips_up": pl.Int64(),
            "flips_down": pl.Int64(),
            "better": pl.String(),
            "verdict": pl.String(),
            "reason": pl.String(),
            "clusters": pl.Int64(),
            "method": pl.String(),
            "p_method": pl.String(),
            "low90": pl.Float64(),
            "high90": pl.Float64(),
            "p_adjusted": pl.Float64(),
            "ratio": pl.Float64(),
            "effect": pl.Float64(),
            "effect_kind": pl.String(),
            "mde": pl.Float64(),
            "at_risk_up": pl.Int64(),
            "at_risk_down": pl.Int64(),
            "worst": pl.String(),
            "spread": pl.Float64(),
            "spread_p": pl.Float64(),
            "noise": pl.Float64(),
            "caution": pl.String(),
            "margin_dense": pl.Float64(),
            "margin": pl.Float64(),
            "kl": pl.Float64(),
            "compares": pl.String(),
            "against": pl.String(),
            "noise_flips": pl.Int64(),
            "noise_flip_share": pl.Float64(),
            "noise_net_share": pl.Float64(),
            "flips_p": pl.Float64(),
            **DRAW_COLUMNS,
            **LOOK,
        }
    ),
    newer=frozenset({"against", "noise_flips", "noise_flip_share", "noise_net_share", "flips_p", *DRAW_COLUMNS, *LOOK}),
    filled=("arm", "task", "metric", "group", "better", "n", "n_unscored", "clusters", "verdict"),
)
"""The columns of contrasts.parquet, in order. Readers of the file rely on the names; new columns go last."""


def contrast_row(contrast: Contrast) -> dict[str, Any]:
    """Return a contrast as a row of the table, columns in its order."""
    intervals, p, spread, options = contrast.intervals, contrast.p, contrast.spread, contrast.options
    look = contrast.look
    row = {
        "arm": contrast.arm,
        "task": contrast.task,
        "metric": contrast.metric,
        "group": contrast.group,
        "better": contrast.better,
        "dense": contrast.dense,
        "value": contrast.value,
        "n": contrast.n,
        "n_unscored": contrast.n_unscored,
        "clusters": contrast.clusters,
        "difference": contrast.difference,
        "low": intervals and intervals.at95.low,
        "high": intervals and intervals.at95.high,
        "low90": intervals and intervals.at90.low,
        "high90": intervals and intervals.at90.high,
        "method": intervals and intervals.method,
        "p": p and p.value,
        "p_method": p and p.method,
        "p_adjusted": p and p.adjusted,
        "flips": contrast.flips.total,
        "flips_up": contrast.flips.up,
        "flips_down": contrast.flips.down,
        "flips_p": contrast.flips.p,
        "at_risk_up": contrast.flips.at_risk_up,
        "at_risk_down": contrast.flips.at_risk_down,
        "ratio": contrast.effect.ratio,
        "effect": contrast.effect.standardized,
        "effect_kind": contrast.effect.kind,
        "mde": contrast.mde,
        "verdict": contrast.verdict,
        "reason": contrast.reason,
        "caution": contrast.caution,
        "worst": contrast.worst,
        "spread": spread and spread.deviation,
        "spread_p": spread and spread.p,
        "noise": contrast.noise,
        "noise_flips": contrast.noise_flips,
        "noise_flip_share": contrast.noise_flip_share,
        "noise_net_share": contrast.noise_net_share,
        "margin_dense": options and options.margin_dense,
        "margin": options and options.margin,
        "kl": options and options.kl,
        "compares": contrast.compares,
        "against": contrast.against,
        **draw_cells(contrast.draws),
        "look": look and look.number,
        "looks": look and look.of,
        "pool": look and look.items,
        "pool_low": look and look.low,
        "pool_high": look and look.high,
        "pool_flips_low": look and look.flips_low,
        "pool_flips_high": look and look.flips_high,
    }
    return {column: row[column] for column in CONTRASTS.schema}


def contrast_from_row(row: Mapping[str, Any]) -> Contrast:
    """Return the contrast that `contrast_row` made a row of. A row without `against` compares with dense."""
    return Contrast(
        arm=row["arm"],
        task=row["task"],
        metric=row["metric"],
        group=row["group"],
        better=row["better"],
        dense=row["dense"],
        value=row["value"],
        n=row["n"],
        n_unscored=row["n_unscored"],
        clusters=row["clusters"],
        difference=row["difference"],
        intervals=_intervals(row),
        p=None if row["p"] is None else PValue(value=row["p"], method=row["p_method"], adjusted=row["p_adjusted"]),
        flips=Flips(
            total=row["flips"],
            up=row["flips_up"],
            down=row["flips_down"],
            p=row["flips_p"],
            at_risk_up=row["at_risk_up"],
            at_risk_down=row["at_risk_down"],
        ),
        effect=Effect(ratio=row["ratio"], standardized=row["effect"], kind=row["effect_kind"]),
        mde=row["mde"],
        verdict=row["verdict"],
        reason=row["reason"],
        caution=row["caution"],
        worst=row["worst"],
        spread=None if row["spread"] is None else Spread(deviation=row["spread"], p=row["spread_p"]),
        noise=row["noise"],
        noise_flips=row["noise_flips"],
        noise_flip_share=row["noise_flip_share"],
        noise_net_share=row["noise_net_share"],
        options=None
        if row["kl"] is None
        else OptionChange(margin_dense=row["margin_dense"], margin=row["margin"], kl=row["kl"]),
        compares=row["compares"],
        against=DENSE if row["against"] is None else row["against"],
        draws=draws_of_row(row),
        look=None if row["look"] is None else _look(row),
    )


def _look(row: Mapping[str, Any]) -> Look:
    return Look(
        number=row["look"],
        of=row["looks"],
        items=row["pool"],
        low=row["pool_low"],
        high=row["pool_high"],
        flips_low=row["pool_flips_low"],
        flips_high=row["pool_flips_high"],
    )


def _intervals(row: Mapping[str, Any]) -> Intervals | None:
    """Return the intervals of a row; None where it lacks any end."""
    low, high, low90, high90 = (row[column] for column in ("low", "high", "low90", "high90"))
    if None in (low, high, low90, high90):
        return None
    return Intervals(at95=Interval(low, high), at90=Interval(low90, high90), method=row["method"])
