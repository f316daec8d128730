"""Share of Yes answers minus share of questions whose answer is Yes."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric, ratio


class YesRateGap(Metric):
    """How much more often the model says Yes than Yes is right, in percentage points; below 0 it says No too often."""

    name: ClassVar[str] = "yes_rate_gap"
    card: ClassVar[Card] = Card(
        title="How much more often the model says Yes than Yes is right; negative: it says No too often.",
        source=_yes_no.NASA,
        formula="100 * (#(says Yes) - #(answer is Yes)) / #answers",
        differs="The paper shows precision and recall; their gap depends on what the model knows, this one does not.",
        cautions="0 says that Yes is said as often as it is right, not that it is said where it is right.",
    )
    ideal: ClassVar[float | None] = 0.0
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = _yes_no.COUNTED
    low: ClassVar[float | None] = -100.0
    high: ClassVar[float | None] = 100.0

    def sums(self, table: ScoreTable) -> Floats:
        """Right Yes, all Yes, questions with the answer Yes, answers, per cluster."""
        return _yes_no.counts(table)

    def value(self, totals: Floats) -> Floats:
        """Yes-rate minus base rate (percentage points); NaN without answers."""
        return 100.0 * ratio(totals[..., 1] - totals[..., 2], totals[..., 3])
