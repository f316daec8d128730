"""Calibration errors by hand, against a direct count, and where they must be zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evenhand.core.items import ScoreTable
from evenhand.metrics._estimate import estimate
from evenhand.metrics._metric import Metric
from evenhand.metrics.ece_mass import EceMass
from evenhand.metrics.ece_width import EceWidth

MakeTable = Callable[..., ScoreTable]
ValueOf = Callable[[Metric, ScoreTable], float]


def tabled(table: MakeTable, p: list[float], correct: list[float], order: list[float] | None = None) -> ScoreTable:
    return table({"p_yes": p, "correct": correct, "no_first": order or [0.0] * len(p)})


def test_bins_of_equal_width_by_hand(table: MakeTable, value_of: ValueOf) -> None:
    # confidences .52 .48(->.52) | .93 | 1: bins 0, 0, 8, 9; right: 1 of 2, 0 of 1, 1 of 1
    made = tabled(table, [0.52, 0.48, 0.07, 1.0], [1.0, 0.0, 0.0, 1.0])
    assert value_of(EceWidth(), made) == pytest.approx((2 * abs(0.52 - 0.5) + 0.93 + 0.0) / 4)


def test_bins_of_equal_mass_by_hand(table: MakeTable, value_of: ValueOf) -> None:
    # twenty different confidences: two in each bin
    conf = np.linspace(0.51, 0.89, 20)
    right = np.tile([1.0, 0.0, 1.0, 1.0], 5)
    pairs = np.abs(conf.reshape(10, 2).mean(axis=1) - right.reshape(10, 2).mean(axis=1))
    assert value_of(EceMass(), tabled(table, list(conf), list(right))) == pytest.approx(pairs.mean())


def direct(conf: np.ndarray, right: np.ndarray, ends: np.ndarray) -> float:
    """ECE straight from its definition; a bin holds the confidences from one end to below the next."""
    total = 0.0
    for low, high in zip([-1.0, *ends], [*ends, 2.0], strict=True):
        inside = (conf >= low) & (conf < high)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - conf[inside].mean())
    return total


def test_both_are_the_definition_on_random_answers(table: MakeTable, value_of: ValueOf) -> None:
    rng = np.random.default_rng(3)
    p = rng.random(200)
    right = (rng.random(200) < 0.6).astype(float)
    conf = np.maximum(p, 1 - p)
    made = tabled(table, list(p), list(right))
    assert value_of(EceWidth(), made) == pytest.approx(direct(conf, right, np.linspace(0.55, 0.95, 9)))
    assert value_of(EceMass(), made) == pytest.approx(direct(conf, right, np.quantile(conf, np.arange(1, 10) / 10)))


@pytest.mark.parametrize("metric", [EceWidth(), EceMass()])
def test_errors_of_one_order_do_not_hide_those_of_the_other(
    metric: Metric, table: MakeTable, value_of: ValueOf
) -> None:
    # 0.75 sure in both orders; right always in one and in half of the cases in the other: 0.75 on average
    p, order = [0.75] * 8, [0.0] * 4 + [1.0] * 4
    right = [1.0] * 4 + [1.0, 0.0] * 2
    assert value_of(metric, tabled(table, p, right, order)) == pytest.approx(0.25)
    assert value_of(metric, tabled(table, p, right)) == pytest.approx(0.0)
    only = tabled(table, p[4:], right[4:], order[4:])
    assert value_of(metric, only) == pytest.approx(0.25)


@pytest.mark.parametrize("metric", [EceWidth(), EceMass()])
def test_being_sure_and_wrong_is_one_and_sure_and_right_is_zero(
    metric: Metric, table: MakeTable, value_of: ValueOf
) -> None:
    assert value_of(metric, tabled(table, [0.0, 1.0], [0.0, 0.0])) == pytest.approx(1.0)
    assert value_of(metric, tabled(table, [0.0, 1.0], [1.0, 1.0])) == pytest.approx(0.0)


@pytest.mark.parametrize("metric", [EceWidth(), EceMass()])
def test_the_interval_of_a_calibrated_model_allows_for_the_bias_of_small_samples(
    metric: Metric, table: MakeTable
) -> None:
    """The card says how far above 0 a calibrated model lies, and that the interval reaches below the value."""
    rng = np.random.default_rng(4)
    values, lows = [], []
    for _ in range(8):
        p = rng.random(300)
        truth = rng.random(300) < p
        right = np.where(p > 0.5, truth, ~truth).astype(float)
        found = estimate(tabled(table, list(p), list(right)), metric, benchmark="toy", draws=200)
        assert found.value is not None
        values.append(found.value)
        lows.append(found.low)
    assert 0.5 < np.mean(values) / (0.4 * (10 / 300) ** 0.5) < 1.1
    assert np.mean([low is not None and low <= 0.012 for low in lows]) >= 0.75
