"""Distance of the label prior from uniform."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _prior
from evenhand.metrics._metric import Floats, Metric, ratio


class PriorDistance(Metric):
    """Total variation between the mean shares of the labels and equal shares."""

    name: ClassVar[str] = "prior_distance"
    card: ClassVar[Card] = Card(
        title="How far the labels' mean shares are from equal ones (total variation, 0 = equal).",
        source="Ours, of the priors of Mitigating Label Biases for In-context Learning, Fei et al., ACL 2023, "
        "https://arxiv.org/abs/2305.19148",
        formula="1/2 * sum over labels c of |mean share of c - 1 / labels|, for each way to ask, averaged",
        differs="The paper compares two priors; this compares each with equal shares.",
        cautions="A small sample lies above 0 by chance. In real questions (batch) one label may be right more often.",
    )
    ideal: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[str, ...]] = _prior.NEEDS
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0

    def sums(self, table: ScoreTable) -> Floats:
        """Shares, numbers of labels and items in each way to ask, per cluster."""
        return _prior.sums(table)

    def value(self, totals: Floats) -> Floats:
        """Mean distance, 0 to 1; NaN without items."""
        import numpy as np

        shares, labels = _prior.priors(totals)
        equal = ratio(np.ones_like(labels), labels)[..., None]
        even = np.where(np.arange(_prior.LABELS) < labels[..., None], equal, 0.0)
        return _prior.mean_over_cells(0.5 * np.abs(shares - even).sum(axis=-1))
