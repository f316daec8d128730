"""Before, after, sham and rivals of one number as a chart: ideal, value before, and each arm with its interval."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from evenhand.report.charts import ACCENT, IDEAL, INK, MUTED, PAPER, Figure, axes, styled, svg
from evenhand.report.numbers import short
from evenhand.report.outcomes import ArmRow, Measure, Moved
from evenhand.report.panels import Axis

SHAPES = {"method": "circle", "sham": "triangle-up", "rival": "square"}
SURE = (Moved.NEARER, Moved.FURTHER, Moved.LOWER, Moved.HIGHER)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes in pixels: width of the plot, height of a row, the mark's place in it, label (left, place, width)."""

    plot: int
    step: int
    mark: int
    label: tuple[int, int, int]


_WIDE = Shape(plot=310, step=26, mark=13, label=(-226, 13, 216))
_NARROW = Shape(plot=290, step=42, mark=31, label=(-4, 10, 290))


def figure(measure: Measure) -> Figure | None:
    """The chart of a number, None where no arm has a value."""
    axis = measure.axis
    if axis is None or all(row.change.after is None for row in measure.rows):
        return None
    about = (
        f"{measure.home}, {measure.name}: the value with each of {len(measure.rows)} patches against the value before "
        "and the ideal. The table holds the same numbers."
    )
    return Figure(*(svg(specification(measure, axis, shape), about) for shape in (_WIDE, _NARROW)))


def specification(measure: Measure, axis: Axis, shape: Shape) -> dict[str, Any]:
    """The Vega-Lite specification: the shape's chart with the arms of this number."""
    height = shape.step * len(measure.rows)
    chart = copy.deepcopy(_chart(shape))
    scales = chart["layer"][0]["encoding"]
    scales["x"]["scale"]["domain"] = [axis.low, axis.high]
    scales["x"]["axis"] |= {"values": list(axis.ticks), "title": _title(measure)}
    scales["y"]["scale"]["domain"] = [height, 0]
    rows = [_datum(number, row, shape, measure) for number, row in enumerate(measure.rows)]
    return chart | {"height": height, "data": {"values": rows}}


@cache
def _chart(shape: Shape) -> dict[str, Any]:
    """Ideal, value before, interval, value and label of each arm; y in pixels from the top. Built once."""
    x, y = axes(shape.plot)
    colour = alt.Stroke("colour:N", scale=None, legend=None)
    rows, (left, _, limit) = alt.Chart(), shape.label
    layers = (
        rows.mark_rule(color=IDEAL, strokeWidth=3, opacity=1).encode(x=x, y=y, y2="bottom:Q"),
        rows.mark_rule(color=MUTED, strokeWidth=1.5, opacity=1).encode(x="before:Q", y="top:Q", y2="bottom:Q"),
        rows.mark_rule(strokeWidth=4, strokeCap="round", opacity=1).encode(
            x="low:Q", x2="high:Q", y="mark:Q", stroke=colour
        ),
        rows.mark_point(size=95, strokeWidth=2.5, opacity=1).encode(
            x="value:Q",
            y="mark:Q",
            stroke=colour,
            shape=alt.Shape("shape:N", scale=None, legend=None),
            fill=alt.Fill("fill:N", scale=None, legend=None),
        ),
        rows.mark_text(align="left", baseline="middle", color=INK, fontSize=12.5, limit=limit).encode(
            x=alt.value(left), y="beside:Q", text="label:N"
        ),
        rows.mark_text(align="center", baseline="middle", color=MUTED, fontSize=12).encode(
            x=alt.value(shape.plot / 2), y="mark:Q", text="missing:N"
        ),
    )
    return styled(alt.layer(*layers, data=alt.InlineData(values=[])).properties(width=shape.plot))


def _datum(index: int, row: ArmRow, shape: Shape, measure: Measure) -> dict[str, Any]:
    estimate, top = row.row.estimate, index * shape.step
    colour = ACCENT if row.role == "method" else MUTED
    return {
        "label": row.label,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "ideal": measure.change.ideal,
        "before": measure.change.before,
        "top": top,
        "bottom": top + shape.step,
        "mark": top + shape.mark,
        "beside": top + shape.label[1],
        "shape": SHAPES.get(row.role, "circle"),
        "colour": colour,
        "fill": colour if row.moved in SURE else PAPER,
        "missing": "no value" if estimate.value is None else "",
    }


def _title(measure: Measure) -> str:
    value = f"value in {measure.unit}" if measure.unit else "value"
    lines = [] if measure.change.ideal is None else [f"thick line: ideal {short(measure.change.ideal)}"]
    if measure.change.before is not None:
        lines.append(f"thin line: before {measure.before}")
    return f"{value}; {', '.join(lines)}" if lines else value
