"""Refuse to test on what was fitted on: shared clusters, shared rows, or shared runs of words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from evenhand.core.errors import Leakage
from evenhand.core.items import Item
from evenhand.core.record import FittedOn
from evenhand.data.overlap import LIMIT, WORDS, shingles


def refuse(fitted: FittedOn, tested: Mapping[str, Sequence[Item]]) -> None:
    """Compare what a patch was fitted on with what it is to be tested on, benchmark by benchmark.

    Raises:
        Leakage: they share clusters of the same benchmark, rows of the same file, or more than 1 % of the runs of eight
            words of the smaller side.
    """
    for benchmark, items in tested.items():
        clusters = {f"{benchmark}:{item.cluster}" for item in items} & set(fitted.clusters)
        origins = {f"{i.origin.source}/{i.origin.file}:{i.origin.row}" for i in items} & set(fitted.origins)
        runs = {
            hashlib.sha256(run.encode()).hexdigest()[:16]
            for run in shingles(text for item in items for text in item.material)
        }
        shared = len(runs & set(fitted.shingles))
        smaller = min(len(runs), len(fitted.shingles))
        found = []
        if clusters:
            found.append(f"{len(clusters)} clusters are on both sides, e.g. {min(clusters)}")
        if origins:
            found.append(f"{len(origins)} rows are on both sides, e.g. {min(origins)}")
        if smaller and shared / smaller > LIMIT:
            found.append(
                f"{shared:,} runs of {WORDS} words, {shared / smaller:.1%} of the smaller side's, are on both sides "
                f"(at most {LIMIT:.0%} may)"
            )
        if found:
            raise Leakage(
                f"{benchmark} cannot test a patch that was fitted on {fitted.benchmark or 'these items'}"
                f"{f' (fold {fitted.fold})' if fitted.fold else ''}: {'; '.join(found)}. A change would be no "
                "evidence. Fit on the fold 'fit' and test on 'test', or on other data."
            )


def apart(items: Sequence[Item], tested: Mapping[str, Sequence[Item]]) -> tuple[Item, ...]:
    """Items to fit on without those that share runs of eight words with what is tested, where `refuse` would object.

    Some data sets repeat their texts: BBQ tells the same story in several templates, which lie in several folds. Where
    more than half of the items would have to go, all stay, and `refuse` says why they cannot be used.
    """
    runs = {name: set(shingles(text for item in some for text in item.material)) for name, some in tested.items()}
    own = set(shingles(text for item in items for text in item.material))
    shared = set().union(
        *(own & theirs for theirs in runs.values() if own and len(own & theirs) > LIMIT * min(len(own), len(theirs)))
    )
    if not shared:
        return tuple(items)
    whole = {run for run in shared if len(run.split()) == WORDS}  # "yes" is a run too, but says nothing
    kept = tuple(item for item in items if whole.isdisjoint(shingles(item.material)))
    return kept if 2 * len(kept) >= len(items) else tuple(items)
