"""Arms compared with the untouched model, item by item: every number, its change, its effect, and beyond the shams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.core.items import ScoreTable, Status
from evenhand.core.trial import GuardOutcome, Outcome
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._diff import table_of
from evenhand.measure._numbers import columns_of, metrics_of, restricted
from evenhand.metrics._effect import effect, mean_change
from evenhand.metrics._metric import Metric
from evenhand.prove._arms import BEFORE, Measured, Settings
from evenhand.prove._tests import Tests

MEAN = "mean of the seeds"


@dataclass(frozen=True)
class Paired:
    """Scores of one benchmark in all arms, the same items in the same order.

    Attributes:
        tables: by name of the arm.
        lost: items that not every arm scored.
    """

    benchmark: Benchmark
    tables: Mapping[str, ScoreTable]
    lost: int


def pair(benchmark: Benchmark, runs: Mapping[str, Measured]) -> Paired:
    """Keep the items that every arm scored."""
    found = [measured.rows[benchmark.name] for measured in runs.values()]
    common = [key for key in found[0] if all(rows[key].status == Status.SCORED for rows in found)]
    tables = {name: table_of([run.rows[benchmark.name][key] for key in common]) for name, run in runs.items()}
    return Paired(benchmark, tables, len(found[0]) - len(common))


def outcomes(
    paired: Paired, arms: Sequence[str], method: Sequence[str], shams: Sequence[str], tests: Tests, settings: Settings
) -> list[Outcome]:
    """Every metric of one benchmark for each arm, overall, and the headline by columns as collateral."""
    out: list[Outcome] = []
    for number, metric in enumerate(metrics_of(paired.benchmark)):
        slices: list[dict[str, str]] = [{}]
        if number == 0:
            table = _part(paired, BEFORE, metric, {})
            for column in columns_of(table, paired.benchmark.collateral or paired.benchmark.by[:1]):
                slices += [{column: value} for value in sorted(set(table.groups[column].tolist()) - {""})]
        for by in slices:
            role = _role(paired.benchmark.name, metric.name, by, tests)
            for arm in arms:
                against = shams if arm in method and not by else ()
                out.append(outcome(paired, [arm], against, metric, by, role, settings, name=arm))
    return out


def outcome(
    paired: Paired,
    arms: Sequence[str],
    shams: Sequence[str],
    metric: Metric,
    by: Mapping[str, str],
    role: Literal["primary", "transfer", "collateral", "other"],
    settings: Settings,
    *,
    name: str,
) -> Outcome:
    """One number: the mean of some arms against the untouched model, and against the mean of the shams."""
    before = _part(paired, BEFORE, metric, by)
    after = [_part(paired, arm, metric, by) for arm in arms]
    others = [_part(paired, sham, metric, by) for sham in shams]
    benchmark, level, draws, seed = paired.benchmark.name, settings.level, settings.draws, settings.seed
    change = mean_change(before, after, metric, benchmark=benchmark, by=by, level=level, draws=draws, seed=seed)
    ours = effect(before, after, metric, benchmark=benchmark, by=by, level=level, draws=draws, seed=seed)
    beyond = None
    if others:
        beyond = effect(
            before, after, metric, shams=others, benchmark=benchmark, by=by, level=level, draws=draws, seed=seed
        )
    crossed = False
    if metric.ideal is not None and change.before is not None and change.after is not None:
        crossed = (change.before - metric.ideal) * (change.after - metric.ideal) < 0
    return Outcome(arm=name, role=role, change=change, effect=ours, beyond_sham=beyond, crossed=crossed)


def primary(
    pairs: Mapping[str, Paired], arms: Sequence[str], shams: Sequence[str], tests: Tests, settings: Settings
) -> list[Outcome]:
    """The primary numbers of the mean of some arms."""
    found = []
    for number in tests.primary:
        name, _, wanted = number.partition(".")
        metric = next(one for one in metrics_of(pairs[name].benchmark) if one.name == wanted)
        label = arms[0] if len(arms) == 1 else MEAN
        found.append(outcome(pairs[name], arms, shams, metric, {}, "primary", settings, name=label))
    return found


def guarded(outcomes: Sequence[Outcome], arms: Sequence[str], tests: Tests) -> list[GuardOutcome]:
    """Every guard for each arm."""
    found = []
    for guard in tests.guards:
        for one in outcomes:
            change = one.change
            if (
                one.arm in arms
                and not change.by
                and (change.benchmark, change.metric) == (guard.benchmark, guard.metric)
            ):
                found.append(guard.judge(one.arm, change))
    return found


def _part(paired: Paired, arm: str, metric: Metric, by: Mapping[str, str]) -> ScoreTable:
    selection = paired.benchmark.select().get(metric.name, {})
    return restricted(paired.tables[arm], {**selection, **by})


def _role(
    benchmark: str, metric: str, by: Mapping[str, str], tests: Tests
) -> Literal["primary", "transfer", "collateral", "other"]:
    if by:
        return "collateral"
    if f"{benchmark}.{metric}" in tests.primary:
        return "primary"
    return "other" if benchmark in {number.partition(".")[0] for number in tests.primary} else "transfer"
