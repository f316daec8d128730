"""Entropy of the label prior."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _prior
from evenhand.metrics._metric import Floats, Metric, ratio


class PriorEntropy(Metric):
    """Entropy of the mean shares of the labels, as a share of the highest possible one."""

    name: ClassVar[str] = "prior_entropy"
    card: ClassVar[Card] = Card(
        title="Entropy of the labels' mean shares (1 = all alike, 0 = always the same label).",
        source="Ours, of the priors of Calibrate Before Use, Zhao et al., ICML 2021, https://arxiv.org/abs/2102.09690",
        formula="-sum over labels c of m(c) log m(c) / log(labels), m = mean share, for each way to ask, averaged",
        cautions="A small sample lies below 1 by chance. In real questions (batch) one label may be right more often.",
    )
    ideal: ClassVar[float | None] = 1.0
    needs: ClassVar[tuple[str, ...]] = _prior.NEEDS
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0
    undefined: ClassVar[str] = "no item, or a single label, to compute it from"

    def sums(self, table: ScoreTable) -> Floats:
        """Shares, numbers of labels and items in each way to ask, per cluster."""
        return _prior.sums(table)

    def value(self, totals: Floats) -> Floats:
        """Mean entropy, 0 to 1; NaN without items."""
        import numpy as np

        shares, labels = _prior.priors(totals)
        logs = np.log(np.where(shares > 0, shares, 1.0))
        highest = np.log(np.where(labels > 1, labels, 1.0))
        return _prior.mean_over_cells(ratio(-(shares * logs).sum(axis=-1), highest))
