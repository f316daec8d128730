"""What a trial measures: benchmarks with sizes for two cores, and the fold of each that nothing was fitted on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.data import splits
from evenhand.data.content import ANSWER
from evenhand.data.splits import Fold
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._items import items
from evenhand.measure._plan import configured
from evenhand.mitigate._mitigation import Mitigation
from evenhand.prove import _guards

Limit = int | Mapping[str, int] | None
"""At most so many items: of every benchmark, or by name over what `LIMITS` says."""
SIZES: Mapping[str, Mapping[str, Any]] = {"perplexity": {"documents": 320}}
"""Settings with which a benchmark is measured in a trial, where they differ from its defaults."""
LIMITS: Mapping[str, int] = {
    "bbq": 1000,
    "bbq_letters": 600,
    "yes_no": 800,
    "label_prior": 800,
    "sycophancy": 800,
    "emission": 800,
    "crows_pairs": 800,
    "mmlu": 1000,
    "arc": 1000,
    "position_bias": 240,
}
"""At most so many items of the larger benchmarks, unless a limit is given."""


@dataclass(frozen=True, slots=True)
class Tests:
    """The benchmarks of a trial.

    Attributes:
        benchmarks: configured; those of the primary numbers first.
        folds: of those benchmarks that have a split or that are fitted on; the others are measured whole.
        limit: at most so many items, by benchmark.
        primary: 'benchmark.metric', what the method claims to better.
        guards: what must not get worse.
    """

    benchmarks: tuple[Benchmark, ...]
    folds: Mapping[str, Fold]
    limit: Mapping[str, int]
    primary: tuple[str, ...]
    guards: tuple[_guards.Guard, ...]

    def on(self, fold: Fold) -> Tests:
        """The same on another fold: only the benchmarks that have one, for choosing a strength."""
        names = {number.partition(".")[0] for number in (*self.primary, *(guard.number for guard in self.guards))}
        kept = tuple(one for one in self.benchmarks if one.name in self.folds and one.name in names)
        return Tests(kept, dict.fromkeys(self.folds, fold), self.limit, self.primary, self.guards)

    def loaded(self, seed: int) -> dict[str, Loaded]:
        """The items that will be measured, by benchmark."""
        return {
            one.name: items(one, fold=self.folds.get(one.name), limit=self.limit.get(one.name), seed=seed)
            for one in self.benchmarks
        }


def tests_of(
    method: Mitigation | type[Mitigation],
    fit_on: Benchmark | None,
    test_on: Sequence[Benchmark | str] | None,
    guards: Sequence[str] | None,
    limit: Limit,
    fitted: Collection[str],
) -> Tests:
    """The benchmarks of a trial of this method.

    Args:
        method: names its primary numbers, where else it may help or harm, and its guards.
        fit_on: what it is fitted on.
        test_on: benchmarks instead of the method's own; the primary numbers are then those of them that the method
            names, or the first number of each.
        guards: rules instead of the method's own.
        limit: at most so many items of each benchmark, or by name.
        fitted: names of benchmarks whose fold 'fit' something was fitted on already.

    Raises:
        UnknownName: a guard is about a number that is not measured.
        UsageError: a benchmark is named twice.
    """
    rules = _guards.parse(method.guards if guards is None else guards)
    chosen: dict[str, Benchmark] = {}
    for one in test_on if test_on is not None else [*(n.partition(".")[0] for n in method.primary), *method.test_on]:
        benchmark = configured(one, SIZES.get(one, {})) if isinstance(one, str) else one
        if benchmark.name in chosen and test_on is not None:
            raise UsageError(f"{benchmark.name} is named twice among the benchmarks to test on.")
        chosen.setdefault(benchmark.name, benchmark)
    for guard in rules:
        wanted = guards is not None or guard.benchmark == "perplexity"
        if wanted and guard.benchmark not in chosen:
            chosen[guard.benchmark] = configured(guard.benchmark, SIZES.get(guard.benchmark, {}))
    rules = tuple(guard for guard in rules if guards is not None or guard.benchmark in chosen)
    _guards.check(rules, {name: one.metrics for name, one in chosen.items()})
    primary = tuple(number for number in method.primary if number.partition(".")[0] in chosen)
    if test_on is not None and not primary:
        asked = {one if isinstance(one, str) else one.name for one in test_on}
        primary = tuple(f"{name}.{one.metrics[0]}" for name, one in chosen.items() if name in asked)
    split = {*fitted, fit_on.folds_of or fit_on.name} if fit_on is not None else {*fitted}
    folds: dict[str, Fold] = {
        name: "test"
        for name, one in chosen.items()
        if (one.folds_of or name) in splits.fixed() or (one.folds_of or name) in split
    }
    return Tests(tuple(chosen.values()), folds, _limits(limit, chosen), primary, rules)


def _limits(limit: Limit, names: Iterable[str]) -> dict[str, int]:
    """The limit of each benchmark that has one."""
    if isinstance(limit, int):
        return dict.fromkeys(names, limit)
    wanted = {**LIMITS, **(limit or {})}
    return {name: wanted[name] for name in names if name in wanted}


def fit_items(fit_on: Benchmark, limit: Limit, seed: int) -> tuple[Item, ...]:
    """Items of the fold 'fit'; only a limit for all benchmarks holds here too."""
    return items(fit_on, fold="fit", limit=limit if isinstance(limit, int) else None, seed=seed).items


def inputs_of_test(fit_on: Benchmark, limit: Limit, seed: int) -> tuple[Item, ...]:
    """Items of the fold 'test' that a trial measures, without what is right: what a transductive method may read."""
    found = items(fit_on, fold="test", limit=_limits(limit, [fit_on.name]).get(fit_on.name), seed=seed).items
    return tuple(
        replace(item, facts={}, texts={key: text for key, text in item.texts.items() if key != ANSWER})
        for item in found
    )
