"""Balance of the changes that hints make."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _leading
from evenhand.metrics._mean import Mean
from evenhand.metrics._metric import Floats, per_cluster


class Pir(Mean):
    """Of the answers that a hint changes, the share that goes from No to Yes."""

    name: ClassVar[str] = "pir"
    card: ClassVar[Card] = Card(
        title="Of the answers that a hint changes, the share that goes from No to Yes (0.5 = balanced).",
        source=_leading.LQCD,
        formula="PIR = #(No without hint, Yes with it) / #(answer changed)",
        differs=f"{_leading.OWN_FORMULA} Which direction the paper counts is not known; the other one is 1 - PIR. "
        "Equal probabilities count half.",
        cautions="Hints to both answers are given equally often, so an imbalance is the model's.",
    )
    ideal: ClassVar[float | None] = 0.5
    needs: ClassVar[tuple[str, ...]] = _leading.CHANGED
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0
    undefined: ClassVar[str] = "no answer changed"

    def sums(self, table: ScoreTable) -> Floats:
        """Changes to Yes and all changes, per cluster."""
        import numpy as np

        change = table["said_yes"] - table["said_yes_neutral"]
        return per_cluster(table, np.maximum(change, 0.0), np.abs(change))
