"""Categories before and after as a chart: a line for each, with the untouched model, the method, shams and rivals."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import altair as alt

from evenhand.report import panels
from evenhand.report.arm_charts import SHAPES, SURE, Shape
from evenhand.report.charts import ACCENT, GRID, IDEAL, INK, MUTED, PAPER, Figure, axes, styled, svg
from evenhand.report.numbers import short
from evenhand.report.outcomes import Matrix
from evenhand.report.panels import Axis

MOST = 40
"""Longer tables get no chart."""
_WIDE = Shape(plot=400, step=24, mark=12, label=(-226, 12, 216))
_NARROW = Shape(plot=290, step=40, mark=29, label=(-4, 10, 290))


def figure(matrix: Matrix) -> Figure | None:
    """The chart of a table of categories; None where there is nothing to compare, or too much."""
    values = [one.after for row in matrix.rows for one in row.cells if one.after is not None]
    before = [row.level for row in matrix.rows if row.level is not None]
    if not values or not before or not 1 < len(matrix.rows) <= MOST:
        return None
    ideal = [] if matrix.level is None else [matrix.level]
    points = [*values, *before, *ideal]
    floor = matrix.level if matrix.level == min(points) else None
    axis = panels.spread(points, floor, None)
    about = (
        f"{matrix.title}: {matrix.measure} of {len(matrix.rows)} categories, before and with {len(matrix.arms)} "
        "patches. The table holds the numbers."
    )
    return Figure(*(svg(specification(matrix, axis, shape), about) for shape in (_WIDE, _NARROW)))


def specification(matrix: Matrix, axis: Axis, shape: Shape) -> dict[str, Any]:
    """The Vega-Lite specification: the shape's chart with the categories of this table."""
    height = shape.step * len(matrix.rows)
    chart = copy.deepcopy(_chart(shape))
    scales = chart["layer"][0]["encoding"]
    scales["x"]["scale"]["domain"] = [axis.low, axis.high]
    scales["x"]["axis"] |= {"values": list(axis.ticks), "title": _title(matrix)}
    scales["y"]["scale"]["domain"] = [height, 0]
    data = []
    for number, row in enumerate(matrix.rows):
        top = number * shape.step
        place: dict[str, Any] = {
            "top": top,
            "bottom": top + shape.step,
            "mark": top + shape.mark,
            "beside": top + shape.label[1],
        }
        base: dict[str, Any] = {**place, "label": row.label, "before": row.level, "ideal": matrix.level}
        ours = next((one.after for one in row.cells if one.role == "method"), None)
        data.append(base | {"value": None, "ours": ours})
        for one in reversed(row.cells):  # the method is drawn last, on top
            colour = ACCENT if one.role == "method" else MUTED
            looks = {"colour": colour, "shape": SHAPES.get(one.role, "circle")}
            data.append(place | looks | {"value": one.after, "fill": colour if one.moved in SURE else PAPER})
    return chart | {"height": height, "data": {"values": data}}


@cache
def _chart(shape: Shape) -> dict[str, Any]:
    """Ideal, value before, the way to the method's value, and the marks; y in pixels from the top. Built once."""
    x, y = axes(shape.plot)
    rows, (left, _, limit) = alt.Chart(), shape.label
    layers = (
        rows.mark_rule(color=IDEAL, strokeWidth=3, opacity=1).encode(x=x, y=y, y2="bottom:Q"),
        rows.mark_rule(color=GRID, strokeWidth=6, opacity=1)
        .transform_filter("isValid(datum.before) && isValid(datum.ours)")
        .encode(x="before:Q", x2="ours:Q", y="mark:Q"),
        rows.mark_tick(color=INK, thickness=2.5, size=14, opacity=1)
        .transform_filter("isValid(datum.before)")
        .encode(x="before:Q", y="mark:Q"),
        rows.mark_point(size=70, strokeWidth=2, opacity=1)
        .transform_filter("isValid(datum.value)")
        .encode(
            x="value:Q",
            y="mark:Q",
            stroke=alt.Stroke("colour:N", scale=None, legend=None),
            shape=alt.Shape("shape:N", scale=None, legend=None),
            fill=alt.Fill("fill:N", scale=None, legend=None),
        ),
        rows.mark_text(align="left", baseline="middle", color=INK, fontSize=12.5, limit=limit)
        .transform_filter("isValid(datum.label)")
        .encode(x=alt.value(left), y="beside:Q", text="label:N"),
    )
    return styled(alt.layer(*layers, data=alt.InlineData(values=[])).properties(width=shape.plot))


def _title(matrix: Matrix) -> str:
    value = f"{matrix.measure}, {matrix.unit}" if matrix.unit else matrix.measure
    ideal = "" if matrix.level is None else f"; thick line: ideal {short(matrix.level)}"
    return f"{value}{ideal}; short line: before"
