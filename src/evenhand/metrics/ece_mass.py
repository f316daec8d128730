"""Calibration error with bins of equal mass."""

from __future__ import annotations

from typing import ClassVar

from evenhand.core.items import ScoreTable
from evenhand.core.record import Card
from evenhand.metrics import _yes_no
from evenhand.metrics._metric import Floats, Metric


class EceMass(Metric):
    """Mean distance of confidence and share of right answers, over ten bins with equally many answers."""

    name: ClassVar[str] = "ece_mass"
    card: ClassVar[Card] = Card(
        title="How far the confidence of the answers is from how often they are right (ten bins of equal size).",
        source="Posterior calibration and exploratory analysis for natural language processing models, Nguyen, "
        "O'Connor, EMNLP 2015. https://aclanthology.org/D15-1182",
        formula="ECE = sum over bins of #bin / #answers * |accuracy of bin - mean confidence of bin|; confidence = "
        "max(p(Yes), p(No)) among the two; bins end at the tenths of the confidences",
        differs="The mean of the absolute gaps, not the root of the mean square. Each order of the instruction has "
        "bins of its own. They are fixed by all answers of a run and stay when clusters are resampled. Equal "
        "confidences share a bin.",
        cautions="It is above 0 for a perfectly calibrated model too, by about 0.4 * sqrt(bins in use / answers): a "
        "small sample looks worse. The interval allows for this and may lie below the value.",
    )
    ideal: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[str, ...]] = _yes_no.CALIBRATED
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0

    def sums(self, table: ScoreTable) -> Floats:
        """Gap in each bin of each order, and answers, per cluster."""
        import numpy as np

        confidence, orders = _yes_no.confidence(table), _yes_no.orders(table)
        bins = np.zeros(len(table), dtype=np.intp)
        tenths = np.arange(1, _yes_no.BINS) / _yes_no.BINS
        for order in np.unique(orders):
            here = orders == order
            ends = np.quantile(confidence[here], tenths)
            bins[here] = np.searchsorted(ends, confidence[here], side="right")
        return _yes_no.bin_gaps(table, bins)

    def value(self, totals: Floats) -> Floats:
        """ECE in [0, 1]; NaN without answers."""
        return _yes_no.mean_gap(totals)
