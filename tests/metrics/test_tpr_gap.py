"""The gap of true positive rates by hand."""

from __future__ import annotations

import math

import numpy as np

from evenhand.core.items import ScoreTable
from evenhand.metrics.tpr_gap import TprGap


def gap(rows: list[tuple[int, int, int]]) -> float:
    """Of rows of group, truth and prediction."""
    group, truth, predicted = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    names = [str(n) for n in range(len(rows))]
    table = ScoreTable({"group": group, "truth": truth, "predicted": predicted}, {}, names, [""] * len(rows))
    return float(TprGap().value(TprGap().sums(table).sum(axis=0)))


def test_it_is_the_largest_less_the_smallest_rate_of_the_positive_texts() -> None:
    """Group 0 finds 1 of 2, group 1 finds 3 of 3, group 2 has no positive text; false alarms do not count."""
    rows = [(0, 1, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1), (2, 0, 1)]
    assert gap(rows) == 50.0
    assert gap([*rows, (2, 1, 0)]) == 100.0


def test_one_group_has_no_gap() -> None:
    assert math.isnan(gap([(0, 1, 1), (0, 1, 0), (1, 0, 0)]))
