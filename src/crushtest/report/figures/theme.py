"""Colours and type of every figure, twice: as the page's CSS variables, and as fixed colours for files.

Worse is orange-brown and better is blue, a pair that stays apart for the common kinds of colour blindness; depth is
lightness, so the steps survive printing in grey. Curves differ by shape as well as by colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STEPS = (1, 2, 3, 4)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


@dataclass(frozen=True)
class Theme:
    """What a figure is drawn with. `worse` and `better` go from faint to strong; `legend` says whether it has one."""

    ink: str
    muted: str
    line: str
    surface: str
    noise: str
    hatch: str
    changed: str
    worse: tuple[str, str, str, str]
    better: tuple[str, str, str, str]
    series: tuple[str, ...]
    font: str

    def fill(self, tone: str, depth: int) -> str:
        """Return the colour of a shade."""
        if tone == "changed":
            return self.changed
        steps = {"worse": self.worse, "better": self.better}.get(tone)
        return steps[depth - 1] if steps else self.noise if tone == "noise" else self.surface

    def on_fill(self, tone: str, depth: int) -> str:
        """Return the colour of text on a shade."""
        return self.surface if tone in ("worse", "better") and depth == len(STEPS) else self.ink

    def config(self) -> dict[str, Any]:
        """Return Vega-Lite's configuration: quiet axes, no frame."""
        text = {"labelColor": self.muted, "titleColor": self.ink, "labelFont": self.font, "titleFont": self.font}
        axis = {**text, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": 500, "titlePadding": 8}
        grid = {"gridColor": self.line, "domainColor": self.line, "tickColor": self.line, "domain": False}
        return {
            "background": None,
            "font": self.font,
            "view": {"stroke": None},
            "axis": {**axis, **grid, "ticks": False, "labelPadding": 6},
            # The title of a y axis lies level above it, where it can be read.
            "axisY": {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": -34, "titleY": -14},
            "legend": {**text, "labelFontSize": 11, "titleFontSize": 11, "symbolSize": 70, "orient": "bottom"},
            "text": {"color": self.ink, "font": self.font, "fontSize": 11},
            "title": {
                "color": self.ink,
                "font": self.font,
                "fontSize": 13,
                "fontWeight": 600,
                "anchor": "start",
                "subtitleColor": self.muted,
            },
        }


def series_scale(theme: Theme, names: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the scales of colour and of shape for curves of these names.

    Both begin anew after six. The shapes then begin one further on, so that no two of 36 names share both.
    """
    turns = [divmod(place, len(theme.series)) for place in range(len(names))]
    colours = [theme.series[place] for _, place in turns]
    shapes = [SHAPES[(place + turn) % len(SHAPES)] for turn, place in turns]
    return {"domain": names, "range": colours}, {"domain": names, "range": shapes}


def _variables(name: str) -> tuple[str, str, str, str]:
    return (f"var(--{name}-1)", f"var(--{name}-2)", f"var(--{name}-3)", f"var(--{name}-4)")


PAGE = Theme(
    ink="var(--ink)",
    muted="var(--muted)",
    line="var(--line)",
    surface="var(--surface)",
    noise="var(--noise)",
    hatch="var(--hatch)",
    changed="var(--changed)",
    worse=_variables("worse"),
    better=_variables("better"),
    series=tuple(f"var(--series-{number})" for number in range(1, 7)),
    font="system-ui, sans-serif",
)
PAPER = Theme(
    ink="#1c2024",
    muted="#5b6470",
    line="#dfe3e8",
    surface="#ffffff",
    noise="#f3f4f6",
    hatch="#c9cfd6",
    changed="#d9d2e9",
    worse=("#fdebd6", "#f8c892", "#e58f3d", "#ad4f00"),
    better=("#e0edf8", "#aed2ee", "#5fa3d9", "#175a95"),
    series=("#1f4e79", "#b0457b", "#2f8577", "#8a7420", "#6a57a8", "#68717c"),
    font="Liberation Sans, Arial, Helvetica, sans-serif",
)
