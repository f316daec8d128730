"""Accuracy in which both answers weigh alike."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics._metric import Floats, Metric, per_cluster, ratio


class BalancedAccuracy(Metric):
    """Mean of the shares of right answers among the questions whose answer is Yes and among those with No."""

    name: ClassVar[str] = "balanced_accuracy"
    card: ClassVar[Card] = Card(
        title="How often the answer is right when questions with Yes and questions with No weigh alike.",
        source="The balanced accuracy and its posterior distribution, Brodersen, Ong, Stephan, Buhmann, ICPR 2010. "
        "https://doi.org/10.1109/ICPR.2010.764",
        formula="100 * (#(right, answer is Yes) / #(answer is Yes) + #(right, answer is No) / #(answer is No)) / 2",
        differs="Equal probabilities count half.",
        cautions="50 is chance, and what a model has that always says the same.",
    )
    ideal: ClassVar[float | None] = 100.0
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = ("correct", "truth")
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 100.0
    undefined: ClassVar[str] = "all questions have the same answer"

    def sums(self, table: ScoreTable) -> Floats:
        """Right and all questions with Yes, right and all questions with No, per cluster."""
        correct, truth = table["correct"], table["truth"]
        return per_cluster(table, correct * truth, truth, correct * (1.0 - truth), 1.0 - truth)

    def value(self, totals: Floats) -> Floats:
        """Per cent; NaN without questions of both answers."""
        return 50.0 * (ratio(totals[..., 0], totals[..., 1]) + ratio(totals[..., 2], totals[..., 3]))
