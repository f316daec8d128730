"""Recall of Yes."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric, ratio


class YesRecall(Metric):
    """Share of the questions whose answer is Yes that are answered with Yes."""

    name: ClassVar[str] = "yes_recall"
    card: ClassVar[Card] = Card(
        title="How often a question with the answer Yes gets it; without any knowledge it is the Yes-rate.",
        source=_yes_no.NASA,
        formula="R = 100 * #(says Yes and answer is Yes) / #(answer is Yes)",
        differs="Counted over both orders of the instruction. Equal probabilities count half.",
    )
    ideal: ClassVar[float | None] = 100.0
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = _yes_no.COUNTED
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 100.0
    undefined: ClassVar[str] = "no question has the answer Yes (0/0)"

    def sums(self, table: ScoreTable) -> Floats:
        """Right Yes, all Yes, questions with the answer Yes, answers, per cluster."""
        return _yes_no.counts(table)

    def value(self, totals: Floats) -> Floats:
        """Recall (per cent); NaN if no answer is Yes."""
        return 100.0 * ratio(totals[..., 0], totals[..., 2])
