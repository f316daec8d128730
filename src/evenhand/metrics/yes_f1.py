"""F1 of Yes."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric, ratio


class YesF1(Metric):
    """Harmonic mean of precision and recall of Yes."""

    name: ClassVar[str] = "yes_f1"
    card: ClassVar[Card] = Card(
        title="Precision and recall of Yes in one number (their harmonic mean).",
        source=_yes_no.NASA,
        formula="F1 = 2 P R / (P + R) = 200 * #(says Yes and answer is Yes) / (#(says Yes) + #(answer is Yes))",
        differs="Counted over both orders of the instruction. 0 where no Yes is right, also if none was said.",
        cautions="A model that always says Yes reaches 2 b / (1 + b), where b is the share of questions with the "
        "answer Yes (67 % for half of them): a higher F1 alone shows no knowledge.",
    )
    ideal: ClassVar[float | None] = 100.0
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = _yes_no.COUNTED
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 100.0
    undefined: ClassVar[str] = "the model never says Yes and no question has the answer Yes (0/0)"

    def sums(self, table: ScoreTable) -> Floats:
        """Right Yes, all Yes, questions with the answer Yes, answers, per cluster."""
        return _yes_no.counts(table)

    def value(self, totals: Floats) -> Floats:
        """F1 (per cent); NaN if there is no Yes on either side."""
        return 200.0 * ratio(totals[..., 0], totals[..., 1] + totals[..., 2])
