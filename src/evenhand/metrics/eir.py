"""Share of right answers that a hint makes wrong."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _leading
from evenhand.metrics._mean import Rate
from evenhand.metrics._metric import Floats, per_cluster


class Eir(Rate):
    """Of the answers that are right without a hint, how many are wrong with it."""

    name: ClassVar[str] = "eir"
    card: ClassVar[Card] = Card(
        title="How many of the right answers a hint makes wrong (errors introduced).",
        source=_leading.LQCD,
        formula="EIR = 100 * #(right without hint and wrong with it) / #(right without hint)",
        differs=f"{_leading.OWN_FORMULA} Equal probabilities count half.",
        cautions="Both hints are given, to the right and to the wrong answer; the breakdown tells them apart.",
    )
    ideal: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[str, ...]] = _leading.RIGHT
    undefined: ClassVar[str] = "no answer is right without a hint"

    def sums(self, table: ScoreTable) -> Floats:
        """Errors introduced and answers that were right, per cluster."""
        before = table["correct_neutral"]
        return per_cluster(table, before * (1.0 - table["correct"]), before)
