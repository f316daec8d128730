"""Where in a model: a map of layers by heads, and a line over the layers with what the null gives."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import altair as alt

from evenhand.report.charts import ACCENT, IDEAL, INK, MUTED, PAPER, Figure, styled, svg
from evenhand.report.sites_view import Group, Point, Spot, points, spots

_WIDTHS = (560, 286)
"""Width of the plot in pixels, wide and narrow."""


def of_group(group: Group) -> Figure | None:
    """A map of units by layer, or a line over the layers; None for a part with a single site."""
    count = len(group.rows)
    if group.by_unit:
        about = f"{group.title}: map of {count} sites, layers down, heads across. Deeper colour: further from the null."
        return heat_map(spots(group), about)
    if count < 2:
        return None
    drawn, raw = points(group)
    title = (raw.upper() if len(raw) < 3 else raw.replace("_", " ")) or "value"
    return line(drawn, title, f"{group.title}: {title} over {count} layers, with what the null gives.")


Pair = tuple[str, str]
Names = tuple[Sequence[str], Sequence[str]]


def heat_map(cells: Sequence[Spot], about: str, titles: Pair = ("head", "layer"), names: Names = ((), ())) -> Figure:
    """Layers from top to bottom, units from left to right; the deeper the colour, the further from the null.

    Args:
        cells: all of them.
        about: for screen readers.
        titles: of the axes, across and down.
        names: of columns and rows, instead of numbers from 0.
    """
    return Figure(*(svg(_map(cells, width, titles, names), about) for width in _WIDTHS))


def _map(
    cells: Sequence[Spot], width: int, titles: Pair = ("head", "layer"), names: Names = ((), ())
) -> dict[str, Any]:
    columns = 1 + max(cell.unit for cell in cells)
    layers = 1 + max(cell.layer for cell in cells)
    across = min(34.0, width / columns)
    down = max(11.0, min(22.0, 480.0 / layers))
    chart = copy.deepcopy(_map_chart())
    x, y = (chart["layer"][0]["encoding"][name] for name in ("x", "y"))
    x["scale"]["domain"], y["scale"]["domain"] = [0, columns], [layers, 0]
    x["axis"]["values"], y["axis"]["values"] = (
        [number + 0.5 for number in _ticks(count, room)]
        for count, room in ((columns, across / 22), (layers, down / 14))
    )
    x["axis"]["title"], y["axis"]["title"] = titles
    for axis, named in zip((x["axis"], y["axis"]), names, strict=True):
        if named:
            axis["labelExpr"] = f"{json.dumps(list(named))}[floor(datum.value)]"
            axis |= {"values": [number + 0.5 for number in range(len(named))], "labelOverlap": False, "labelLimit": 110}
    if names[0]:
        x["axis"] |= {"labelAngle": -50, "labelAlign": "right"}
    values = [_cell(cell) for cell in cells]
    return chart | {"width": across * columns, "height": down * layers, "data": {"values": values}}


@cache
def _map_chart() -> dict[str, Any]:
    def axis(title: str) -> alt.Axis:
        return alt.Axis(
            labelExpr="floor(datum.value)", domain=False, ticks=False, grid=False, labelPadding=4, title=title
        )

    x = alt.X("left:Q", scale=alt.Scale(domain=[0, 1], nice=False, zero=False), axis=axis("head"))
    y = alt.Y("top:Q", scale=alt.Scale(domain=[1, 0], nice=False, zero=False), axis=axis("layer"))
    cells = alt.Chart()
    drawn = cells.mark_rect(strokeWidth=1, stroke=PAPER).encode(
        x=x,
        x2="right:Q",
        y=y,
        y2="bottom:Q",
        fill=alt.Fill("colour:N", scale=None, legend=None),
        fillOpacity=alt.FillOpacity("depth:Q", scale=None, legend=None),
    )
    framed = cells.mark_rect(strokeWidth=2, stroke=INK, fill="transparent", opacity=1).encode(
        x="inner_left:Q", x2="inner_right:Q", y="inner_top:Q", y2="inner_bottom:Q"
    )
    chosen = framed.transform_filter("datum.found")
    return styled(alt.layer(drawn, chosen, data=alt.InlineData(values=[])).properties(width=100, height=100))


def _cell(spot: Spot) -> dict[str, Any]:
    share = 0.0 if spot.share is None else spot.share
    return {
        "left": spot.unit,
        "right": spot.unit + 1,
        "top": spot.layer,
        "bottom": spot.layer + 1,
        "inner_left": spot.unit + 0.08,
        "inner_right": spot.unit + 0.92,
        "inner_top": spot.layer + 0.08,
        "inner_bottom": spot.layer + 0.92,
        "colour": MUTED if spot.share is None else ACCENT if share >= 0 else IDEAL,
        "depth": 0.02 if spot.share is None else round(0.07 + 0.93 * abs(share), 2),
        "found": spot.found,
    }


def line(layers: Sequence[Point], title: str, about: str) -> Figure:
    """Values over the layers, the null as a band (or a line where its ends are not known)."""
    return Figure(*(svg(_line(layers, title, width), about) for width in _WIDTHS))


def _line(layers: Sequence[Point], title: str, width: int) -> dict[str, Any]:
    ends = [
        end for p in layers for end in (p.value, p.low, p.high, p.null, p.null_low, p.null_high) if end is not None
    ] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    room = 0.06 * ((high - low) or 1.0)
    chart = copy.deepcopy(_line_chart())
    first = chart["layer"][0]["encoding"]
    last = max(point.layer for point in layers)
    first["x"]["scale"]["domain"] = [-0.5, last + 0.5]
    first["x"]["axis"]["values"] = _ticks(last + 1, width / 26 / (last + 1))
    first["y"]["scale"]["domain"] = [low - room, high + room]
    first["y"]["axis"]["title"] = title
    return chart | {"width": width - 40, "data": {"values": [_layer(point) for point in layers]}}


@cache
def _line_chart() -> dict[str, Any]:
    number = "replace(toString(datum.label), '-', '\u2212')"
    x = alt.X(
        "layer:Q",
        scale=alt.Scale(domain=[0, 1], nice=False, zero=False),
        axis=alt.Axis(format="d", domain=False, ticks=False, grid=False, labelPadding=6, title="layer"),
    )
    y = alt.Y(
        "null_low:Q",
        scale=alt.Scale(domain=[0, 1], nice=False, zero=False),
        axis=alt.Axis(labelExpr=number, domain=False, ticks=False, tickCount=5, labelPadding=6, title=""),
    )
    rows = alt.Chart()
    layers = (
        rows.mark_area(fill=MUTED, fillOpacity=0.18)
        .transform_filter("datum.banded")
        .encode(x=x, y=y, y2="null_high:Q"),
        rows.mark_line(stroke=MUTED, strokeWidth=1.5)
        .transform_filter("datum.null !== null")
        .encode(x="layer:Q", y="null:Q"),
        rows.mark_line(stroke=ACCENT, strokeWidth=2)
        .transform_filter("datum.value !== null")
        .encode(x="layer:Q", y="value:Q"),
        rows.mark_rule(stroke=ACCENT, strokeWidth=2.5, opacity=1)
        .transform_filter("datum.low !== null")
        .encode(x="layer:Q", y="low:Q", y2="high:Q"),
        rows.mark_point(size=70, stroke=ACCENT, strokeWidth=2, opacity=1)
        .transform_filter("datum.value !== null")
        .encode(x="layer:Q", y="value:Q", fill=alt.Fill("fill:N", scale=None, legend=None)),
    )
    return styled(alt.layer(*layers, data=alt.InlineData(values=[])).properties(width=100, height=220))


def _layer(point: Point) -> dict[str, Any]:
    banded = point.null_low is not None and point.null_high is not None
    return {
        "layer": point.layer,
        "value": point.value,
        "low": point.low if point.high is not None else None,
        "high": point.high,
        "null": point.null,
        "null_low": point.null_low,
        "null_high": point.null_high,
        "banded": banded,
        "fill": ACCENT if point.found else PAPER,
    }


def _ticks(count: int, share: float) -> list[int]:
    """Numbers 0, s, 2s, ... below `count`, with room for `share` labels per cell."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000, 100_000) if step * share >= 1 or step == 100_000)
    return list(range(0, count, step))
