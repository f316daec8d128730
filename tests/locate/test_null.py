from __future__ import annotations

import itertools

import numpy as np
import pytest

from evenhand.core.statistics import holm
from evenhand.locate._null import among_rivals, by_cluster, correlation, intervals, sign_flips, step_down


def test_p_is_the_share_of_draws_that_are_as_strange_the_observed_one_included() -> None:
    p, corrected = step_down(np.array([3.0, 1.0]), np.array([[2.0, 0.0], [4.0, 1.0], [0.0, 2.0]]))
    assert p.tolist() == [0.5, 0.75]  # 4 >= 3; 1 and 2 >= 1; plus the observed one, of 4
    # the first is compared with the row maxima 2, 4, 2; the second with its own column
    assert corrected.tolist() == [0.5, 0.75]


def test_the_correction_steps_down_over_what_remains() -> None:
    drawn = np.array([[0.0, 9.0, 0.0], [0.0, 0.0, 5.0], [1.0, 0.0, 0.0]])
    _, corrected = step_down(np.array([2.0, 10.0, 4.0]), drawn)
    # 10: maxima 9, 5, 1 -> 1/4.  4: maxima without the second 0, 5, 1 -> 2/4.  2: own 0, 0, 1 -> 1/4, made monotone
    assert corrected.tolist() == [0.5, 0.25, 0.5]


def test_one_site_needs_no_correction() -> None:
    rng = np.random.default_rng(0)
    p, corrected = step_down(np.array([1.0]), rng.normal(size=(99, 1)))
    assert p.tolist() == corrected.tolist()


def test_sign_flips_agree_with_all_patterns_counted_by_hand() -> None:
    sums = np.array([[1.0, -2.0], [2.0, 0.5], [4.0, 1.0], [0.5, -1.0]])
    found = sign_flips(sums, draws=100, rng=np.random.default_rng(0))
    for site in (0, 1):
        every = [abs(np.dot(signs, sums[:, site])) for signs in itertools.product((1, -1), repeat=4)]
        assert found.p[site] == pytest.approx(np.mean(np.array(every) >= abs(sums[:, site].sum()) - 1e-9))


def test_random_patterns_come_near_to_all_of_them() -> None:
    sums = np.random.default_rng(1).normal(0.4, 1.0, size=(12, 3))
    exact = sign_flips(sums, draws=5000, rng=np.random.default_rng(2))
    drawn = sign_flips(sums, draws=2000, rng=np.random.default_rng(2))
    assert drawn.p == pytest.approx(exact.p, abs=0.03)


def test_a_site_without_numbers_is_not_found() -> None:
    found = sign_flips(np.zeros((5, 2)), draws=100, rng=np.random.default_rng(0))
    assert found.corrected.tolist() == [1.0, 1.0]
    assert sign_flips(np.ones((1, 2)), draws=100, rng=np.random.default_rng(0)).p.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("method", ["flips", "rivals"])
def test_the_family_wise_rate_is_held_for_dependent_sites(method: str) -> None:
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(400):
        shared = rng.normal(size=(20, 1))
        values = 0.7 * shared + rng.normal(size=(20, 15)) * rng.uniform(0.1, 5, size=15)
        if method == "flips":
            found = sign_flips(values, draws=199, rng=rng)
        else:
            found = among_rivals(values[0], values[1:], "both")
        false += bool((found.corrected <= 0.05).any())
    assert 400 * 0.05 - 3 * 4.4 <= false <= 400 * 0.05 + 3 * 4.4


def test_the_correction_is_never_worse_than_holm_where_sites_move_together() -> None:
    rng = np.random.default_rng(4)
    sums = np.repeat(rng.normal(0.8, 1.0, size=(15, 1)), 10, axis=1)
    found = sign_flips(sums, draws=999, rng=rng)
    assert found.corrected == pytest.approx(found.p)
    assert holm(found.p.tolist())[0] > found.corrected[0]


def test_rivals_are_ranked_on_one_scale() -> None:
    rivals = np.array([[1.0, 1000.0], [2.0, 2000.0], [3.0, 0.0], [0.0, 3000.0]])
    found = among_rivals(np.array([10.0, 1500.0]), rivals, "above")
    assert found.p.tolist() == [0.2, 0.6]
    assert found.null.tolist() == [1.5, 1500.0]
    below = among_rivals(np.array([-10.0, 1500.0]), rivals, "above")
    assert below.p[0] == 1.0
    assert among_rivals(np.array([-10.0, 1500.0]), rivals, "both").p[0] == 0.2


def test_intervals_resample_clusters() -> None:
    rng = np.random.default_rng(5)
    base = rng.normal(2.0, 1.0, size=40)
    values = np.repeat(base, 5)[:, None]
    names = [f"c{n // 5}" for n in range(200)]
    sums, counts = by_cluster(values, names)
    assert counts.tolist() == [5.0] * 40
    assert sums.sum() == pytest.approx(values.sum())
    ((low, high),) = intervals(sums, counts, rng)
    assert low is not None
    assert high is not None
    half = 2.02 * base.std(ddof=1) / np.sqrt(40)  # Student's t with 39 degrees of freedom
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert intervals(sums[:2], counts[:2], rng) == [(None, None)]


def test_correlation_of_a_constant_is_not_known() -> None:
    assert correlation(np.ones(5), np.arange(5.0)) is None
    assert correlation(np.arange(5.0), -np.arange(5.0)) == pytest.approx(-1.0)
