"""How unlike the true positive rates of groups are."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics._metric import Floats, Metric, per_cluster, ratio


class TprGap(Metric):
    """Largest minus smallest true positive rate among the groups, in percentage points."""

    name: ClassVar[str] = "tpr_gap"
    card: ClassVar[Card] = Card(
        title="How far apart the groups with the highest and the lowest true positive rate lie.",
        source="Equality of Opportunity in Supervised Learning, Hardt et al., NeurIPS 2016, "
        "https://arxiv.org/abs/1610.02413; as a gap of two groups in https://arxiv.org/abs/1901.09451.",
        formula="max_g TPR_g - min_g TPR_g, TPR_g = 100 * #(positive in g and predicted so) / #(positive in g)",
        differs="Of more than two groups, the two farthest apart. Groups without a positive text do not count.",
        cautions="Never negative, so chance alone gives a positive number: the more with many small groups. It says "
        "nothing of texts that are negative.",
    )
    ideal: ClassVar[float | None] = 0.0
    unit: ClassVar[str] = "%"
    needs: ClassVar[tuple[str, ...]] = ("truth", "predicted", "group")
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 100.0
    undefined: ClassVar[str] = "fewer than two groups have a positive text"

    def sums(self, table: ScoreTable) -> Floats:
        """Texts predicted positive among the positive ones, and positive ones, of each group, per cluster."""
        import numpy as np

        at = [table["truth"] * (table["group"] == group) for group in np.unique(table["group"])]
        return per_cluster(table, *(table["predicted"] * one for one in at), *at)

    def value(self, totals: Floats) -> Floats:
        """Percentage points; NaN with fewer than two groups."""
        import numpy as np

        size = totals.shape[-1] // 2
        rates = ratio(totals[..., :size], totals[..., size:])
        known = ~np.isnan(rates)
        gap: Floats = np.where(known, rates, -np.inf).max(axis=-1) - np.where(known, rates, np.inf).min(axis=-1)
        return np.where(known.sum(axis=-1) > 1, 100.0 * gap, np.nan)
