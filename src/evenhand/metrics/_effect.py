"""What a change did to the distance from the ideal, over several runs of the same items, and beyond those of a sham.

With an ideal i, a number b before and a after, the effect is the change of the distance from i:

    effect = |a - i| - |b - i| = s_a (a - i) - s_b (b - i),      s = sign of what it multiplies

so negative means nearer. The signs are those of the sample, so the effect is a smooth function of sums and its interval
comes from the same bootstrap as everything else; where a number lies close to its ideal the interval of the effect is
that of the signed number. Without an ideal the effect is a - b. Several runs of a method (seeds) count by their mean,
and beyond a sham means: the mean effect of the method minus the mean effect of the shams, on the same resampled
clusters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evenhand.core import statistics
from evenhand.core.errors import UsageError
from evenhand.core.items import ScoreTable
from evenhand.core.record import Change
from evenhand.core.trial import Effect
from evenhand.metrics._estimate import (
    FEWEST_DRAWS,
    check_settings,
    complete_items,
    defined_value,
    kept,
    paired,
    sample_of,
    stream,
)
from evenhand.metrics._metric import Metric

_ALL: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the items: cluster sums, the number, and the sign of its distance from the ideal."""

    sample: statistics.Sample
    value: float
    sign: float


def effect(
    before: ScoreTable,
    after: Sequence[ScoreTable],
    metric: Metric,
    *,
    shams: Sequence[ScoreTable] = (),
    benchmark: str,
    by: Mapping[str, str] = _ALL,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Effect:
    """Mean effect of the runs `after`; with shams, minus their mean effect.

    Args:
        before: scores of the untouched model.
        after: scores with the change, one table per seed, of the same items in the same order.
        metric: what is computed.
        shams: scores with shams of the change.
        benchmark: name of the benchmark, for the stream of chance.
        by: name of the slice, for the stream of chance.
        level: nominal coverage of the interval.
        draws: resamples of the bootstrap.
        seed: of the whole run.

    Raises:
        UsageError: the tables do not hold the same clusters item by item, or level or draws make no sense.
    """
    check_settings(level, draws)
    tables = [before, *after, *shams]
    if any(not np.array_equal(table.clusters, before.clusters) for table in tables):
        raise UsageError(f"{benchmark}: the runs do not hold the same items in the same order.")
    complete = np.logical_and.reduce([complete_items(table, metric) for table in tables])
    found = [_run(kept(table, complete), metric) for table in tables]
    missing = [run for run in found if isinstance(run, str)]
    if missing:
        return Effect(value=None, low=None, high=None, reason=missing[0])
    first, *rest = [run for run in found if isinstance(run, _Run)]
    ours, theirs = rest[: len(after)], rest[len(after) :]
    whole = _contrast(first, ours, theirs, metric.ideal)
    value = float(np.mean(statistics.strata_values(whole)))
    rng = stream("effect" if not shams else "beyond", seed, benchmark, metric.name, by)
    interval = statistics.interval(whole, level=level, draws=draws, rng=rng)
    p = None
    if not shams:
        plain = statistics.contrast(
            [first.sample] * len(ours) + [run.sample for run in ours],
            [-1.0 / len(ours)] * len(ours) + [1.0 / len(ours)] * len(ours),
        )
        p = statistics.swap_test(plain, draws=draws, rng=stream("swap", seed, benchmark, metric.name, by))
    return Effect(
        value=value,
        low=interval.low,
        high=interval.high,
        p=p,
        detectable=None if interval.se is None else statistics.detectable(interval.se, level, len(first.sample.sums)),
        reason=interval.reason,
    )


def mean_change(
    before: ScoreTable,
    after: Sequence[ScoreTable],
    metric: Metric,
    *,
    benchmark: str,
    by: Mapping[str, str] = _ALL,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Change:
    """The plain change, after minus before, of the mean of several runs. Arguments and errors as for `effect`."""
    if len(after) == 1:
        return paired(before, after[0], metric, benchmark=benchmark, by=by, level=level, draws=draws, seed=seed)
    complete = np.logical_and.reduce([complete_items(table, metric) for table in (before, *after)])
    found = [_run(kept(table, complete), metric) for table in (before, *after)]
    runs = [run for run in found if isinstance(run, _Run)]
    one = paired(before, after[0], metric, benchmark=benchmark, by=by, level=level, draws=FEWEST_DRAWS, seed=seed)
    if len(runs) < len(found):
        missing = next(run for run in found if isinstance(run, str))
        return one.model_copy(update={"after": None, "value": None, "low": None, "high": None, "reason": missing})
    mean = sum(run.value for run in runs[1:]) / len(after)
    weights = [-1.0, *([1.0 / len(after)] * len(after))]
    whole = statistics.contrast([run.sample for run in runs], weights)
    rng = stream("change", seed, benchmark, metric.name, by)
    interval = statistics.interval(whole, level=level, draws=draws, rng=rng)
    return one.model_copy(
        update={
            "after": mean,
            "value": mean - runs[0].value,
            "low": interval.low,
            "high": interval.high,
            "towards_ideal": None
            if metric.ideal is None
            else abs(mean - metric.ideal) < abs(runs[0].value - metric.ideal),
            "detectable": None
            if interval.se is None
            else statistics.detectable(interval.se, level, len(runs[0].sample.sums)),
            "p": None,
            "draws": interval.draws,
            "method": f"mean of {len(after)} seeds, {one.method}",
            "reason": interval.reason,
        }
    )


def _run(table: ScoreTable, metric: Metric) -> _Run | str:
    """A run, or why its number is undefined."""
    sample = sample_of(table, metric)
    value, reason = defined_value(sample, metric, table)
    if value is None:
        return reason
    distance = 0.0 if metric.ideal is None else value - metric.ideal
    return _Run(sample, value, 1.0 if metric.ideal is None else math.copysign(1.0, distance) if distance else 0.0)


def _contrast(first: _Run, ours: Sequence[_Run], theirs: Sequence[_Run], ideal: float | None) -> statistics.Sample:
    """The effect as one contrast: weights are signs, a constant brings the ideal in.

    A run at its ideal has no sign: it takes that of the run before, so that its chance is not hidden.
    """
    usual = first.sign or next((run.sign for run in (*ours, *theirs) if run.sign), 1.0)
    runs = [*ours, *theirs]
    weights = [(run.sign or usual) / len(ours) for run in ours] + [-(run.sign or usual) / len(theirs) for run in theirs]
    samples = [run.sample for run in runs]
    if not theirs:
        samples, weights = [first.sample, *samples], [-usual, *weights]
    return statistics.contrast(samples, weights, -(ideal or 0.0) * sum(weights))
