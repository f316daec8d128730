"""How unlike the accuracy is where the right answer stands in different places."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics._metric import Floats, Metric, per_cluster, ratio

MOST = 8
"""Places, at most."""


class RecallSpread(Metric):
    """Standard deviation over places of the share of right answers that stand there and are chosen."""

    name: ClassVar[str] = "recall_spread"
    card: ClassVar[Card] = Card(
        title="How far the accuracy depends on the place of the right answer (standard deviation over places).",
        source="Large Language Models Are Not Robust Multiple Choice Selectors, Zheng et al., ICLR 2024, "
        "https://arxiv.org/abs/2309.03882 (standard deviation of recalls).",
        formula="standard deviation over places p of 100 * #(right answer in p and chosen) / #(right answer in p)",
        differs="Every right answer stands in every place equally often, so recalls differ by place alone.",
        cautions="Never negative, so chance alone gives a positive number on few questions.",
    )
    ideal: ClassVar[float | None] = 0.0
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = ("correct", "place")
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 50.0
    undefined: ClassVar[str] = "the right answer stands in one place only"

    def sums(self, table: ScoreTable) -> Floats:
        """Right answers and answers in each place, per cluster."""
        at = [(table["place"] == place).astype(float) for place in range(1, MOST + 1)]
        return per_cluster(table, *(table["correct"] * one for one in at), *at)

    def value(self, totals: Floats) -> Floats:
        """Points of per cent; NaN with fewer than two places."""
        import numpy as np

        recalls = ratio(totals[..., :MOST], totals[..., MOST:])
        known = ~np.isnan(recalls)
        count = known.sum(axis=-1)
        mean = ratio(np.where(known, recalls, 0.0).sum(axis=-1), count)
        squares = np.where(known, (recalls - mean[..., None]) ** 2, 0.0).sum(axis=-1)
        spread: Floats = 100.0 * np.sqrt(ratio(squares, count))
        return np.where(count > 1, spread, np.nan)
