"""AUC against other implementations, and its linearised spread against DeLong's formula and a plain bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from evenhand.core import statistics
from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Metric
from evenhand.metrics.auc import Auc

MakeTable = Callable[..., ScoreTable]
ValueOf = Callable[[Metric, ScoreTable], float]
Sample = tuple[np.ndarray, np.ndarray]


def drawn(seed: int, size: int, decimals: int = 6) -> Sample:
    """Answers, 45 % of them Yes, and probabilities that know a little; few decimals make ties."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(size) < 0.45).astype(float)
    return truth, np.round(1 / (1 + np.exp(-rng.normal(0.7 * truth, 1.0))), decimals)


def tabled(table: MakeTable, truth: np.ndarray, p: np.ndarray, order: np.ndarray | None = None) -> ScoreTable:
    order = np.zeros(len(p)) if order is None else order
    return table({"truth": list(truth), "p_yes": list(p), "no_first": list(order)})


def test_a_count_by_hand(table: MakeTable, value_of: ValueOf) -> None:
    # pairs (0.6, 0.2) won, (0.6, 0.6) tied, (0.1, 0.2) lost, (0.1, 0.6) lost
    made = tabled(table, np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.6, 0.1, 0.2, 0.6]))
    assert value_of(Auc(), made) == pytest.approx(1.5 / 4)


@pytest.mark.parametrize("decimals", [6, 1])
def test_the_value_is_that_of_scikit_learn_and_of_mann_and_whitney(
    decimals: int, table: MakeTable, value_of: ValueOf
) -> None:
    truth, p = drawn(2, 90, decimals)
    pairs = truth.sum() * (1 - truth).sum()
    found = value_of(Auc(), tabled(table, truth, p))
    assert found == pytest.approx(roc_auc_score(truth, p))
    assert found == pytest.approx(mannwhitneyu(p[truth == 1], p[truth == 0]).statistic / pairs)


def test_pairs_of_different_orders_are_not_compared(table: MakeTable, value_of: ValueOf) -> None:
    truth, p = drawn(3, 80)
    twice = tabled(
        table, np.tile(truth, 2), np.concatenate([p, p / 10]), np.repeat([0.0, 1.0], 80)
    )  # the second order only shifts
    assert value_of(Auc(), twice) == pytest.approx(roc_auc_score(truth, p))
    assert roc_auc_score(np.tile(truth, 2), np.concatenate([p, p / 10])) < roc_auc_score(truth, p) - 0.02


def test_an_order_in_which_all_questions_have_one_answer_does_not_enter(table: MakeTable, value_of: ValueOf) -> None:
    truth, p = drawn(4, 30)
    more = tabled(table, np.append(truth, 1.0), np.append(p, 0.3), np.append(np.zeros(30), 1.0))
    assert value_of(Auc(), more) == pytest.approx(roc_auc_score(truth, p))


def test_one_kind_of_answer_only_has_no_value(table: MakeTable, value_of: ValueOf) -> None:
    assert np.isnan(value_of(Auc(), tabled(table, np.ones(3), np.array([0.1, 0.2, 0.3]))))


def test_the_spread_is_that_of_delong_and_of_a_plain_bootstrap(table: MakeTable) -> None:
    truth, p = drawn(5, 300)
    metric, made = Auc(), tabled(table, truth, p)
    sample = statistics.Sample(metric.sums(made), made.strata, metric.value)
    found = statistics.interval(sample, level=0.95, draws=500, rng=np.random.default_rng(0), bounds=(0.0, 1.0))

    won = p[truth == 1][:, None] > p[truth == 0]
    by_yes, by_no = won.mean(axis=1), won.mean(axis=0)
    delong = by_yes.var(ddof=1) / len(by_yes) + by_no.var(ddof=1) / len(by_no)
    assert found.se == pytest.approx(delong**0.5, rel=0.01)

    rng = np.random.default_rng(6)
    picks = rng.integers(0, 300, (1500, 300))
    again = [roc_auc_score(truth[pick], p[pick]) for pick in picks]
    assert found.se == pytest.approx(np.std(again), rel=0.08)


def test_draws_of_whole_clusters_follow_the_exact_value(table: MakeTable) -> None:
    """With every cluster reweighted, the linearised value is near the AUC of the reweighted table."""
    truth, p = drawn(7, 400)
    metric = Auc()
    sums = metric.sums(tabled(table, truth, p))
    weights = np.random.default_rng(8).integers(0, 3, 400)
    exact = roc_auc_score(truth, p, sample_weight=weights)
    assert float(metric.value(weights @ sums)) == pytest.approx(exact, abs=0.004)
    assert abs(exact - roc_auc_score(truth, p)) > 0.004  # so the weights did matter
