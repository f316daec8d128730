"""Reliability curves: bins by hand, orders apart, arms counted together, nothing where calibration is not measured."""

from __future__ import annotations

import numpy as np
import pytest

from evenhand.core.items import ScoreTable
from evenhand.measure.yes_no import YesNo
from evenhand.prove import _reliability
from evenhand.prove._arms import BEFORE
from evenhand.prove._compare import Paired


def table(p_yes: list[float], truth: list[float], no_first: list[float]) -> ScoreTable:
    p, true = np.array(p_yes), np.array(truth)
    said = (p > 0.5).astype(float)
    values = {"p_yes": p, "correct": said * true + (1 - said) * (1 - true), "no_first": np.array(no_first)}
    names = [f"c{n}" for n in range(len(p))]
    return ScoreTable(values, {}, names, ["all"] * len(p))


def test_bins_by_hand() -> None:
    found = _reliability.bins([table([0.91, 0.93, 0.09, 0.52, 0.99], [1, 0, 0, 0, 1], [0, 0, 0, 0, 1])], 0.0)
    # confidences .91, .93, .91 in [.9, .95): two of three right; .52 alone: wrong; .99 was asked in the other order
    assert found == [(1, 0.52, 0.0), (3, pytest.approx(2.75 / 3), pytest.approx(2 / 3))]


def test_a_curve_for_each_order_with_arms_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reliability, "FEWEST", 2)
    sure, unsure = ([0.97, 0.97, 0.97], [0.53, 0.51, 0.8]), [1.0, 0.0, 1.0]
    before, one, two = (table(p * 2, unsure * 2, [0.0] * 3 + [1.0] * 3) for p in (sure[0], sure[1], sure[1]))
    paired = Paired(YesNo(), {BEFORE: before, "a": one, "b": two}, 0)
    other = Paired(YesNo(), {BEFORE: ScoreTable({"x": np.zeros(1)}, {}, ["c"], ["all"])}, 0)
    curves = _reliability.curves({"yes_no": paired, "other": other}, {"m": ["a", "b"], "shams": []})
    assert ["yes first" in one.title for one in curves] == [True, False]
    lines = {series.name: series for series in curves[0].series}
    assert list(lines) == [BEFORE, "m", "perfect"]
    assert lines[BEFORE].x == (0.97,)
    assert lines[BEFORE].y == (0.6667,)
    assert lines["m"].x == (0.52, 0.8)
    assert lines["m"].y == (0.5, 1.0)
