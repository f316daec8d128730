"""What every metric must keep, whatever it measures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evenhand.core import registry
from evenhand.core.items import ScoreTable
from evenhand.metrics._metric import Metric

NAMES = registry.names("metrics")
COLUMNS = sorted({need for name in NAMES for need in registry.get("metrics", name).needs})
FIXED_BY_ALL = {"auc", "ece_mass"}
"""Placement values and ends of bins come from all items and stay when clusters are resampled."""
ValueOf = Callable[[Metric, ScoreTable], float]


def random_table(seed: int, copies: tuple[int, ...] = (1,) * 8, order: bool = False) -> ScoreTable:
    """Eight clusters of three items in two strata, each cluster repeated under new names as often as `copies` says."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.integers(0, 2, 24).astype(np.float64) for name in COLUMNS}
    columns["unknown"] = np.minimum(columns["unknown"], 1.0 - columns["biased"])
    columns["difference"] = rng.normal(size=24)
    columns["tokens"] = columns["bytes"] = rng.integers(1, 9, 24).astype(np.float64)
    clusters = np.arange(24) // 3
    rows = [(item, copy) for item in range(24) for copy in range(copies[clusters[item]])]
    if order:
        rng.shuffle(rows)
    items = np.array([item for item, _ in rows])
    return ScoreTable(
        {name: column[items] for name, column in columns.items()},
        {},
        [f"{clusters[item]}-{copy}" for item, copy in rows],
        [str(clusters[item] % 2) for item, _ in rows],
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_items_does_not_matter(name: str, value_of: ValueOf) -> None:
    metric = registry.get("metrics", name)()
    assert value_of(metric, random_table(1)) == pytest.approx(
        value_of(metric, random_table(1, order=True)), nan_ok=True
    )


@pytest.mark.parametrize("name", sorted(set(NAMES) - FIXED_BY_ALL))
def test_a_cluster_with_weight_n_counts_as_n_clusters(name: str) -> None:
    metric = registry.get("metrics", name)()
    copies = (0, 1, 2, 3, 1, 1, 2, 1)
    sums = metric.sums(random_table(2))
    weighted = metric.value(np.array(copies, dtype=np.float64) @ sums)
    repeated = metric.value(metric.sums(random_table(2, copies)).sum(axis=0))
    assert float(weighted) == pytest.approx(float(repeated), nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_again_leaves_the_value(name: str, value_of: ValueOf) -> None:
    metric = registry.get("metrics", name)()
    assert value_of(metric, random_table(2, (2,) * 8)) == pytest.approx(value_of(metric, random_table(2)), nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_many_draws_at_once_are_the_values_of_each(name: str) -> None:
    metric = registry.get("metrics", name)()
    sums = metric.sums(random_table(3))
    weights = np.random.default_rng(0).integers(0, 3, (5, 2, len(sums))).astype(np.float64)
    together = metric.value(weights @ sums)
    assert together.shape == (5, 2)
    for draw in np.ndindex(5, 2):
        assert together[draw] == pytest.approx(float(metric.value(weights[draw] @ sums)), nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_compute_from_is_undefined_and_not_zero(name: str) -> None:
    metric = registry.get("metrics", name)()
    sums = metric.sums(random_table(4))
    assert np.isnan(metric.value(np.zeros(sums.shape[1])))
    assert metric.undefined


@pytest.mark.parametrize("name", NAMES)
def test_the_ideal_lies_within_the_range(name: str) -> None:
    metric = registry.get("metrics", name)
    assert metric.card.title
    assert metric.card.source
    assert metric.card.formula
    if metric.ideal is not None:
        assert metric.low is None or metric.low <= metric.ideal
        assert metric.high is None or metric.ideal <= metric.high
