"""Curves: values over layers, steps or probabilities, several lines in one panel or a panel each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any

import altair as alt

from evenhand.core.record import Curve, Series
from evenhand.report.charts import ACCENT, IDEAL, INK, MUTED, PAPER, Figure, styled, svg
from evenhand.report.findings import known
from evenhand.report.visible import one_line

TOGETHER = 4
"""So many lines may share a panel."""
_WIDTHS = (500, 240)
_HEIGHT, _LOW = 220, 110
_POINTS = 60
_COLOURS = (INK, ACCENT, IDEAL, MUTED)
_SHAPES = ("square", "circle", "triangle-up", "diamond")


def figures(curve: Curve) -> list[tuple[str, Figure]]:
    """One drawing of all lines, or one for each with its name."""
    series = known(curve)
    if not series:
        return []
    if len(series) <= TOGETHER and not curve.apart:
        return [("", _figure(curve, series, _HEIGHT))]
    return [(one_line(one.name), _figure(curve, [one], _LOW)) for one in series]


def _figure(curve: Curve, series: Sequence[Series], height: int) -> Figure:
    names = ", ".join(one_line(one.name) for one in series)
    about = (
        f"{one_line(curve.title)}: {one_line(curve.y)} over {one_line(curve.x)}; {names}. The table holds the numbers."
    )
    return Figure(*(svg(specification(curve, series, width, height), about) for width in _WIDTHS))


def specification(curve: Curve, series: Sequence[Series], width: int, height: int) -> dict[str, Any]:
    """The Vega-Lite specification of one panel."""
    alone = len(series) == 1
    looks = [(ACCENT, "circle")] if alone else list(zip(_COLOURS, _SHAPES, strict=True))[: len(series)]
    few = max(len(one.x) for one in series) <= _POINTS
    rows: list[dict[str, Any]] = [
        {
            "x": x,
            "y": y,
            "level": curve.level,
            "series": number,
            "colour": looks[number][0],
            "shape": looks[number][1],
            "fill": looks[number][0] if x in curve.chosen else PAPER,
            "pointed": few or x in curve.chosen,
        }
        for number, one in enumerate(series)
        for x, y in zip(one.x, one.y, strict=True)
    ]
    xs = [x for one in series for x in one.x]
    ys = [y for one in series for y in (*one.y, curve.level) if y is not None]
    chart = copy.deepcopy(_layers())
    first = chart["layer"][0]["encoding"]
    for name, values, title in (("x", xs, curve.x), ("y", ys, curve.y)):
        room = 0.04 * ((max(values) - min(values)) or abs(values[0]) or 1.0)
        first[name]["scale"]["domain"] = [min(values) - room, max(values) + room]
        first[name]["axis"] |= {"title": one_line(title), "titleLimit": width if name == "x" else height}
    if all(float(x).is_integer() for x in xs):
        first["x"]["axis"] |= {"tickMinStep": 1, "format": "d"}
    first["x"]["axis"]["tickCount"] = width // 45
    first["y"]["axis"]["tickCount"] = height // 35
    return chart | {"width": width, "height": height, "data": {"values": rows}}


def key(series: Sequence[Series]) -> list[tuple[str, str]]:
    """Mark and name of each line of a shared panel, for the words beside the drawing."""
    marks = {
        "square": "\N{WHITE SQUARE}",
        "circle": "\N{WHITE CIRCLE}",
        "triangle-up": "\N{WHITE UP-POINTING TRIANGLE}",
    }
    return [
        (marks.get(shape, "\N{WHITE DIAMOND}"), one_line(one.name)) for one, shape in zip(series, _SHAPES, strict=False)
    ][: len(series) if len(series) > 1 else 0]


@cache
def _layers() -> dict[str, Any]:
    number = "replace(toString(datum.label), '-', '\u2212')"

    def axis() -> alt.Axis:
        return alt.Axis(labelExpr=number, domain=False, ticks=False, labelPadding=6, title="")

    x = alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False, zero=False), axis=axis())
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, 1], nice=False, zero=False), axis=axis())
    stroke = alt.Stroke("colour:N", scale=None, legend=None)
    rows = alt.Chart()
    layers = (
        rows.mark_line(strokeWidth=2).encode(x=x, y=y, stroke=stroke, detail="series:N", order=alt.Order("x:Q")),
        rows.mark_rule(color=IDEAL, strokeWidth=2.5, opacity=1)
        .transform_filter("datum.level !== null")
        .encode(y="level:Q"),
        rows.mark_point(size=60, strokeWidth=2, opacity=1)
        .transform_filter("datum.pointed && datum.y !== null")
        .encode(
            x="x:Q",
            y="y:Q",
            stroke=stroke,
            shape=alt.Shape("shape:N", scale=None, legend=None),
            fill=alt.Fill("fill:N", scale=None, legend=None),
        ),
    )
    return styled(alt.layer(*layers, data=alt.InlineData(values=[])).properties(width=100, height=_HEIGHT))
