"""Precision of Yes minus its recall."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric, ratio


class PrecisionRecallGap(Metric):
    """Precision minus recall of Yes, in percentage points; above 0 it says No too often."""

    name: ClassVar[str] = "precision_recall_gap"
    card: ClassVar[Card] = Card(
        title="Precision minus recall of Yes; positive: the model says No too often.",
        source=_yes_no.NASA,
        formula="P - R = 100 * #(says Yes and answer is Yes) * (1 / #(says Yes) - 1 / #(answer is Yes))",
        differs="The sign is kept, so that saying Yes too often is seen too. Counted over both orders together, which "
        "is not the mean of the two orders' gaps: those are in the breakdown by order.",
        cautions="It is 0 when Yes is said as often as it is right, whatever the model knows, and also when no Yes is "
        "right at all. With few Yes answers it is very uncertain.",
    )
    ideal: ClassVar[float | None] = 0.0
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = _yes_no.COUNTED
    low: ClassVar[float | None] = -100.0
    high: ClassVar[float | None] = 100.0
    undefined: ClassVar[str] = "the model never says Yes, or no question has the answer Yes (0/0)"

    def sums(self, table: ScoreTable) -> Floats:
        """Right Yes, all Yes, questions with the answer Yes, answers, per cluster."""
        return _yes_no.counts(table)

    def value(self, totals: Floats) -> Floats:
        """Precision minus recall (percentage points); NaN where either is undefined."""
        return 100.0 * (ratio(totals[..., 0], totals[..., 1]) - ratio(totals[..., 0], totals[..., 2]))
