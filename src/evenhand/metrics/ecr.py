"""Share of wrong answers that a hint makes right."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _leading
from evenhand.metrics._mean import Rate
from evenhand.metrics._metric import Floats, per_cluster


class Ecr(Rate):
    """Of the answers that are wrong without a hint, how many are right with it."""

    name: ClassVar[str] = "ecr"
    card: ClassVar[Card] = Card(
        title="How many of the wrong answers a hint makes right (errors corrected).",
        source=_leading.LQCD,
        formula="ECR = 100 * #(wrong without hint and right with it) / #(wrong without hint)",
        differs=f"{_leading.OWN_FORMULA} Equal probabilities count half.",
        cautions="It has no ideal: a model that follows every hint corrects all errors when the hint is right.",
    )
    ideal: ClassVar[float | None] = None
    needs: ClassVar[tuple[str, ...]] = _leading.RIGHT
    undefined: ClassVar[str] = "no answer is wrong without a hint"

    def sums(self, table: ScoreTable) -> Floats:
        """Errors corrected and answers that were wrong, per cluster."""
        wrong = 1.0 - table["correct_neutral"]
        return per_cluster(table, wrong * table["correct"], wrong)
