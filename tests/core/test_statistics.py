"""Intervals, swap test, Holm: against closed forms, theorems, independent loops and simulated coverage."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from evenhand.core.statistics import Interval, Sample, change, detectable, holm, interval, strata_values, swap_test

Floats = NDArray[np.float64]


def quotient(totals: Floats) -> Floats:
    out = np.full(totals.shape[:-1], np.nan)
    np.divide(totals[..., 0], totals[..., 1], out=out, where=totals[..., 1] != 0)
    return out


def lean(totals: Floats) -> Floats:
    """The shape of BBQ's old bias score: a product of two ratios."""
    return (1 - quotient(totals[..., :2])) * (2 * quotient(totals[..., 2:]) - 1)


def one_stratum(sums: Floats, value: Callable[[Floats], Floats] = quotient) -> Sample:
    return Sample(sums, np.zeros(len(sums), dtype=np.int64), value)


def ends(found: Interval) -> tuple[float, float]:
    assert found.low is not None, found.reason
    assert found.high is not None
    return found.low, found.high


def with_counts(values: list[float]) -> Floats:
    return np.stack([np.array(values), np.ones(len(values))], axis=1)


def test_the_standard_error_of_a_mean_is_the_textbook_one() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 9.0]
    found = interval(one_stratum(with_counts(values)), level=0.95, draws=200, rng=np.random.default_rng(0))
    assert found.se == pytest.approx(np.std(values, ddof=1) / math.sqrt(5), rel=1e-6)


def test_the_standard_error_of_a_ratio_is_taylor_s() -> None:
    x, y = np.array([3.0, 5, 2, 9, 4]), np.array([5.0, 9, 4, 10, 8])
    residual = x - (x.sum() / y.sum()) * y
    expected = math.sqrt(5 / 4 * np.sum(residual**2)) / y.sum()
    found = interval(one_stratum(np.stack([x, y], axis=1)), level=0.95, draws=200, rng=np.random.default_rng(0))
    assert found.se == pytest.approx(expected, rel=1e-6)


def test_the_standard_error_in_strata_adds_the_variances_within_them() -> None:
    values = np.array([1.0, 2, 6, 10, 20, 60])
    strata = np.array([0, 0, 0, 1, 1, 1])
    pooled = Sample(with_counts(list(values)), strata, quotient)
    within = 3 * np.var(values[:3], ddof=1) + 3 * np.var(values[3:], ddof=1)
    found = interval(pooled, level=0.95, draws=200, rng=np.random.default_rng(0))
    assert found.se == pytest.approx(math.sqrt(within) / 6, rel=1e-6)


def test_a_mean_over_strata_weighs_them_equally() -> None:
    sample = Sample(with_counts([1.0, 3.0, 10.0, 10.0, 13.0]), np.array([0, 0, 1, 1, 1]), quotient, "mean")
    assert list(strata_values(sample)) == [2.0, 11.0]
    found = interval(sample, level=0.95, draws=200, rng=np.random.default_rng(0))
    assert found.se == pytest.approx(math.sqrt(np.var([1, 3], ddof=1) / 2 + np.var([10, 10, 13], ddof=1) / 3) / 2)


def test_the_interval_agrees_with_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    values = rng.exponential(size=25)
    mean, se = values.mean(), values.std(ddof=1) / 5
    t = []
    for _ in range(8_000):
        drawn = rng.choice(values, size=25)
        t.append((drawn.mean() - mean) / (drawn.std(ddof=1) / 5))
    low, high = mean - se * np.quantile(t, 0.975), mean - se * np.quantile(t, 0.025)
    found = interval(one_stratum(with_counts(list(values))), level=0.95, draws=20_000, rng=np.random.default_rng(4))
    assert ends(found) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_the_standard_error_agrees_with_scipy_s_bootstrap() -> None:
    rng = np.random.default_rng(5)
    sums = np.stack([rng.poisson(6, size=200), 4 + rng.poisson(8, size=200)], axis=1).astype(np.float64)
    scipy = stats.bootstrap(
        (np.arange(200),),
        lambda picked, axis: quotient(sums[picked].sum(axis=-2)),
        vectorized=True,
        n_resamples=4000,
        rng=rng,
        method="percentile",
    )
    found = interval(one_stratum(sums), level=0.95, draws=4000, rng=rng)
    assert found.se == pytest.approx(scipy.standard_error, rel=0.05)
    assert ends(found) == pytest.approx(tuple(scipy.confidence_interval), abs=0.2 * scipy.standard_error)


def test_the_interval_moves_with_shift_and_scale_of_the_number() -> None:
    sums = with_counts([1.0, 5.0, 2.0, 9.0, 4.0, 4.5, 0.5, 3.0])
    plain = ends(interval(one_stratum(sums), level=0.9, draws=500, rng=np.random.default_rng(1)))
    moved = one_stratum(sums, lambda totals: 100 - 7 * quotient(totals))
    turned = ends(interval(moved, level=0.9, draws=500, rng=np.random.default_rng(1)))
    assert turned == pytest.approx((100 - 7 * plain[1], 100 - 7 * plain[0]), rel=1e-6)


def test_a_higher_level_gives_a_wider_interval() -> None:
    sample = one_stratum(with_counts([float(x) for x in range(15)]))
    narrow = ends(interval(sample, level=0.8, draws=1000, rng=np.random.default_rng(0)))
    wide = ends(interval(sample, level=0.99, draws=1000, rng=np.random.default_rng(0)))
    assert wide[0] < narrow[0] < 7 < narrow[1] < wide[1]


def test_the_same_generator_gives_the_same_interval_and_another_does_not() -> None:
    sample = one_stratum(with_counts([float(x**2) for x in range(15)]))
    first, again, other = (interval(sample, level=0.95, draws=300, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_draws_in_many_chunks_are_as_good_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = one_stratum(with_counts([float(x**2) for x in range(15)]))
    whole = interval(sample, level=0.95, draws=1000, rng=np.random.default_rng(1))
    monkeypatch.setattr("evenhand.core.statistics._CELLS", 15 * 7)
    assert interval(sample, level=0.95, draws=1000, rng=np.random.default_rng(1)) == whole


@pytest.mark.parametrize("n", [0, 1, 2])
def test_two_or_fewer_clusters_have_no_interval(n: int) -> None:
    sample = one_stratum(with_counts([0.0, 1.0][:n]) if n else np.empty((0, 2)))
    found = interval(sample, level=0.95, draws=200, rng=np.random.default_rng(0))
    assert (found.low, found.high, found.draws) == (None, None, 0)
    assert "needs at least 3" in found.reason


def test_clusters_that_all_agree_have_no_interval_rather_than_one_of_no_width() -> None:
    sums = np.array([[3.0, 4.0], [6.0, 8.0], [30.0, 40.0], [9.0, 12.0]])
    found = interval(one_stratum(sums), level=0.95, draws=200, rng=np.random.default_rng(0))
    assert found.low is None
    assert "all 4 clusters agree" in found.reason


def test_fewer_than_ten_clusters_are_flagged() -> None:
    few = interval(one_stratum(with_counts([float(x) for x in range(9)])), level=0.95, draws=999, rng=_rng())
    enough = interval(one_stratum(with_counts([float(x) for x in range(10)])), level=0.95, draws=999, rng=_rng())
    assert few.low is not None
    assert few.reason == "only 9 clusters: a rough interval"
    assert enough.reason == ""


def test_an_interval_that_is_often_undefined_is_not_given() -> None:
    sums = np.array([[0.0, 0.0]] * 8 + [[1.0, 2.0], [1.0, 3.0]])
    found = interval(one_stratum(sums), level=0.95, draws=2000, rng=_rng())
    assert found.low is None
    # All ten draws miss the two clusters with probability 0.8^10 = 10.7 %.
    assert found.reason in {f"the number is undefined in {share} % of the draws" for share in (10, 11, 12)}


def test_the_ends_stay_within_the_range_of_the_number() -> None:
    sample = one_stratum(with_counts([0.0, 0.4, 0.6, 1.0, 0.5]))
    free = ends(interval(sample, level=0.95, draws=2000, rng=_rng()))
    assert free[0] < 0.2
    assert free[1] > 0.8
    assert ends(interval(sample, level=0.95, draws=2000, rng=_rng(), bounds=(0.2, 0.8))) == (0.2, 0.8)
    assert ends(interval(sample, level=0.95, draws=2000, rng=_rng(), bounds=(0.2, None))) == (0.2, free[1])


def test_ends_at_infinity_are_not_given_even_if_the_number_has_a_range() -> None:
    # With three clusters a draw has no spread with probability 1/9, more than both tails together.
    sample = one_stratum(with_counts([0.0, 1.0, 3.0]))
    for bounds in ((None, None), (0.0, 5.0)):
        found = interval(sample, level=0.95, draws=2000, rng=_rng(), bounds=bounds)
        assert (found.low, found.high) == (None, None)
        assert found.reason == "too few clusters differ from the rest to bound the number"


def test_an_interval_that_rests_on_a_handful_of_clusters_is_flagged_or_left_out() -> None:
    for rare, reason in ((1, "too few"), (2, "too few"), (8, "only 8 clusters differ"), (12, "")):
        sample = one_stratum(with_counts([1.0] * rare + [0.0] * (400 - rare)))
        found = interval(sample, level=0.95, draws=2000, rng=_rng(), bounds=(0.0, 1.0))
        assert found.reason.startswith(reason)
        assert bool(found.reason) == bool(reason)
        assert (found.low is None) == (reason == "too few")


def test_strata_of_one_cluster_are_exchanged_among_each_other() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 9.0, 3.0]
    apart = Sample(with_counts(values), np.arange(6), quotient, "mean")
    together = one_stratum(with_counts(values))
    found = interval(apart, level=0.95, draws=500, rng=np.random.default_rng(2))
    expected = interval(together, level=0.95, draws=500, rng=np.random.default_rng(2))
    assert ends(found) == pytest.approx(ends(expected))


def test_a_lone_stratum_of_one_cluster_joins_the_smallest_other_where_totals_are_added() -> None:
    values, strata = [1.0, 2.0, 5.0, 3.0, 7.0, 7.5, 4.0], [0, 0, 0, 1, 1, 2, 1]
    joined = [0, 0, 0, 1, 1, 0, 1]
    found, expected = (
        interval(Sample(with_counts(values), np.array(s), quotient), level=0.95, draws=500, rng=_rng())
        for s in (strata, joined)
    )
    assert found.se == pytest.approx(expected.se)


def test_a_lone_stratum_of_one_cluster_leaves_a_mean_over_strata_without_interval() -> None:
    sample = Sample(with_counts([1.0, 2.0, 5.0, 3.0]), np.array([0, 0, 0, 1]), quotient, "mean")
    found = interval(sample, level=0.95, draws=500, rng=_rng())
    assert found.low is None
    assert "single cluster" in found.reason


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def clustered_rate(rng: np.random.Generator, n: int) -> Floats:
    size = 1 + rng.geometric(0.1, size=n)
    return np.stack([rng.binomial(size, rng.beta(2.4, 1.6, size=n)), size], axis=1).astype(np.float64)


def single_rate(rng: np.random.Generator, n: int) -> Floats:
    return np.stack([rng.binomial(1, 0.6, size=n), np.ones(n)], axis=1).astype(np.float64)


def mean_ratio(rng: np.random.Generator, n: int) -> Floats:
    size = 1 + rng.geometric(0.2, size=n)
    return np.stack([rng.gamma(3.0 * size), size], axis=1)


def leaning(rng: np.random.Generator, n: int) -> Floats:
    size = 20 + rng.geometric(0.02, size=n)
    right = rng.binomial(size, 0.5)
    biased = rng.binomial(size - right, rng.beta(6, 5, size=n))
    return np.stack([right, size, biased, size - right], axis=1).astype(np.float64)


@pytest.mark.parametrize(
    ("draw", "value", "truth", "n", "strata"),
    [
        (clustered_rate, quotient, 0.6, 12, 1),
        (clustered_rate, quotient, 0.6, 30, 1),
        (clustered_rate, quotient, 0.6, 300, 1),
        (single_rate, quotient, 0.6, 30, 1),
        (single_rate, quotient, 0.6, 300, 1),
        (mean_ratio, quotient, 3.0, 12, 1),
        (mean_ratio, quotient, 3.0, 30, 1),
        (leaning, lean, 0.5 / 11, 12, 1),
        (leaning, lean, 0.5 / 11, 20, 4),
    ],
)
def test_intervals_of_95_percent_hold_the_truth_in_92_to_99_percent_of_samples(
    draw: Callable[[np.random.Generator, int], Floats],
    value: Callable[[Floats], Floats],
    truth: float,
    n: int,
    strata: int,
) -> None:
    rng = np.random.default_rng(11)
    simulations = 250
    held = 0
    for _ in range(simulations):
        sample = Sample(draw(rng, n), np.arange(n) % strata, value, "mean" if strata > 1 else "sum")
        found = interval(sample, level=0.95, draws=299, rng=rng)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    assert 0.92 <= held / simulations <= 0.99


def test_half_of_the_misses_lie_on_each_side() -> None:
    rng = np.random.default_rng(12)
    below = above = 0
    for _ in range(400):
        found = interval(one_stratum(mean_ratio(rng, 20)), level=0.8, draws=199, rng=rng)
        low, high = ends(found)
        below += low > 3.0
        above += high < 3.0
    # 40 expected on each side, standard error 6.
    assert 22 <= below <= 58
    assert 22 <= above <= 58


def test_a_change_is_the_difference_of_the_two_numbers() -> None:
    before, after = (one_stratum(with_counts(v)) for v in ([1.0, 2.0, 6.0], [2.0, 2.0, 11.0]))
    assert strata_values(change(before, after)) == pytest.approx([2.0])


def test_what_is_common_to_before_and_after_does_not_widen_a_change() -> None:
    rng = np.random.default_rng(0)
    base, effect = rng.normal(0, 100, size=40), rng.normal(1, 1, size=40)
    both = change(one_stratum(with_counts(list(base))), one_stratum(with_counts(list(base + effect))))
    alone = interval(one_stratum(with_counts(list(effect))), level=0.95, draws=500, rng=np.random.default_rng(1))
    found = interval(both, level=0.95, draws=500, rng=np.random.default_rng(1))
    assert ends(found) == pytest.approx(ends(alone), rel=1e-5)


@pytest.mark.parametrize("n", [5, 9])
def test_all_swaps_give_the_p_of_scipy_s_exact_paired_permutation_test(n: int) -> None:
    rng = np.random.default_rng(n)
    first, second = rng.normal(size=n), rng.normal(0.8, 1, size=n)
    scipy = stats.permutation_test(
        (first, second), lambda a, b, axis: np.mean(b - a, axis=axis), permutation_type="samples", vectorized=True
    )
    changed = change(one_stratum(with_counts(list(first))), one_stratum(with_counts(list(second))))
    assert swap_test(changed, draws=10_000, rng=_rng()) == pytest.approx(scipy.pvalue)


def test_random_swaps_come_near_all_swaps() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=14), rng.normal(0.5, 1, size=14)
    changed = change(one_stratum(with_counts(list(first))), one_stratum(with_counts(list(second))))
    every, some = swap_test(changed, draws=2**14, rng=_rng()), swap_test(changed, draws=10_000, rng=_rng())
    assert every is not None
    assert some != every
    assert some == pytest.approx(every, abs=4 * math.sqrt(every * (1 - every) / 10_000))


def test_swaps_in_strata_of_one_cluster_change_the_sign_of_their_share() -> None:
    first, second = np.zeros(4), np.array([1.0, 2.0, 3.0, 4.0])
    samples = [Sample(with_counts(list(v)), np.arange(4), quotient, "mean") for v in (first, second)]
    # Of 16 sign patterns only +++ + and ---- reach the observed mean of 2.5.
    assert swap_test(change(*samples), draws=100, rng=_rng()) == pytest.approx(2 / 16)


def test_no_change_at_all_has_p_one() -> None:
    same = one_stratum(with_counts([1.0, 2.0, 3.0, 4.0]))
    assert swap_test(change(same, same), draws=100, rng=_rng()) == 1.0


def test_p_values_of_no_effect_are_not_too_often_small() -> None:
    rng = np.random.default_rng(21)
    small = 0
    for _ in range(300):
        samples = [one_stratum(clustered_rate(rng, 15)) for _ in range(2)]
        p = swap_test(change(*samples), draws=199, rng=rng)
        assert p is not None
        small += p <= 0.1
    # 30 expected, standard error 5.2.
    assert 14 <= small <= 46


def test_an_undefined_change_has_no_p() -> None:
    empty = one_stratum(np.zeros((3, 2)))
    assert swap_test(change(empty, empty), draws=100, rng=_rng()) is None


def test_holm_multiplies_and_never_decreases() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_detectable_change_is_two_point_eight_standard_errors() -> None:
    assert detectable(10.0, 0.95, 10**9) == pytest.approx(28.016, abs=1e-3)
    assert detectable(10.0, 0.95, 30) == pytest.approx(20.452 + 8.543, abs=2e-3)  # t table, 29 degrees of freedom


def test_a_true_change_of_detectable_size_is_found_in_about_80_percent_of_samples() -> None:
    rng = np.random.default_rng(8)
    size = detectable(1 / math.sqrt(60), 0.95, 60)
    found = 0
    for _ in range(300):
        got = interval(one_stratum(with_counts(list(rng.normal(size, 1, size=60)))), level=0.95, draws=199, rng=rng)
        found += ends(got)[0] > 0
    # 240 expected, standard error 6.9.
    assert 219 <= found <= 261
