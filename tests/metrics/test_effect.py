"""Effects: the change of the distance from the ideal, by hand, and the interval against a simulation."""

from __future__ import annotations

import numpy as np
import pytest

from evenhand.core.items import ScoreTable
from evenhand.metrics._effect import effect, mean_change
from evenhand.metrics.ss import Ss


def table(prefers: list[list[float]]) -> ScoreTable:
    """One list of preferences (0 or 1) for each target term."""
    flat = [{"prefers": value} for term in prefers for value in term]
    clusters = [f"term {number}" for number, term in enumerate(prefers) for _ in term]
    return ScoreTable.from_columns(flat, [{}] * len(flat), clusters, [""] * len(flat))


def drawn(rate: float, rng: np.random.Generator, terms: int = 40, items: int = 10) -> ScoreTable:
    """Independent preferences at a rate."""
    return table((rng.random((terms, items)) < rate).astype(float).tolist())


BEFORE = table([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])  # 75, 50, 100: mean 75, 25 above 50
AFTER = table([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])  # 50, 25, 100: mean 58.33, 8.33 above
BELOW = table([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]])  # 0, 25, 50: mean 25, 25 below


def test_an_effect_is_the_change_of_the_distance_from_the_ideal() -> None:
    found = effect(BEFORE, [AFTER], Ss(), benchmark="stereoset", draws=1000)
    assert found.value == pytest.approx((58.3333 - 50) - (75 - 50), abs=1e-3)


def test_going_as_far_to_the_other_side_is_no_effect() -> None:
    found = effect(BEFORE, [BELOW], Ss(), benchmark="stereoset", draws=1000)
    assert found.value == pytest.approx(0.0, abs=1e-9)
    change = mean_change(BEFORE, [BELOW], Ss(), benchmark="stereoset", draws=1000)
    assert change.value == pytest.approx(-50.0)


def test_several_seeds_count_by_the_mean_of_their_effects() -> None:
    found = effect(BEFORE, [AFTER, BELOW], Ss(), benchmark="stereoset", draws=1000)
    assert found.value == pytest.approx((-16.6667 + 0.0) / 2, abs=1e-3)
    change = mean_change(BEFORE, [AFTER, BELOW], Ss(), benchmark="stereoset", draws=1000)
    assert change.after == pytest.approx((58.3333 + 25) / 2, abs=1e-3)
    assert "mean of 2 seeds" in change.method


def test_beyond_a_sham_is_the_difference_of_the_effects() -> None:
    found = effect(BEFORE, [AFTER], Ss(), shams=[BEFORE, BELOW], benchmark="stereoset", draws=1000)
    assert found.value == pytest.approx(-16.6667 - (0.0 + 0.0) / 2, abs=1e-3)
    assert found.p is None


def test_a_sham_that_does_the_same_leaves_nothing() -> None:
    found = effect(BEFORE, [AFTER], Ss(), shams=[AFTER], benchmark="stereoset", draws=1000)
    assert found.value == pytest.approx(0.0, abs=1e-9)
    assert found.low is None
    assert "agree" in found.reason


def test_the_interval_of_an_effect_holds_the_true_one_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for number in range(120):
        found = effect(drawn(0.7, rng), [drawn(0.6, rng)], Ss(), benchmark=str(number), draws=1000)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= -10.0 <= found.high
    assert 106 <= hits <= 120  # binomial(120, .95) lies here but once in 500


def test_p_is_uniform_enough_where_nothing_changed() -> None:
    rng = np.random.default_rng(1)
    small = 0
    for number in range(120):
        found = effect(drawn(0.6, rng), [drawn(0.6, rng)], Ss(), benchmark=str(number), draws=1000)
        assert found.p is not None
        small += found.p <= 0.05
    assert small <= 14  # binomial(120, .05) exceeds this once in 1,000


def test_an_undefined_run_gives_an_effect_without_a_value() -> None:
    empty = table([]).where(np.zeros(0, dtype=np.bool_))
    found = effect(empty, [empty], Ss(), benchmark="stereoset", draws=1000)
    assert found.value is None
    assert found.reason
