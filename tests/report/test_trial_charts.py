"""The specifications of the charts of trials and sites: what lies where, and that it follows from the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from evenhand.report import arm_charts, frontier, maps, outcomes, scatter, sites_view, trial_view
from evenhand.report.charts import ACCENT, IDEAL, MUTED, PAPER
from evenhand.report.outcomes import Moved

from . import trials


def chart(measure: outcomes.Measure) -> dict[str, Any]:
    assert measure.axis is not None
    return arm_charts.specification(measure, measure.axis, arm_charts._WIDE)


@pytest.fixture
def primary() -> outcomes.Measure:
    return trial_view.view(trials.trial()).primary[0]


def test_an_arm_lies_at_its_value_with_the_interval_of_the_change_around_it(primary: outcomes.Measure) -> None:
    first, sham, rival = chart(primary)["data"]["values"]
    assert first["value"] == pytest.approx(57.3)
    assert (first["low"], first["high"]) == pytest.approx((62.1 - 6.9, 62.1 - 2.7))
    assert (first["ideal"], first["before"]) == (50, 62.1)
    assert [row["shape"] for row in (first, sham, rival)] == ["circle", "triangle-up", "square"]
    assert [row["colour"] for row in (first, sham, rival)] == [ACCENT, MUTED, MUTED]


def test_an_arm_is_filled_only_where_its_interval_leaves_out_no_change(primary: outcomes.Measure) -> None:
    assert [row["fill"] for row in chart(primary)["data"]["values"]] == [ACCENT, PAPER, MUTED]


def test_the_axis_holds_ideal_value_before_and_all_intervals(primary: outcomes.Measure) -> None:
    low, high = chart(primary)["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert low <= 50
    assert high >= 62.1 - 0.6 + 2.1


def test_a_number_without_an_ideal_is_compared_with_the_value_before() -> None:
    (text,) = [one for one in trial_view.view(trials.trial()).transfer if one.benchmark == "perplexity"]
    found = chart(text)
    assert found["layer"][0]["encoding"]["x"]["axis"]["title"] == "value; thin line: before 24.00"
    assert all(row["ideal"] is None for row in found["data"]["values"])


def test_the_axis_of_a_number_without_an_ideal_has_round_ticks() -> None:
    measured = [trials.outcome(of=trials.change(864.37, 13.36, 9.1, metric="perplexity", ideal=None, unit=""))]
    (one,) = trial_view.view(trials.trial(outcomes=tuple(measured))).primary
    assert one.axis is not None
    assert all(float(tick).is_integer() for tick in one.axis.ticks)
    assert one.axis.low <= 864.37 < 877.73 + 9.1 <= one.axis.high


def test_a_number_without_any_value_has_no_chart() -> None:
    gone = trials.outcome(of=trials.change(before=None, value=None, half=None, reason="nothing"))
    (measure,) = trial_view.view(trials.trial(outcomes=(gone,))).primary
    assert arm_charts.figure(measure) is None


@pytest.mark.parametrize(
    ("before", "value", "half", "ideal", "expected"),
    [
        (62.0, -4.0, 2.0, 50, Moved.NEARER),
        (62.0, 4.0, 2.0, 50, Moved.FURTHER),
        (62.0, -4.0, 5.0, 50, Moved.UNSURE),
        (38.0, 4.0, 2.0, 50, Moved.NEARER),
        (38.0, -4.0, 2.0, 50, Moved.FURTHER),
        (24.0, 4.0, 2.0, None, Moved.HIGHER),
        (24.0, -4.0, 2.0, None, Moved.LOWER),
        (24.0, 0.0, 0.0, None, Moved.SAME),
        (24.0, 4.0, None, 50, Moved.UNSURE),
        (24.0, None, None, 50, Moved.NONE),
    ],
)
def test_which_way_a_number_moved_follows_from_the_interval_of_its_effect(
    before: float, value: float | None, half: float | None, ideal: float | None, expected: Moved
) -> None:
    one = trials.outcome(of=trials.change(before, value, half, ideal=ideal))
    assert outcomes.moved(one.change, one.effect) is expected


def test_crossing_the_ideal_is_said() -> None:
    one = trials.outcome(of=trials.change(52.0, -3.0, 1.0))
    assert outcomes.ArmRow("leace", "method", one).distance.endswith(", crossed")


def test_a_map_is_deepest_where_the_distance_from_the_null_is_largest() -> None:
    (group,) = sites_view.view(trials.heads(found=((2, 1),))).groups
    cells = maps._map(sites_view.spots(group), 560)["data"]["values"]
    deepest = max(cells, key=lambda cell: float(cell["depth"]))
    assert (deepest["top"], deepest["left"], deepest["depth"], deepest["found"]) == (2, 1, 1.0, True)
    assert deepest["colour"] == ACCENT
    assert {cell["colour"] for cell in cells} == {ACCENT, IDEAL}
    assert len(cells) == 81


def test_a_site_without_a_value_is_neither_above_nor_below() -> None:
    found = trials.heads()
    first = found.scores[0].model_copy(update={"value": None})
    (group,) = sites_view.view(trials.sites([first, *found.scores[1:]])).groups
    assert maps._map(sites_view.spots(group), 560)["data"]["values"][0]["colour"] == MUTED


def test_a_probe_s_line_shows_f1_and_the_band_of_shuffled_labels() -> None:
    (group,) = sites_view.view(trials.layers()).groups
    points, raw = sites_view.points(group)
    assert raw == "f1"
    last = points[11]
    assert (last.value, last.low, last.high) == pytest.approx((0.72, 0.67, 0.77))
    assert (last.null, last.null_low, last.null_high) == (0.5, 0.5, 0.56)
    rows = maps._line(points, "F1", 560)["data"]["values"]
    assert [row["banded"] for row in rows] == [True] * 12
    assert [row["fill"] == ACCENT for row in rows] == [layer > 6 for layer in range(12)]


def test_a_plain_line_shows_the_value_itself() -> None:
    scores = [s.model_copy(update={"details": {}, "null": 0.1}) for s in trials.layers().scores]
    (group,) = sites_view.view(trials.sites(scores)).groups
    points, raw = sites_view.points(group)
    assert (raw, points[3].value, points[3].null, points[3].null_high) == ("", pytest.approx(0.06), 0.1, None)


def test_a_grid_becomes_a_line_through_its_strengths_and_the_taken_one_is_filled() -> None:
    (one,) = frontier.of_grid(trials.trial())
    assert one.title == "StereoSet: Stereotype score (SS) against Perplexity"
    dots = [scatter.Dot("0.25", 24.2, 60.5, False), scatter.Dot("0.5", 24.7, 59.0, True)]
    rows = scatter._chart(dots, ("ability", "bias"), 50.0, 500, True)["data"]["values"]
    assert [(row["x"], row["y"], row["fill"] == ACCENT, row["level"]) for row in rows] == [
        (24.2, 60.5, False, 50.0),
        (24.7, 59.0, True, 50.0),
    ]


def test_a_grid_with_a_single_value_has_no_chart() -> None:
    assert frontier.of_grid(trials.trial(grid=trials.trial().grid[:1])) == ()
