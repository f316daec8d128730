"""Which items of a benchmark lie in a fold."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.core.errors import UsageError
from evenhand.core.items import Item
from evenhand.data import splits
from evenhand.data.splits import Fold
from evenhand.measure._benchmark import Benchmark


def in_fold(benchmark: Benchmark, found: Sequence[Item], fold: Fold | None) -> tuple[Item, ...]:
    """Those items whose clusters lie in a fold.

    A cluster lies where the fixed split of the benchmark, or else of the data set that the item comes from, has it:
    questions that are made of BBQ's rows lie where BBQ's templates do. What no fixed split knows (items of the user's
    own, prompts that come with evenhand) is split by the rule.

    Raises:
        UsageError: no item does.
    """
    if fold is None:
        return tuple(found)
    name = benchmark.folds_of or benchmark.name
    folds: dict[str, Fold] = {}
    for item in found:
        for split in (name, item.origin.source):
            if split in splits.fixed() and item.cluster in splits.fixed()[split].folds:
                folds.setdefault(item.cluster, splits.fixed()[split].folds[item.cluster])
    rest = {item.cluster for item in found} - set(folds)
    folds |= splits.assignment(name, rest).folds
    kept = tuple(item for item in found if folds[item.cluster] == fold)
    if not kept:
        raise UsageError(
            f"{benchmark.name} has no items in the fold {fold!r}: its {len(folds)} clusters are too few to be "
            "split. Use more items, or none of the folds."
        )
    return kept
