"""Runs of several seeds compared with the untouched model item by item, from the scored items that they wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ledger
from evenhand.core import registry, statistics
from evenhand.core.items import ScoreTable, Status
from evenhand.core.record import ItemRow
from evenhand.measure._diff import table_of
from evenhand.metrics._effect import effect, mean_change
from evenhand.metrics._estimate import complete_items, kept, sample_of
from evenhand.metrics._metric import Metric
from evenhand.prove import _arms

DRAWS = 2000
Rows = Mapping[str, Sequence[ItemRow]]
Floats = NDArray[np.float64]


def rows_in(folder: Path) -> Rows:
    """Scored items of a run, by benchmark, in the order of their ids."""
    found: defaultdict[str, list[ItemRow]] = defaultdict(list)
    for row in _arms.rows_in(folder):
        if row.status == Status.SCORED:
            found[row.benchmark].append(row)
    return {name: sorted(rows, key=lambda row: row.id) for name, rows in found.items()}


def change(before: Rows, seeds: Sequence[Rows], number: str, by: Mapping[str, str] | None = None) -> ledger.Json:
    """A number before, its mean over seeds after, each seed's, and the change with its interval over clusters."""
    metric, (first, *rest) = tables_of(number, [before, *seeds], by)
    benchmark = number.partition(".")[0]
    found = mean_change(first, rest, metric, benchmark=benchmark, by=by or {}, draws=DRAWS)
    return {
        "name": number,
        "by": dict(by or {}),
        "before": found.before,
        "after": found.after,
        "seeds": [_value(one, metric) for one in rest],
        "change": found.value,
        "low": found.low,
        "high": found.high,
        "clusters": len(first.cluster_names),
    }


def beyond(before: Rows, seeds: Sequence[Rows], others: Sequence[Rows], number: str) -> ledger.Json:
    """How much nearer to the ideal the mean over seeds comes than that of other runs does; negative = nearer."""
    metric, tables = tables_of(number, [before, *seeds, *others])
    ours, theirs = tables[1 : 1 + len(seeds)], tables[1 + len(seeds) :]
    found = effect(tables[0], ours, metric, shams=theirs, benchmark=number.partition(".")[0], draws=DRAWS)
    return {"name": number, "value": found.value, "low": found.low, "high": found.high}


def above(curve: Sequence[Rows], seeds: Sequence[Rows], share: str, cost: str) -> ledger.Json:
    """Log of a cost less that of a curve at the same share, mean over seeds, with its interval; negative = below.

    Between the points of the curve, which begins at the untouched model, a straight line in the logarithms of both.
    Items of the two numbers are resampled apart, the same ones for all runs; resamples in which an end of the curve is
    passed take the cost there. No number where the share of the sample itself lies outside the curve.

    Args:
        curve: runs with more and more of a control, the untouched model first; the share falls.
        seeds: runs of a method.
        share: a number in per cent.
        cost: a number above 0.
    """
    parts = []
    for number in (share, cost):
        metric, tables = tables_of(number, [*curve, *seeds])
        parts.append((metric, np.concatenate([metric.sums(table) for table in tables], axis=1)))  # [C, runs K]
    (first, said), (second, told) = parts
    runs, points, split = len(curve) + len(seeds), len(curve), said.shape[1]
    sums = np.zeros((len(said) + len(told), split + told.shape[1]))
    sums[: len(said), :split], sums[len(said) :, split:] = said, told

    def levels(totals: Floats) -> tuple[Floats, Floats]:
        """Log share and log cost of every run, [draws, runs] each."""
        each = [part.reshape(len(totals), runs, -1) for part in np.split(totals, [split], axis=1)]
        shares = np.clip(first.value(each[0]) / 100, 0.25 / len(said), None)  # a quarter of one, where there is none
        return np.log(shares), np.log(second.value(each[1]))

    def distance(totals: Floats) -> Floats:
        found = []
        for x, y in zip(*levels(totals.reshape(-1, totals.shape[-1])), strict=True):
            falling = np.minimum.accumulate(x[:points])[::-1]
            found.append(y[points:].mean() - np.interp(x[points:].mean(), falling, y[:points][::-1]))
        return np.asarray(found).reshape(totals.shape[:-1])

    reached = levels(sums.sum(axis=0)[None])[0][0]
    if not reached[:points].min() <= reached[points:].mean() <= reached[0]:
        return {"value": None, "low": None, "high": None}
    strata = np.repeat([0, 1], [len(said), len(told)])
    sample = statistics.Sample(sums, strata, distance)
    ends = statistics.interval(sample, level=0.95, draws=DRAWS, rng=np.random.default_rng(0))
    return {"value": float(distance(sums.sum(axis=0))), "low": ends.low, "high": ends.high}


def values_of(rows: Rows, benchmark: str, group: str) -> list[dict[str, str]]:
    """What a benchmark's items can be broken down by."""
    return [{group: name} for name in sorted({row.groups[group] for row in rows[benchmark]})]


def tables_of(
    number: str, runs: Sequence[Rows], by: Mapping[str, str] | None = None
) -> tuple[Metric, list[ScoreTable]]:
    """A metric, and the scores of the items that all runs hold and that it looks at."""
    benchmark, _, name = number.partition(".")
    wanted = {**registry.get("benchmarks", benchmark)().select().get(name, {}), **(by or {})}
    common = set.intersection(*({row.id for row in run[benchmark]} for run in runs))
    return registry.get("metrics", name)(), [
        table_of(
            [
                row
                for row in run[benchmark]
                if row.id in common and all(row.groups.get(key) == value for key, value in wanted.items())
            ]
        )
        for run in runs
    ]


def _value(table: ScoreTable, metric: Metric) -> float:
    used = kept(table, complete_items(table, metric))
    return float(np.mean(statistics.strata_values(sample_of(used, metric))))
