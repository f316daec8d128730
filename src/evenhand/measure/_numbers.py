"""From items and their scores to estimates: every metric of a benchmark, overall and by each of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evenhand.core import registry
from evenhand.core.items import Item, Score, ScoreTable
from evenhand.core.record import Change, Estimate
from evenhand.measure._benchmark import Benchmark
from evenhand.metrics._estimate import breakdown, paired
from evenhand.metrics._metric import Metric


def metrics_of(benchmark: Benchmark | type[Benchmark]) -> list[Metric]:
    """The benchmark's metrics, ready to use."""
    return [registry.get("metrics", name)() for name in benchmark.metrics]


def estimates(
    benchmark: Benchmark, items: Sequence[Item], scores: Sequence[Score], *, level: float, draws: int, seed: int
) -> list[Estimate]:
    """All numbers of one run of a benchmark."""
    table = ScoreTable.of(items, scores)
    out: list[Estimate] = []
    for metric in metrics_of(benchmark):
        part = restricted(table, benchmark.select().get(metric.name, {}))
        out += breakdown(
            part, metric, columns_of(part, benchmark.by), benchmark=benchmark.name, level=level, draws=draws, seed=seed
        )
    return out


def changes(
    benchmark: Benchmark | type[Benchmark],
    selection: Mapping[str, Mapping[str, str]],
    before: ScoreTable,
    after: ScoreTable,
    *,
    level: float,
    draws: int,
    seed: int,
) -> list[Change]:
    """Paired differences of all metrics, overall and by the benchmark's first column."""
    out: list[Change] = []
    for metric in metrics_of(benchmark):
        wanted = selection.get(metric.name, {})
        first, second = restricted(before, wanted), restricted(after, wanted)
        slices: list[dict[str, str]] = [{}]
        columns = columns_of(first, benchmark.by[:1])
        slices += [{column: value} for column in columns for value in sorted(set(first.groups[column].tolist()) - {""})]
        for by in slices:
            pair = restricted(first, by), restricted(second, by)
            out.append(paired(*pair, metric, benchmark=benchmark.name, by=by, level=level, draws=draws, seed=seed))
    return out


def restricted(table: ScoreTable, groups: Mapping[str, str]) -> ScoreTable:
    if not groups or not len(table):
        return table
    keep = np.ones(len(table), dtype=np.bool_)
    for column, value in groups.items():
        keep &= table.groups[column] == value
    return table.where(keep)


def columns_of(table: ScoreTable, columns: Sequence[str]) -> list[str]:
    """The columns that split this table: a column with one value would only repeat the overall number."""
    return [c for c in columns if c in table.groups and len(set(table.groups[c].tolist()) - {""}) > 1]
