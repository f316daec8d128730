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
