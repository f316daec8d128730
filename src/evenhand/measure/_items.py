"""Items of a benchmark for others to fit on or to look into: all of them or those of one fold, sampled if asked."""

from __future__ import annotations

from evenhand.data.splits import Fold
from evenhand.measure._benchmark import Benchmark, Loaded
from evenhand.measure._fold import in_fold
from evenhand.measure._plan import configured
from evenhand.measure._sample import sample


def items(benchmark: str | Benchmark, *, fold: Fold | None = None, limit: int | None = None, seed: int = 0) -> Loaded:
    """The items of a benchmark.

    Args:
        benchmark: its registered name, or a configured one.
        fold: only the items whose clusters lie in this fold.
        limit: at most so many, a seeded sample of whole blocks over all strata.
        seed: of the sample.

    Raises:
        UnknownName: there is no such benchmark.
        UsageError: the fold has no items.
    """
    chosen = configured(benchmark, {}) if isinstance(benchmark, str) else benchmark
    loaded = chosen.load()
    kept = in_fold(chosen, loaded.items, fold)
    return Loaded(tuple(sample(kept, limit, seed=seed, name=chosen.name)), loaded.data, loaded.notes)
