"""Curves, maps and tables that a fit found: what is drawn follows from the numbers, and nothing of it is lost."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from evenhand.core.record import Curve, Map, Series, Table
from evenhand.report import category_charts, curves, finding_charts, findings, maps, panels, trial_view
from evenhand.report.charts import ACCENT, IDEAL, MUTED, PAPER

from . import trials

TOLD, LOSSES, HEADS, TRIED = trials.findings()


def panel(curve: Curve, series: list[Series]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = curves.specification(curve, series, 500, 110)["data"]["values"]
    return rows


def test_lines_apart_have_a_panel_each_and_few_lines_share_one() -> None:
    assert isinstance(TOLD, Curve)
    assert isinstance(LOSSES, Curve)
    assert [name for name, _ in curves.figures(TOLD)] == ["gender", "age"]
    assert [name for name, _ in curves.figures(LOSSES)] == [""]
    many = LOSSES.model_copy(update={"series": tuple(Series(name=str(n), x=(0, 1), y=(0, n)) for n in range(5))})
    assert len(curves.figures(many)) == 5
    gone = LOSSES.model_copy(update={"series": (Series(name="a", x=(1,), y=(None,)),)})
    assert curves.figures(gone) == []


def test_a_line_goes_through_its_values_and_what_was_chosen_is_filled() -> None:
    assert isinstance(TOLD, Curve)
    rows = panel(TOLD, [TOLD.series[0]])
    assert [(row["x"], row["y"]) for row in rows] == list(zip(*(TOLD.series[0].x, TOLD.series[0].y), strict=True))
    assert [row["x"] for row in rows if row["fill"] == ACCENT] == [9, 11]
    assert {row["level"] for row in rows} == {0.5}
    low, high = curves.specification(TOLD, [TOLD.series[0]], 500, 110)["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low < 0.3 < 0.74 < high


def test_lines_in_one_panel_differ_in_colour_and_in_shape() -> None:
    assert isinstance(LOSSES, Curve)
    rows = panel(LOSSES, list(LOSSES.series))
    assert len({(row["colour"], row["shape"]) for row in rows}) == 2
    assert [(mark, name) for mark, name in curves.key(LOSSES.series)] == [("□", "before"), ("○", "after")]
    assert curves.key(LOSSES.series[:1]) == []


def test_a_map_is_coloured_by_value_over_the_largest_and_names_stand_on_its_axes() -> None:
    assert isinstance(HEADS, Map)
    (drawn,) = finding_charts.drawn([HEADS])
    assert drawn.heads == ("layer / head", "the", "nurse", "said")
    assert drawn.rows == (("0", "0.50", "−0.25", "none"), ("1", "0.00", "1.00", "0.10"))
    ((_, figure),) = drawn.figures
    assert "nurse" in figure.wide
    scaled = HEADS.model_copy(update={"largest": 2.0})
    cells = [maps._cell(spot) for spot in finding_charts.spots(scaled)]
    assert [cell["colour"] for cell in cells[:3]] == [ACCENT, IDEAL, MUTED]
    assert cells[4]["depth"] == pytest.approx(0.07 + 0.93 / 2, abs=0.01)
    assert [cell["found"] for cell in cells] == [False, False, False, False, True, False]


def test_an_empty_map_has_no_drawing() -> None:
    (drawn,) = finding_charts.drawn([Map(title="nothing", values=())])
    assert drawn.figures == ()


def test_the_table_of_a_curve_has_a_row_for_each_x_and_a_long_one_is_thinned() -> None:
    heads, rows = findings.table(LOSSES)
    assert heads == ("step", "before", "after")
    assert rows == (("1", "2.50", "1.50"), ("2", "none", "none"), ("3", "2.00", "1.00"))
    x = tuple(float(n) for n in range(300))
    _, long = findings.table(Curve(title="t", x="step", y="loss", series=(Series(name="a", x=x, y=x),)))
    assert len(long) == 40
    assert (long[0][0], long[-1][0]) == ("0", "299")


def test_the_terminal_says_what_was_chosen_or_where_a_line_begins_and_ends() -> None:
    said = dict(findings.told([TOLD, LOSSES, HEADS, TRIED]))
    assert said["Macro-F1 by layer"] == ("gender: 0.660 at 9, 0.740 at 11", "age: 0.380 at 9, 0.300 at 11")
    assert said["Loss over the steps"] == ("before: from 2.50 to 2.00", "after: from 1.50 to 1.00")
    assert said["Attention to 'No'"] == ("layer 1, head nurse: 1.00",)
    assert said["Heads that were tried"] == ("1.1, kept",)
    long = Table(title="t", columns=("a", "b"), rows=tuple((str(n), "") for n in range(9)))
    assert findings.told([long]) == [("t", ("0", "1", "2", "3", "and 5 more"))]
    plain = HEADS.model_copy(update={"chosen": (), "unit": "nats"})
    assert findings.told([plain])[0][1][0] == "layer 1, head nurse: 1.00 nats"


def test_findings_whose_parts_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="has 2 x and 1 y"):
        Series(name="a", x=(0, 1), y=(0,))
    with pytest.raises(ValidationError, match="finite"):
        Series(name="a", x=(0,), y=(float("nan"),))
    with pytest.raises(ValidationError, match="rows of different lengths"):
        Map(title="m", values=((1,), (1, 2)))
    with pytest.raises(ValidationError, match="1 columns and 2 names"):
        Map(title="m", values=((1,),), column_names=("a", "b"))
    with pytest.raises(ValidationError, match="1 rows and 2 names"):
        Map(title="m", values=((1,),), row_names=("a", "b"))
    with pytest.raises(ValidationError, match="has not 2 cells"):
        Table(title="t", columns=("a", "b"), rows=(("1",),))


def test_findings_come_back_from_json_as_they_were() -> None:
    one = trials.arm()
    assert type(one).model_validate_json(one.model_dump_json()).findings == trials.findings()


def test_categories_are_drawn_with_before_and_every_arm() -> None:
    matrix = trial_view.view(trials.trial()).matrices[0]
    axis = panels.spread([40.0, 70.0], None, None)
    rows = category_charts.specification(matrix, axis, category_charts._WIDE)["data"]["values"]
    first = rows[:4]
    assert (first[0]["label"], first[0]["before"], first[0]["ideal"]) == (matrix.rows[0].label, 60.0, 50.0)
    assert first[0]["ours"] == matrix.rows[0].cells[0].after == first[3]["value"]
    assert [row["shape"] for row in first[1:]] == ["square", "triangle-up", "circle"]
    assert [row["colour"] for row in first[1:]] == [MUTED, MUTED, ACCENT]
    assert {row["fill"] for row in rows if "fill" in row} == {PAPER, ACCENT, MUTED}
    long = trial_view.Matrix("t", "m", "", "none", (), matrix.rows * 20, "")
    assert category_charts.figure(long) is None
