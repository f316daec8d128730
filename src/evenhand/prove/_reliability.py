"""Reliability: how often answers are right, by how sure the model was; before, with the method, with its shams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evenhand.core.items import ScoreTable
from evenhand.core.record import Curve, Series
from evenhand.metrics import _yes_no
from evenhand.prove._arms import BEFORE
from evenhand.prove._compare import Paired

FEWEST = 10
"""Bins with fewer answers are left out."""
NAMES = {0.0: "the word for yes first", 1.0: "the word for no first"}


def curves(pairs: Mapping[str, Paired], groups: Mapping[str, Sequence[str]]) -> tuple[Curve, ...]:
    """One curve for each order of every benchmark whose calibration is measured.

    Args:
        pairs: what was measured, by benchmark.
        groups: name of a line -> arms whose answers it counts together.
    """
    lines = {BEFORE: (BEFORE,), **{name: arms for name, arms in groups.items() if arms}}
    return tuple(
        _curve(name, order, {line: [paired.tables[arm] for arm in arms] for line, arms in lines.items()})
        for name, paired in pairs.items()
        if set(_yes_no.CALIBRATED) <= set(paired.tables[BEFORE].values)
        for order in sorted(set(paired.tables[BEFORE]["no_first"].tolist()))
    )


def _curve(benchmark: str, order: float, lines: Mapping[str, Sequence[ScoreTable]]) -> Curve:
    found = [
        Series(
            name=line,
            x=tuple(round(confidence, 4) for _, confidence, _ in points),
            y=tuple(round(right, 4) for _, _, right in points),
        )
        for line, tables in lines.items()
        for points in [[point for point in bins(tables, order) if point[0] >= FEWEST]]
    ]
    return Curve(
        title=f"Reliability of the answers in {benchmark}, {NAMES.get(order, f'order {order:g}')}",
        x="confidence (probability of the answer among the two)",
        y="share of right answers",
        series=(*found, Series(name="perfect", x=(0.5, 1.0), y=(0.5, 1.0))),
        note=f"Ten bins of equal width; those with fewer than {FEWEST} answers are left out. Below the line 'perfect' "
        "the model is surer than it is right.",
    )


def bins(tables: Sequence[ScoreTable], order: float) -> list[tuple[int, float, float]]:
    """For each of ten bins of equal width that has answers: how many, their mean confidence, the share that is right.

    Args:
        tables: scores of yes/no answers, counted together.
        order: `no_first` of the answers that count.
    """
    here = [table["no_first"] == order for table in tables]
    confidence = np.concatenate([_yes_no.confidence(table)[mask] for table, mask in zip(tables, here, strict=True)])
    right = np.concatenate([table["correct"][mask] for table, mask in zip(tables, here, strict=True)])
    places = _yes_no.width_bins(confidence)
    return [
        (int(mask.sum()), float(confidence[mask].mean()), float(right[mask].mean()))
        for mask in (places == place for place in range(_yes_no.BINS))
        if mask.any()
    ]
