"""Mean probability of No among the two answers."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric, per_cluster, ratio


class NegativeConfidence(Metric):
    """Mean of p(No) / (p(Yes) + p(No))."""

    name: ClassVar[str] = "negative_confidence"
    card: ClassVar[Card] = Card(
        title="Mean probability of No among Yes and No, 0 to 1.",
        source=_yes_no.NASA,
        formula="mean of p(No) / (p(Yes) + p(No))",
        differs="Averaged over both orders of the instruction.",
        cautions="Compare it with the share of questions whose answer is No, which is not 0.5 in every question set.",
    )
    ideal: ClassVar[float | None] = None
    needs: ClassVar[tuple[str, ...]] = ("p_yes",)
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0

    def sums(self, table: ScoreTable) -> Floats:
        """Probability of No and answers, per cluster."""
        import numpy as np

        column = table["p_yes"]
        return per_cluster(table, 1.0 - column, np.ones_like(column))

    def value(self, totals: Floats) -> Floats:
        """Mean probability of No; NaN without answers."""
        return ratio(totals[..., 0], totals[..., 1])
