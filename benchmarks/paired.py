"""Runs of several seeds compared with the untouched model item by item, from the scored items that they wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

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
