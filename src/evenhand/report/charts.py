"""Interval charts as inline SVG: drawn by Vega-Lite through Altair and vl-convert, without any script in the page.

Every chart is drawn twice, wide (labels beside the plot) and narrow (labels above each row, for a phone), and the
style sheet shows one of them. The colours below are the light theme; the style sheet replaces each of them by name
(`svg [fill="#..."]`), which is how dark mode works.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.etree import ElementTree

import altair as alt
import vl_convert
from markupsafe import Markup

from evenhand.report.numbers import short
from evenhand.report.panels import Axis, Panel
from evenhand.report.rows import Row, Standing

INK, MUTED, GRID, ACCENT, IDEAL, PAPER = "#1f2328", "#59636e", "#d8dee4", "#0b5cad", "#a04100", "#fffffe"

_ELEMENTS = frozenset({"svg", "g", "path", "line", "text", "rect"})
_GEOMETRY = {"d", "dx", "dy", "x", "x1", "x2", "y", "y1", "y2", "width", "height", "transform", "viewBox"}
_PAINT = {"fill", "fill-opacity", "opacity", "stroke", "stroke-linecap", "stroke-opacity", "stroke-width"}
_TEXT = {"font-size", "font-weight", "text-anchor"}
_ATTRIBUTES = frozenset(_GEOMETRY | _PAINT | _TEXT)


@dataclass(frozen=True, slots=True)
class Figure:
    """The two drawings of one panel, ready to be put into a page."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True, slots=True)
class _Shape:
    """Sizes of a drawing in pixels.

    Attributes:
        plot: width of the plot.
        step: height of a row.
        mark: where in its row the mark lies, from the top.
        rule: how far the ideal's line reaches above and below the mark.
        label: left end of the label, its place in the row and its greatest width.
    """

    plot: int
    step: int
    mark: int
    rule: int
    label: tuple[int, int, int]


_WIDE = _Shape(plot=310, step=24, mark=12, rule=12, label=(-226, 12, 216))
_NARROW = _Shape(plot=290, step=42, mark=31, rule=11, label=(-4, 10, 290))


def figure(panel: Panel, about: str) -> Figure | None:
    """The chart of a panel, None where there is nothing to compare with; `about` describes it to screen readers."""
    if panel.axis is None:
        return None
    return Figure(*(svg(specification(panel, panel.axis, shape), about) for shape in (_WIDE, _NARROW)))


def specification(panel: Panel, axis: Axis, shape: _Shape) -> dict[str, Any]:
    """The Vega-Lite specification of a panel: the shape's chart with the panel's rows and ends of scale."""
    height = shape.step * len(panel.rows)
    chart = copy.deepcopy(_chart(shape))
    scales = chart["layer"][0]["encoding"]
    scales["x"]["scale"]["domain"] = [axis.low, axis.high]
    scales["x"]["axis"] |= {"values": list(axis.ticks), "title": _x_title(panel.unit, axis)}
    scales["y"]["scale"]["domain"] = [height, 0]
    rows = [_datum(i, row, shape) for i, row in enumerate(panel.rows)]
    return chart | {"height": height, "data": {"values": rows}}


def axes(width: int) -> tuple[alt.X, alt.Y]:
    """Axes of a chart of rows: x with numbers below, y in pixels from the top; a specification sets their ends."""
    x = alt.X(
        "ideal:Q",
        scale=alt.Scale(domain=[0, 1], nice=False, zero=False),
        axis=alt.Axis(
            labelExpr="replace(toString(datum.value), '-', '\u2212')",
            domain=False,
            ticks=False,
            labelPadding=6,
            labelFlush=False,
            titleLimit=width,
        ),
    )
    return x, alt.Y("top:Q", scale=alt.Scale(domain=[1, 0], nice=False, zero=False), axis=None)


@cache
def _chart(shape: _Shape) -> dict[str, Any]:
    """Ideal, interval, value and label of each row; y is in pixels from the top. Built once: Altair takes a while."""
    first_x, first_y = axes(shape.plot)
    rows, (left, _, limit) = alt.Chart(), shape.label
    layers = (
        rows.mark_rule(color=IDEAL, strokeWidth=2, opacity=1).encode(x=first_x, y=first_y, y2="bottom:Q"),
        rows.mark_rule(color=ACCENT, strokeWidth=4, strokeCap="round", opacity=1).encode(
            x="low:Q", x2="high:Q", y="mark:Q"
        ),
        rows.mark_point(size=95, stroke=ACCENT, strokeWidth=2.5, opacity=1).encode(
            x="value:Q",
            y="mark:Q",
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
    chart = alt.layer(*layers, data=alt.InlineData(values=[])).properties(width=shape.plot)
    return styled(chart)


def styled(chart: alt.LayerChart | alt.FacetChart) -> dict[str, Any]:
    """The specification of a chart in the colours and sizes that all charts share."""
    config = alt.Config(
        background="transparent",
        aria=False,
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            gridColor=GRID,
            labelColor=MUTED,
            titleColor=MUTED,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        ),
    )
    padding = {"left": 2, "right": 8, "top": 2, "bottom": 2}
    found: dict[str, Any] = chart.properties(padding=padding, config=config).to_dict()
    return found


def _datum(index: int, row: Row, shape: _Shape) -> dict[str, Any]:
    estimate, top = row.estimate, index * shape.step
    return {
        "label": row.label,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "ideal": estimate.ideal,
        "top": top + shape.mark - shape.rule,
        "bottom": top + shape.mark + shape.rule,
        "mark": top + shape.mark,
        "beside": top + shape.label[1],
        "shape": "circle" if row.standing in (Standing.ABOVE, Standing.BELOW, Standing.WITHIN) else "diamond",
        "fill": ACCENT if row.standing in (Standing.ABOVE, Standing.BELOW) else PAPER,
        "missing": "no value" if estimate.value is None else "",
    }


def _x_title(unit: str, axis: Axis) -> str:
    value = f"value in {unit}" if unit else "value"
    if axis.ideal is None:
        return f"{value}; the vertical lines are the ideals"
    return f"{value}; the vertical line at {short(axis.ideal)} is the ideal"


def svg(chart: dict[str, Any], about: str) -> Markup:
    """Draw, and keep only the elements and attributes that a still picture needs.

    Raises:
        ValueError: the drawing holds an element that is not on the list (an error of ours: nothing else is passed on).
    """
    drawn = vl_convert.vegalite_to_svg(chart, vl_version=_version())
    root = ElementTree.fromstring(drawn)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if element.tag not in _ELEMENTS:
            raise ValueError(f"unexpected element <{element.tag}> in a chart")
        kept = {key: value for key, value in element.attrib.items() if key in _ATTRIBUTES}
        element.attrib.clear()
        element.attrib.update(kept)
    root.set("role", "img")
    root.set("aria-label", about)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _version() -> str:
    """The Vega-Lite version of the installed Altair, as vl-convert names it: `6.4`."""
    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
