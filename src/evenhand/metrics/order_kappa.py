"""Agreement of the answers in the two orders of the instruction."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics._metric import Floats, Metric, per_cluster, ratio


class OrderKappa(Metric):
    """Cohen's kappa between the answers to "Yes or No" and to "No or Yes"."""

    name: ClassVar[str] = "order_kappa"
    card: ClassVar[Card] = Card(
        title="How far the answers to 'Yes or No' and to 'No or Yes' agree beyond chance (kappa, 1 = always).",
        source="A coefficient of agreement for nominal scales, Cohen, Educational and Psychological Measurement 20, "
        "1960. https://doi.org/10.1177/001316446002000104",
        formula="kappa = (o - e) / (1 - e); o = share of questions with the same answer; e = a b + (1 - a) (1 - b), "
        "where a and b are the Yes-rates of the two orders",
        differs="Equal probabilities count half. A share of flipped answers would favour a model that always says No; "
        "kappa does not.",
    )
    ideal: ClassVar[float | None] = 1.0
    needs: ClassVar[tuple[str, ...]] = ("said_yes", "said_yes_other")
    low: ClassVar[float | None] = -1.0
    high: ClassVar[float | None] = 1.0
    undefined: ClassVar[str] = "all answers are the same in both orders, so agreement by chance is complete (0/0)"

    def sums(self, table: ScoreTable) -> Floats:
        """Yes in both orders, in the first, in the second, questions, per cluster."""
        import numpy as np

        first, second = table["said_yes"], table["said_yes_other"]
        return per_cluster(table, first * second, first, second, np.ones_like(first))

    def value(self, totals: Floats) -> Floats:
        """Kappa in [-1, 1]; NaN where chance agreement is complete."""
        both, first, second, n = (totals[..., place] for place in range(4))
        return ratio(2.0 * (n * both - first * second), first * (n - second) + second * (n - first))
