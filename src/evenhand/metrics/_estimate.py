"""From scores to published numbers: what enters, which interval, what is said when there is none.

Every number has its own stream of chance, derived from the seed, the benchmark, the metric and the slice: adding or
leaving out one estimate never changes another.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evenhand.core import statistics
from evenhand.core.errors import UsageError
from evenhand.core.items import ScoreTable
from evenhand.core.record import Change, Estimate
from evenhand.metrics._metric import Metric

METHOD = "cluster bootstrap, studentised"
FEWEST_DRAWS = 100

_ALL: Mapping[str, str] = MappingProxyType({})


def estimate(
    table: ScoreTable,
    metric: Metric,
    *,
    benchmark: str,
    by: Mapping[str, str] = _ALL,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """One number with its interval.

    Items without a value in one of `metric.needs` do not enter and are counted as unscored, together with those that
    the table itself left out.

    Args:
        table: the scores of this slice; the caller slices with `table.where`.
        metric: what is computed.
        benchmark: name of the benchmark, for the record and the stream of chance.
        by: name of the slice, for the record and the stream of chance.
        level: nominal coverage of the interval.
        draws: resamples of the bootstrap.
        seed: of the whole run.

    Raises:
        UsageError: a column that the metric needs is not in the table, or level or draws make no sense.
    """
    check_settings(level, draws)
    complete = complete_items(table, metric)
    used = kept(table, complete)
    sample = sample_of(used, metric)
    value, reason = defined_value(sample, metric, used)
    found = statistics.Interval(None, None, None, 0, reason)
    if value is not None:
        rng = stream("estimate", seed, benchmark, metric.name, by)
        found = statistics.interval(sample, level=level, draws=draws, rng=rng, bounds=(metric.low, metric.high))
    return Estimate(
        benchmark=benchmark,
        metric=metric.name,
        by=dict(by),
        value=value,
        low=found.low,
        high=found.high,
        level=level,
        ideal=metric.ideal,
        unit=metric.unit,
        n_items=len(used),
        n_clusters=len(used.cluster_names),
        n_unscored=table.n_unscored + len(table) - len(used),
        method=METHOD if found.low is not None else "none",
        draws=found.draws,
        seed=seed,
        reason=found.reason,
    )


def breakdown(
    table: ScoreTable,
    metric: Metric,
    columns: Sequence[str],
    *,
    benchmark: str,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> list[Estimate]:
    """The overall number first, then one for each value of each group column, each column on its own, values sorted.

    Items whose group is "" belong to no group of that column. Arguments and errors as for `estimate`; a column that
    the table lacks is a UsageError.
    """
    estimates = [estimate(table, metric, benchmark=benchmark, level=level, draws=draws, seed=seed)]
    for column in columns:
        if column not in table.groups:
            known = ", ".join(table.groups) or "none"
            raise UsageError(f"{benchmark} has no group column {column!r} to break down by. Its columns: {known}.")
        names, numbers = np.unique(table.groups[column], return_inverse=True)
        for number, name in enumerate(map(str, names)):
            if name:
                part = table.where(numbers == number)
                by = {column: name}
                estimates.append(
                    estimate(part, metric, benchmark=benchmark, by=by, level=level, draws=draws, seed=seed)
                )
    return estimates


def paired(
    before: ScoreTable,
    after: ScoreTable,
    metric: Metric,
    *,
    benchmark: str,
    by: Mapping[str, str] = _ALL,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Change:
    """The change, after minus before, on the same items in the same order; both are resampled with the same clusters.

    Items without a value in either table do not enter. Arguments as for `estimate`.

    Raises:
        UsageError: the two tables do not hold the same clusters item by item, or as for `estimate`.
    """
    check_settings(level, draws)
    if before.cluster_names != after.cluster_names or not np.array_equal(before.clusters, after.clusters):
        raise UsageError(
            f"{benchmark}: the two runs do not hold the same items ({len(before)} before, {len(after)} after). "
            "Keep the items that both have, in the same order."
        )
    complete = complete_items(before, metric) & complete_items(after, metric)
    first, second = kept(before, complete), kept(after, complete)
    samples = sample_of(first, metric), sample_of(second, metric)
    (old, old_reason), (new, new_reason) = (
        defined_value(samples[0], metric, first),
        defined_value(samples[1], metric, second),
    )
    reasons = [f"{when}: {why}" for when, why in (("before", old_reason), ("after", new_reason)) if why]
    found, p = statistics.Interval(None, None, None, 0, "; ".join(reasons)), None
    if old is not None and new is not None:
        changed = statistics.change(*samples)
        rng = stream("change", seed, benchmark, metric.name, by)
        found = statistics.interval(changed, level=level, draws=draws, rng=rng, bounds=_change_bounds(metric))
        p = statistics.swap_test(changed, draws=draws, rng=stream("swap", seed, benchmark, metric.name, by))
    return Change(
        benchmark=benchmark,
        metric=metric.name,
        by=dict(by),
        before=old,
        after=new,
        value=None if old is None or new is None else new - old,
        low=found.low,
        high=found.high,
        level=level,
        ideal=metric.ideal,
        unit=metric.unit,
        towards_ideal=_towards(metric.ideal, old, new),
        detectable=None if found.se is None else statistics.detectable(found.se, level, len(first.cluster_names)),
        p=p,
        n_items=len(first),
        n_clusters=len(first.cluster_names),
        n_unscored=len(before) - len(first),
        method=f"paired {METHOD}" if found.low is not None else "none",
        draws=found.draws,
        seed=seed,
        reason=found.reason,
    )


def check_settings(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise UsageError(f"The level of an interval lies between 0 and 1, e.g. 0.95; found {level}.")
    if draws < FEWEST_DRAWS:
        raise UsageError(f"An interval needs at least {FEWEST_DRAWS} draws, found {draws}.")


def complete_items(table: ScoreTable, metric: Metric) -> NDArray[np.bool_]:
    """Which items have a value in every column that the metric needs, bool [N]."""
    complete = np.ones(len(table), dtype=np.bool_)
    for name in metric.needs:
        if name not in table.values:
            # Nothing scored: there are no columns, and the number is undefined rather than misused.
            if not len(table):
                continue
            known = ", ".join(table.values) or "none"
            raise UsageError(f"The metric {metric.name!r} needs the column {name!r}; the scores have: {known}.")
        complete &= ~np.isnan(table[name])
    return complete


def kept(table: ScoreTable, complete: NDArray[np.bool_]) -> ScoreTable:
    return table if complete.all() else table.where(complete)


def sample_of(table: ScoreTable, metric: Metric) -> statistics.Sample:
    """Cluster sums of the metric; none at all for an empty table."""
    sums = metric.sums(table) if len(table) else np.empty((0, 1))
    return statistics.Sample(sums, table.strata, metric.value, metric.pool)


def defined_value(sample: statistics.Sample, metric: Metric, table: ScoreTable) -> tuple[float | None, str]:
    """The number, or None and why it is undefined, naming the strata where it is."""
    values = statistics.strata_values(sample)
    value = float(np.mean(values))
    if math.isfinite(value):
        return value, ""
    if len(table.stratum_names) == len(values) > 1:
        missing = [name for name, x in zip(table.stratum_names, values, strict=True) if not math.isfinite(x)]
        return None, f"{metric.undefined} ({', '.join(missing)})"
    return None, metric.undefined


def _change_bounds(metric: Metric) -> tuple[float | None, float | None]:
    if metric.low is None or metric.high is None:
        return None, None
    return metric.low - metric.high, metric.high - metric.low


def _towards(ideal: float | None, before: float | None, after: float | None) -> bool | None:
    """Is `after` nearer to the ideal? None if there is no ideal, no number or no difference in distance."""
    if ideal is None or before is None or after is None:
        return None
    nearer = abs(before - ideal) - abs(after - ideal)
    return None if abs(nearer) <= 1e-9 else nearer > 0


def stream(kind: str, seed: int, benchmark: str, metric: str, by: Mapping[str, str]) -> np.random.Generator:
    """Generator of one number, from a hash of everything that names it."""
    name = json.dumps([kind, seed, benchmark, metric, sorted(by.items())])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16]))
