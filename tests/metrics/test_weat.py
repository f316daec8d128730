"""WEAT by hand, and its symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evenhand.metrics._weat import effect_size


def test_it_is_what_the_formula_gives_by_hand() -> None:
    """A = the x axis, B = the y axis. s is cos - sin of each word's angle: 1, 1/5 (3-4-5) and -1, -1/5."""
    x, y = np.array([[2.0, 0.0], [4.0, 3.0]]), np.array([[0.0, 5.0], [3.0, 4.0]])
    a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 9.0]])
    s = [1.0, 0.8 - 0.6, -1.0, 0.6 - 0.8]
    spread = math.sqrt(sum(one**2 for one in s) / 3)  # their mean is 0
    assert effect_size(x, y, a, b) == pytest.approx((0.6 + 0.6) / spread)


def test_sets_that_change_places_change_the_sign_and_lengths_do_not_count() -> None:
    rng = np.random.default_rng(0)
    x, y, a, b = (rng.standard_normal((6, 5)) for _ in range(4))
    d = effect_size(x, y, a, b)
    assert effect_size(y, x, a, b) == pytest.approx(-d)
    assert effect_size(x, y, b, a) == pytest.approx(-d)
    assert effect_size(3 * x, y, a, 7 * b) == pytest.approx(d)
    assert abs(d) <= 2


def test_it_is_largest_for_two_points_and_undefined_where_nothing_differs() -> None:
    """With n words each at one point, d = 2 / sqrt(2 n / (2 n - 1))."""
    one, other = np.array([[1.0, 0.0]] * 4), np.array([[0.0, 1.0]] * 4)
    assert effect_size(one, other, one, other) == pytest.approx(2 / math.sqrt(8 / 7))
    assert math.isnan(effect_size(one, one, one, other))
