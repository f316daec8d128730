"""Bias against ability: points with labels, the strengths of one method joined by a line, or trials side by side."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from evenhand.report.charts import ACCENT, GRID, IDEAL, INK, PAPER, Figure, styled, svg

_WIDTHS, _HEIGHT = (500, 250), 230


@dataclass(frozen=True, slots=True)
class Dot:
    """One point: its label, ability (x), bias (y), and whether it is to stand out."""

    label: str
    x: float
    y: float
    chosen: bool


def figure(dots: Sequence[Dot], titles: tuple[str, str], level: float | None, about: str, *, joined: bool) -> Figure:
    """A chart of the points.

    Args:
        dots: the points, in the order in which a line would join them.
        titles: of the axes, x and y.
        level: where a horizontal line is drawn: the ideal, or no change; None for none.
        about: for screen readers.
        joined: join the points.
    """
    return Figure(*(svg(_chart(dots, titles, level, width, joined), about) for width in _WIDTHS))


def _chart(
    dots: Sequence[Dot], titles: tuple[str, str], level: float | None, width: int, joined: bool
) -> dict[str, Any]:
    chart = copy.deepcopy(_layers())
    encoding = {"x": chart["layer"][1]["encoding"]["x"], "y": chart["layer"][0]["encoding"]["y"]}
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots] + ([] if level is None else [level])
    for name, values, title in (("x", xs, titles[0]), ("y", ys, titles[1])):
        room = 0.12 * ((max(values) - min(values)) or abs(values[0]) or 1.0)
        encoding[name]["scale"]["domain"] = [min(values) - room, max(values) + room]
        encoding[name]["axis"]["title"] = title
    encoding["x"]["axis"]["titleLimit"], encoding["y"]["axis"]["titleLimit"] = width, _HEIGHT
    middle = (max(xs) + min(xs)) / 2
    data = [
        {
            "label": dot.label,
            "x": dot.x,
            "y": dot.y,
            "order": number,
            "level": level,
            "line": joined,
            "right": dot.x <= middle,
            "fill": ACCENT if dot.chosen else PAPER,
        }
        for number, dot in enumerate(dots)
    ]
    return chart | {"width": width, "data": {"values": data}}


@cache
def _layers() -> dict[str, Any]:
    number = "replace(toString(datum.label), '-', '\u2212')"

    def axis() -> alt.Axis:
        return alt.Axis(
            labelExpr=number, domain=False, ticks=False, tickCount=5, labelPadding=6, gridColor=GRID, title=""
        )

    x = alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False, zero=False), axis=axis())
    y = alt.Y("level:Q", scale=alt.Scale(domain=[0, 1], nice=False, zero=False), axis=axis())
    rows = alt.Chart()
    layers = (
        rows.mark_rule(color=IDEAL, strokeWidth=3, opacity=1).transform_filter("datum.level !== null").encode(y=y),
        rows.mark_line(stroke=ACCENT, strokeWidth=1.5)
        .transform_filter("datum.line")
        .encode(x=x, y="y:Q", order="order:Q"),
        rows.mark_point(size=90, stroke=ACCENT, strokeWidth=2.5, opacity=1).encode(
            x="x:Q", y="y:Q", fill=alt.Fill("fill:N", scale=None, legend=None)
        ),
        rows.mark_text(align="left", dx=6, color=INK, fontSize=12, baseline="bottom", dy=-3, limit=150)
        .transform_filter("datum.right")
        .encode(x="x:Q", y="y:Q", text="label:N"),
        rows.mark_text(align="right", dx=-6, color=INK, fontSize=12, baseline="bottom", dy=-3, limit=150)
        .transform_filter("!datum.right")
        .encode(x="x:Q", y="y:Q", text="label:N"),
    )
    return styled(alt.layer(*layers, data=alt.InlineData(values=[])).properties(width=100, height=_HEIGHT))
