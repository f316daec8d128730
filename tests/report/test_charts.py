"""Charts as still SVG: marks where they belong, nothing but drawing elements, text that stays text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import altair as alt
import pytest
from jsonschema import ValidationError

from evenhand.report import charts, panels
from evenhand.report.panels import Panel

from .corpus import ATTACKS
from .records import estimate


@pytest.fixture(scope="module")
def panel() -> Panel:
    rows = [
        estimate(60, 55, 70, by={"category": "above"}),
        estimate(52, 45, 59, by={"category": "within"}),
        estimate(40, 35, 45, by={"category": "below"}),
        estimate(45, by={"category": "no interval"}, reason="two clusters"),
        estimate(None, by={"category": "undefined"}, reason="0/0"),
    ]
    (found,) = panels.slices(rows, "crows_pairs", "stereotype_rate")
    return found


@pytest.fixture(scope="module")
def drawn(panel: Panel) -> charts.Figure:
    figure = charts.figure(panel, "five rows & a 'quote\"")
    assert figure is not None
    return figure


def lines(svg: str, colour: str) -> list[tuple[float, float]]:
    """Left end and length of each horizontal or vertical line of a colour, in plot pixels."""
    out = []
    for line in ElementTree.fromstring(svg).iter("line"):
        if line.get("stroke") == colour:
            x = re.match(r"translate\(([-\d.]+),", line.get("transform", ""))
            assert x
            out.append((float(x[1]), float(line.get("x2", "0"))))
    return out


def test_intervals_and_ideals_are_drawn_to_scale(panel: Panel, drawn: charts.Figure) -> None:
    assert panel.axis is not None
    for svg, plot in ((drawn.wide, 310), (drawn.narrow, 290)):
        expected = [
            (panel.axis.place(row.estimate.low) * plot, (row.estimate.high - row.estimate.low) * plot)
            for row in panel.rows
            if row.estimate.low is not None and row.estimate.high is not None
        ]
        span = panel.axis.high - panel.axis.low
        found = lines(svg, charts.ACCENT)
        assert found == [pytest.approx((x, length / span), abs=0.01) for x, length in expected]
        assert {x for x, _ in lines(svg, charts.IDEAL)} == {plot / 2}


def test_the_shape_of_a_value_says_where_its_interval_stands(drawn: charts.Figure) -> None:
    fills = [
        (path.get("fill"), "A" in path.get("d", ""))
        for path in ElementTree.fromstring(drawn.wide).iter("path")
        if path.get("stroke") == charts.ACCENT
    ]
    filled, open_circle, open_diamond = (charts.ACCENT, True), (charts.PAPER, True), (charts.PAPER, False)
    assert sorted(fills) == sorted([filled, filled, open_circle, open_diamond])


def test_labels_ticks_and_missing_values_are_text(drawn: charts.Figure) -> None:
    for svg in (drawn.wide, drawn.narrow):
        texts = [text.text for text in ElementTree.fromstring(svg).iter("text")]
        assert {"above", "within", "below", "no interval", "undefined", "no value", "50"} <= set(texts)


def test_a_tick_says_its_own_value() -> None:
    (found,) = panels.overall([estimate(-2.3, -6.3, 1.7, ideal=0, metric="x", unit="points")], "crows_pairs")
    figure = charts.figure(found, "")
    assert found.axis is not None
    assert figure is not None
    ticks = {text.text for text in ElementTree.fromstring(figure.wide).iter("text")}
    assert {f"{tick:g}".replace("-", "−") for tick in found.axis.ticks} <= ticks


def test_the_drawing_has_a_role_a_name_and_nothing_that_runs_or_loads(drawn: charts.Figure) -> None:
    for svg in (drawn.wide, drawn.narrow):
        root = ElementTree.fromstring(svg)
        assert (root.get("role"), root.get("aria-label")) == ("img", "five rows & a 'quote\"")
        assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "line", "text", "rect"}
        assert not [name for element in root.iter() for name in element.attrib if name in ("style", "href", "class")]


def test_the_specification_is_valid_vega_lite(panel: Panel) -> None:
    assert panel.axis is not None
    spec = charts.specification(panel, panel.axis, charts._WIDE)
    alt.LayerChart.from_dict(spec, validate=True)
    with pytest.raises(ValidationError):
        alt.LayerChart.from_dict(spec | {"layer": "none"}, validate=True)


def test_hostile_labels_stay_text() -> None:
    rows = [estimate(60, 55, 65, by={"category": attack}) for attack in ATTACKS]
    (found,) = panels.slices(rows, "crows_pairs", "stereotype_rate")
    figure = charts.figure(found, ATTACKS[0])
    assert figure is not None
    for svg in (figure.wide, figure.narrow):
        root = ElementTree.fromstring(svg)
        assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "line", "text", "rect"}
        texts = [text.text or "" for text in root.iter("text")]
        assert sum(text.startswith("<script>window.h") for text in texts) == 1
        assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]


def test_without_an_ideal_there_is_no_chart() -> None:
    (found,) = panels.overall([estimate(24, 23, 25, metric="perplexity", ideal=None, unit="")], "crows_pairs")
    assert charts.figure(found, "") is None
