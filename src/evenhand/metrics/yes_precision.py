"""Precision of Yes."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric, ratio


class YesPrecision(Metric):
    """Share of Yes answers that are right."""

    name: ClassVar[str] = "yes_precision"
    card: ClassVar[Card] = Card(
        title="How often a Yes is right; without any knowledge it is the share of questions whose answer is Yes.",
        source=_yes_no.NASA,
        formula="P = 100 * #(says Yes and answer is Yes) / #(says Yes)",
        differs="Counted over both orders of the instruction. Equal probabilities count half.",
    )
    ideal: ClassVar[float | None] = 100.0
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = _yes_no.COUNTED
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 100.0
    undefined: ClassVar[str] = "the model never says Yes (0/0)"

    def sums(self, table: ScoreTable) -> Floats:
        """Right Yes, all Yes, questions with the answer Yes, answers, per cluster."""
        return _yes_no.counts(table)

    def value(self, totals: Floats) -> Floats:
        """Precision (per cent); NaN if Yes was never said."""
        return 100.0 * ratio(totals[..., 0], totals[..., 1])
