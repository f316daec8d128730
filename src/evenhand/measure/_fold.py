"""Which items of a benchmark lie in a fold."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.data import splits
from evenhand.data.splits import Fold
from evenhand.measure._benchmark import Benchmark


def in_fold(benchmark: Benchmark, found: Sequence[Item], fold: Fold | None) -> tuple[Item, ...]:
    """Those items whose clusters lie in a fold: the fixed one where there is one, else what the rule makes of them.

    Raises:
        UsageError: none does.
    """
    if fold is None:
        return tuple(found)
    name = benchmark.folds_of or benchmark.name
    clusters = {item.cluster for item in found}
    # yes_no makes its questions of several data sets; those of BBQ lie where BBQ's templates do
    names = dict.fromkeys((name, *(item.origin.source for item in found)))
    known = (splits.fixed()[one].folds for one in names if one in splits.fixed())
    fixed = next((folds for folds in known if clusters <= set(folds)), None)
    if fixed is None:  # items of the user's own, or a benchmark that no method is developed on
        fixed = splits.assignment(name, clusters).folds
    kept = tuple(item for item in found if fixed[item.cluster] == fold)
    if not kept:
        raise UsageError(
            f"{benchmark.name} has no items in the fold {fold!r}: its {len(clusters)} clusters are too few to be "
            "split. Use more items, or none of the folds."
        )
    return kept
